"""Back from the Hub: the same bytes, a folder that `check` passes, and no half version whatever happens."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fullstep_data.check import check
from fullstep_data.store import Store, open_version
from tests.fullstep_data.small_chain import STAGES, Recipe, build
from tests.hub_server import Fault, Hub, environment
from tests.hub_server.cases import KINDS, Case, Command, cases, in_parallel
from tests.hub_server.fixtures import TOKEN
from tests.hub_server.forks import Forks
from tests.hub_server.repos import File, Repo

PULL = "fs-data pull {repo}@v1 --out {out}"
SMALL = Recipe(problems=4, samples=2, problems_per_part=8)
SET = "ann/pulled"


@pytest.fixture(scope="module")
def place(hub: Hub, forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset of two versions, both published as SET, v1 without its step tables."""
    folder = tmp_path_factory.mktemp("place")
    for tag, samples, tables in (("v1", 2, "--tables problems,pairs"), ("v2", 4, "")):
        build(folder / "dataset", SMALL.model_copy(update={"samples": samples}))
        done = forks.run(f"fs-data push dataset {SET} --tag {tag} {tables}", folder)
        assert done.status == 0, done.errors
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "build.lock"
    }


def published(hub: Hub, tag: str) -> dict[str, str]:
    """What of the repository is the store's."""
    paths = hub.repos["dataset", SET].find(tag).files
    ours = [path for path in paths if path.startswith(("parts/", "versions/")) or path == "views.sql"]
    return {path: hashlib.sha256(hub.read("dataset", SET, path, tag)).hexdigest() for path in ours}


def test_a_pulled_dataset_is_what_was_pushed_and_whole(hub, forks, place, tmp_path):
    done = forks.run(f"fs-data pull {SET}@v2 --out {tmp_path / 'copy'}", tmp_path)
    assert done.status == 0, done.errors
    found = contents(tmp_path / "copy")
    assert found.pop("tags/v2")
    assert found == published(hub, "v2")
    version = open_version(f"{tmp_path / 'copy'}@v2")
    assert check(version, STAGES) == []
    original = open_version(str(place / "dataset"))
    for name in version.manifest.tables:
        assert version.frame(name).equals(original.frame(name))


def test_progress_counts_what_is_there_and_what_came(hub, place, tmp_path, client):
    """In a process of its own: the address of the Hub is read when its client is imported."""
    code = (
        "from pathlib import Path; from fullstep_data.hub.address import parse; from fullstep_data.hub.pull import pull;"
        f"pull(parse('{SET}@v2'), Path('copy'), lambda done, total: print(done, total))"
    )
    ran = subprocess.run([sys.executable, "-c", code], env=client, cwd=tmp_path, capture_output=True, text=True, check=True)
    total = len([path for path in published(hub, "v2") if path.startswith("parts/")])
    assert ran.stdout.split("\n")[:-1] == [f"{done} {total}" for done in range(total + 1)]
    again = subprocess.run([sys.executable, "-c", code], env=client, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert again.stdout == f"{total} {total}\n"


def test_two_versions_in_one_folder(hub, forks, place, tmp_path):
    for tag in ("v1", "v2"):
        assert forks.run(f"fs-data pull hf://{SET}@{tag} --out copy", tmp_path).status == 0
    store = Store.open(tmp_path / "copy")
    assert store.tags() == {"v1": 1, "v2": 2}
    assert [check(store.version(number), STAGES) for number in (1, 2)] == [[], []]


def test_what_is_there_is_not_fetched_again(hub, forks, place, tmp_path):
    line = f"fs-data pull {SET}@v2 --out copy"
    assert forks.run(line, tmp_path).status == 0
    lost, altered = sorted((tmp_path / "copy/parts/steps").glob("*.parquet"))[:2]
    lost.unlink()
    altered.write_bytes(altered.read_bytes()[:-1] + b"x")
    before = len(hub.log)
    assert forks.run(line, tmp_path).status == 0
    fetched = {one.path.rpartition("/")[2] for one in hub.log[before:] if "/parts/" in one.path}
    assert fetched == {lost.name, altered.name}
    assert check(open_version(str(tmp_path / "copy")), STAGES) == []


def check_case(hub: Hub, forks: Forks, cwd: Path, case: Case, out: Path) -> None:
    """One fault, then what is in the folder; then the command again."""
    command = Command(hub, forks, cwd, PULL)
    watched = hub_watch(hub, out.name)
    done = command.run(case, watched, repo=watched, out=str(out))
    assert "Traceback" not in done.errors, done.errors[-1500:]
    assert TOKEN not in done.output + done.errors
    whole = contents(out).keys() >= published(hub, "v1").keys()
    numbers = Store.open(out).numbers() if (out / "versions").is_dir() else []
    assert numbers in ([], [1])
    if numbers:
        assert check(open_version(str(out))) in ([], [f for f in check(open_version(str(out))) if f.where == "views.sql"])
    if done.status == 0:
        assert whole
    again = command.run(None, watched, repo=watched, out=str(out))
    assert again.status == 0, again.errors
    assert check(open_version(f"{out}@v1"), STAGES) == []
    assert not (out / ".pull").exists()
    shutil.rmtree(out)


def hub_watch(hub: Hub, name: str) -> str:
    """The published set under a name of its own, so that parallel cases do not count each other's requests."""
    original = hub.repos["dataset", SET]
    copy = f"ann/{name}"
    hub.repos["dataset", copy] = Repo("dataset", copy, False, original.commits, original.heads, original.tags)
    return copy


REPRESENTATIVE = (
    *(Case(kind, "/parts/") for kind in ("before", "after", 503, "kill before")),
    *(Case(kind, "/versions/000001.json") for kind in ("middle", 429, "kill after")),
    *(Case(kind, "/refs") for kind in ("before", "kill after")),
)


@pytest.mark.parametrize("case", REPRESENTATIVE, ids=str)
def test_a_fault_leaves_no_half_version_and_a_second_call_completes(case, hub, forks, place, tmp_path):
    check_case(hub, forks, tmp_path, case, tmp_path / f"p{abs(hash(str(case)))}")


@pytest.mark.parametrize("kind", ["before", "middle", "after", 403, 500, 503])
def test_faults_where_large_files_lie(kind, hub, forks, place, tmp_path):
    line = f"fs-data pull {SET}@v2 --out copy"
    hub.faults["/large/"] = Fault(kind, 2)
    done = forks.run(line, tmp_path)
    hub.faults.clear()
    assert "Traceback" not in done.errors, done.errors
    if kind in ("middle", "after"):  # the client itself goes on, in pieces of 10 MB
        assert done.status == 0, done.errors
    if done.status:
        assert Store.open(tmp_path / "copy").numbers() == []
        done = forks.run(line, tmp_path)
    assert done.status == 0, done.errors
    assert check(open_version(str(tmp_path / "copy")), STAGES) == []


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_every_fault_at_every_request(hub, forks, place, tmp_path):
    watched = hub_watch(hub, "counted")
    before = len(hub.log)
    assert forks.run(PULL.format(repo=watched, out=tmp_path / "counted"), tmp_path).status == 0
    requests = sum(watched in one.path for one in hub.log[before:])
    total = in_parallel(
        environment(hub, tmp_path, TOKEN),
        cases(requests),
        lambda forks, case, number: check_case(hub, forks, tmp_path, case, tmp_path / f"case{number}x"),
    )
    print(f"{total} faults at {requests} requests")
    assert total == requests * len(KINDS)


def test_a_cache_that_cannot_be_written_is_told(hub, place, tmp_path):
    (tmp_path / "file").touch()
    forks = Forks({**environment(hub, tmp_path, TOKEN), "HF_HOME": str(tmp_path / "file")})
    try:
        done = forks.run(f"fs-data pull {SET}@v2 --out copy", tmp_path)
    finally:
        forks.close()
    assert done.status == 2, done.errors
    assert "whether HF_HOME can be written to" in done.errors
    assert "NotADirectoryError" in done.errors


def altered_copy(hub: Hub, repo: str, **files: bytes) -> None:
    """The published set with other content at some paths."""
    original = hub.repos["dataset", SET].find("v2")
    copy = Repo("dataset", repo, private=False)
    changed = {path: File(len(content), content=content) for path, content in files.items()}
    copy.add("main", "altered", {**original.files, **changed})
    hub.repos["dataset", repo] = copy


def test_a_part_that_is_not_the_listed_one_is_refused(hub, forks, place, tmp_path, repo):
    name = next(path for path in hub.repos["dataset", SET].find("v2").files if path.startswith("parts/steps"))
    altered_copy(hub, repo, **{name: b"PAR1 something else"})
    done = forks.run(f"fs-data pull {repo} --out copy", tmp_path)
    assert done.status == 2
    assert "is not the one that the manifest lists" in done.errors
    assert name in done.errors
    assert Store.open(tmp_path / "copy").numbers() == []


def test_a_manifest_cannot_make_us_write_elsewhere(hub, forks, place, tmp_path, repo):
    content = json.loads(hub.read("dataset", SET, "versions/000002.json", "v2"))
    part = content["tables"]["problems"]["stages"][0]["parts"][0]
    part["key"] = "../../../escaped"
    content.pop("sha256")
    altered_copy(hub, repo, **{"versions/000002.json": json.dumps(content).encode()})
    done = forks.run(f"fs-data pull {repo} --out copy", tmp_path)
    assert done.status == 2
    assert "names what this fullstep does not know" in done.errors
    assert not list(tmp_path.rglob("*escaped*"))


def test_an_altered_manifest_is_refused(hub, forks, place, tmp_path, repo):
    content = hub.read("dataset", SET, "versions/000002.json", "v2")
    content = content.replace(b'"words": 4', b'"words": 5', 1)
    altered_copy(hub, repo, **{"versions/000002.json": content})
    done = forks.run(f"fs-data pull {repo} --out copy", tmp_path)
    assert done.status == 2
    assert "was altered after it was written" in done.errors


@pytest.mark.parametrize(
    ("address", "says"),
    [
        (f"{SET}@v3", "its tags: v1, v2"),
        ("ann/nosuch@v1", "has no dataset ann/nosuch that you may see"),
        ("ann/amodel@v1", "ann/amodel is a model on the Hub, not a dataset"),
        ("ann/foreign", "not a dataset that fullstep has published"),
        ("nosuch", "no name of a repository"),
    ],
)
def test_wrong_names(address, says, hub, forks, place, tmp_path):
    hub.repos["model", "ann/amodel"] = Repo("model", "ann/amodel", private=False)
    foreign = hub.repos["dataset", "ann/foreign"] = Repo("dataset", "ann/foreign", private=False)
    foreign.add("main", "mine", {"train.csv": File(3, content=b"a,b")})
    done = forks.run(f"fs-data pull {address} --out copy", tmp_path)
    assert done.status == 2
    assert says in done.errors
    assert not (tmp_path / "copy").exists()


def test_a_folder_with_another_version_of_that_number_is_left_alone(hub, forks, place, tmp_path):
    shutil.copytree(place / "dataset", tmp_path / "dataset")
    before = contents(tmp_path / "dataset")
    done = forks.run(f"fs-data pull {SET}@v1 --out dataset", tmp_path)
    assert done.status == 2
    assert "the folder holds another version 1" in done.errors
    assert contents(tmp_path / "dataset") == before
