"""What a user may do wrong, and what is said about it: one block, exit code 2, no traceback, no version written."""

import json
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import pytest

from fullstep_data.store.lock import build_lock
from tests.cli.commands import invoke, spawn
from tests.fullstep_data.store.mounts import remount, tmpfs

BUILD = "fs-data build tiny --out new"

FILES = {
    "wrong_column.jsonl": b'{"q": "What is 2 + 2?", "answer": 4}\n',
    "malformed.jsonl": b'{"question": "What is 2 + 2?", "answer": 4}\n{"question": "What is\n',
    "empty.jsonl": b"",
    "latin.jsonl": b'{"question": "What is 2 + 2?", "answer": 4}\n{"question": "Combien\xe9?", "answer": 5}\n',
    "no_gold.jsonl": b'{"question": "What is 2 + 2?", "answer": null}\n',
    "same_ids.jsonl": b'{"id": 1, "question": "1 + 1?", "answer": 2}\n{"id": 1, "question": "1 + 2?", "answer": 3}\n',
    "notes/todo.txt": b"not a dataset",
    "a_file": b"",
    "broken.toml": b'name = "x"\nmodel = \n',
    "empty_model/readme": b"",
}


@dataclass(frozen=True)
class Mistake:
    """A command line, and what must be in the message."""

    name: str
    line: str
    fragments: tuple[str, ...]


def from_file(path: str) -> str:
    return f"{BUILD} --set problems.source.path={path}"


HF = "--set 'samples.engine={kind=\"hf\"}'"

MISTAKES = (
    Mistake("missing file", from_file("none.jsonl"), ("there is no such file", "none.jsonl")),
    Mistake("wrong column", from_file("wrong_column.jsonl"), ("question", "wrong_column.jsonl", "q")),
    Mistake("malformed line", from_file("malformed.jsonl"), ("a line is not a JSON object", "line 2")),
    Mistake("empty file", from_file("empty.jsonl"), ("the file holds no records", "empty.jsonl")),
    Mistake("not UTF-8", from_file("latin.jsonl"), ("not UTF-8", "line 2", "0xe9")),
    Mistake("no gold answer", from_file("no_gold.jsonl"), ("no usable problem", "gold answer", "first: row 1")),
    Mistake("ids twice", from_file("same_ids.jsonl") + " --set problems.source.columns.row_id=id", ("same_ids.jsonl", "id")),
    Mistake("folder as file", from_file("notes"), ("notes", "this is a folder, not a file")),
    Mistake("unknown key", f"{BUILD} --set samples.sampels=4", ("samples.sampels", "did you mean samples.samples?")),
    Mistake("negative M", f"{BUILD} --set samples.samples=-8", ("samples.samples", "greater than or equal to 1", "-8")),
    Mistake("T above M", f"{BUILD} --set pairs.top=50", ("pairs.top = 50 is larger than samples.samples = 8",)),
    Mistake("broken TOML", "fs-data build broken.toml --out new", ("not TOML", "broken.toml:2", "model =")),
    Mistake("unknown recipe", "fs-data build tinny --out new", ("did you mean tiny?", "demo, tiny")),
    Mistake("unknown recipe shown", "fs-data recipe --show dmo", ("did you mean demo?",)),
    Mistake("model path", f"{BUILD} --set model=./none", ("model path does not exist", "./none")),
    Mistake("model folder", f"{BUILD} --set model=./empty_model", ("no config.json", "empty_model")),
    Mistake("PRM path", f'{BUILD} --set \'prm={{kind="given", path="./none"}}\'', ("does not exist", "./none")),
    Mistake("PRM folder", f'{BUILD} --set \'prm={{kind="given", path="tiny-random"}}\'', ("no process-reward model",)),
    Mistake("template", f"{BUILD} --set samples.prompt.template=stepz", ("unknown prompt template", "stepz")),
    Mistake(
        "chat template",
        f"{BUILD} {HF} --set samples.prompt.chat=always",
        ("the tokenizer has none", 'chat = "auto" or "never"'),
    ),
    Mistake("other folder", "fs-data build tiny --out notes", ("holds other files", "todo.txt")),
    Mistake("file as folder", "fs-data build tiny --out a_file", ("a file, not a folder", "a_file")),
    Mistake("no dataset", "fs-data show notes", ("not a dataset folder", "notes")),
    Mistake("no folder", "fs-data sql none 'SELECT 1'", ("no such folder", "none")),
    Mistake("no data", "fs-train run tiny --data none --out new", ("no such folder", "none")),
    Mistake("no problems", "fs-train eval --model tiny-random --problems none.jsonl --out new", ("no such file",)),
    Mistake("no model", "fs-train eval --model ./none --problems builtin:sums.jsonl --out new", ("does not exist",)),
)


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_told_in_one_block_and_nothing_is_committed(mistake: Mistake, workplace: Path):
    result = invoke(mistake.line, workplace)
    assert_told(result.exit_code, result.stderr, mistake.fragments)
    assert not list(workplace.glob("*/versions/*.json"))


DATASET_MISTAKES = (
    Mistake("unknown table", "fs-data show out/tiny pears", ("no table pears", "pairs")),
    Mistake("unknown version", "fs-data show out/tiny@7", ("no version '7'", "it has version 1")),
    Mistake("unknown tag", "fs-data check out/tiny@v1", ("no version 'v1'",)),
    Mistake("log of a version", "fs-data log out/tiny@1", ("the whole dataset",)),
    Mistake("SQL syntax", "fs-data sql out/tiny 'SELEC 1'", ("SELEC 1",)),
    Mistake("SQL names", "fs-data sql out/tiny 'SELECT * FROM pears'", ("pears", "tables of this version")),
    Mistake("SQL writes", "fs-data sql out/tiny \"COPY pairs TO 'x.csv'\"", ("only queries that read",)),
    Mistake("SQL changes", "fs-data sql out/tiny 'DROP VIEW pairs'", ("only queries that read",)),
    Mistake("SQL reads outside", "fs-data sql out/tiny \"SELECT * FROM '/etc/passwd'\"", ("/etc/passwd",)),
    Mistake("SQL reads a file", "fs-data sql out/tiny \"SELECT * FROM read_text('/etc/passwd')\"", ("/etc/passwd",)),
)


@pytest.mark.parametrize("mistake", DATASET_MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_with_a_dataset_is_told_in_one_block(mistake: Mistake, built: Path):
    result = invoke(mistake.line, built)
    assert_told(result.exit_code, result.stderr, mistake.fragments)
    assert result.stdout == ""
    assert [path.name for path in (built / "out/tiny/versions").iterdir()] == ["000001.json"]


def test_a_read_only_folder_is_named(workplace: Path):
    with tmpfs(workplace / "disk", "4m") as disk:
        remount(disk, "ro")
        result = invoke("fs-data build tiny --out disk/new", workplace)
        assert_told(result.exit_code, result.stderr, ("disk/new",))
        remount(disk, "rw")
        assert not list(disk.iterdir())


def test_a_full_disk_is_named_and_the_build_goes_on_when_there_is_room(workplace: Path):
    with tmpfs(workplace / "disk", "200k") as disk:
        result = invoke("fs-data build tiny --out disk/new", workplace)
        assert_told(result.exit_code, result.stderr, ("disk", "full"))
        assert not list(disk.glob("new/versions/*.json"))
        remount(disk, "size=16m")
        assert invoke("fs-data build tiny --out disk/new", workplace).exit_code == 0


def test_a_second_build_in_one_folder_is_refused(workplace: Path):
    (workplace / "new" / "versions").mkdir(parents=True)
    with chdir(workplace), build_lock(Path("new/build.lock")):
        result = invoke(BUILD, workplace)
    assert_told(result.exit_code, result.stderr, ("another build is running", "process"))
    assert not list(workplace.glob("new/versions/*.json"))


def test_a_store_of_a_later_fullstep_is_refused(place: Path):
    manifest = place / "out/tiny/versions/000001.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 99}))
    for line in ("fs-data show out/tiny", "fs-data build tiny --out out/tiny", "fs-train run tiny --data out/tiny --out new"):
        result = invoke(line, place)
        assert_told(result.exit_code, result.stderr, ("store format 99", "upgrade fullstep"))
    assert len(list((place / "out/tiny/versions").iterdir())) == 1


@pytest.mark.parametrize("how", ["altered", "cut", "deleted"])
def test_a_damaged_part_is_found(how: str, place: Path):
    part = sorted((place / "out/tiny/parts/step_scores").iterdir())[0]
    content = part.read_bytes()
    match how:
        case "altered":
            part.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
        case "cut":
            part.write_bytes(content[:-1])
        case _:
            part.unlink()
    found = invoke("fs-data check out/tiny", place)
    assert found.exit_code == 1
    assert part.name in found.stdout
    assert "ok:" not in found.stdout
    refused = invoke("fs-train run tiny --data out/tiny --out new", place)
    assert_told(refused.exit_code, refused.stderr, (part.name,))
    assert not list(place.glob("new/versions/*.json"))


def test_usage_errors_name_the_option(built: Path):
    for line, fragment in (
        ("fs-data build tiny", "--out"),
        ("fs-data sql out/tiny 'SELECT 1' --format xml", "'xml' is not one of"),
        ("fs-data show out/tiny pairs --rows -1", "--rows"),
        ("fs-train eval --model tiny-random", "--sets"),
        ("fs-data biuld", "biuld"),
    ):
        result = invoke(line, built)
        assert result.exit_code == 2
        assert fragment in result.stderr
        assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "mistake", [one for one in MISTAKES if one.name in ("T above M", "no dataset")], ids=lambda one: one.name
)
def test_a_real_process_says_the_same(mistake: Mistake, workplace: Path):
    process = spawn(mistake.line, workplace)
    _, errors = process.communicate(timeout=120)
    assert_told(process.returncode, errors, mistake.fragments)
    assert not list(workplace.glob("*/versions/*.json"))


def test_a_closed_pipe_is_quiet(built: Path):
    with spawn("fs-data sql out/tiny 'SELECT range FROM range(300000)' --format csv", built) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "range\n"
        process.stdout.close()
        assert process.stderr.read() == ""


def assert_told(exit_code: int, errors: str, fragments: tuple[str, ...]) -> None:
    assert "Traceback" not in errors
    assert exit_code == 2, errors
    block = errors[errors.index("error: ") :]
    assert "\n  next: " in block
    for fragment in fragments:
        assert fragment in block
