"""Files are read whole or not at all: every fault is one InputError with place, count, examples and next step."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from fullstep_data.sources.files import Row, content_hash, locate, read_file, shown_name
from schemas import InputError

RECORDS = [{"question": "What is 2 + 2?", "answer": 4}, {"question": "Wie viel ist 3 − 1?\nSag es!", "answer": 2}]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(path: str, limit: int | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        read_file(path, limit)
    assert caught.value.where.startswith(path)
    assert caught.value.next_step
    assert len(caught.value.examples) <= (caught.value.count or 1)
    return caught.value


def test_the_same_records_in_every_form(folder: Path) -> None:
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS)
    (folder / "a.jsonl").write_text(lines, encoding="utf-8")
    (folder / "bom.jsonl").write_text("\n" + lines + "\n", encoding="utf-8-sig")
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    pl.DataFrame(RECORDS).write_parquet(folder / "a.parquet")
    pl.DataFrame(RECORDS).write_csv(folder / "a.csv")
    expected = [Row(1, RECORDS[0]), Row(2, RECORDS[1])]
    for name in ("a.jsonl", "bom.jsonl", "a.jsonl.gz", "a.parquet"):
        assert read_file(name) == expected, name
        assert read_file(name, limit=1) == expected[:1], name
    as_text = [Row(row.number, {name: str(value) for name, value in row.values.items()}) for row in expected]
    assert read_file("a.csv") == as_text
    assert read_file("a.csv", limit=1) == as_text[:1]


def test_a_builtin_file_is_found_from_anywhere(folder: Path) -> None:
    rows = read_file("builtin:sums.jsonl")
    assert 40 <= len(rows) <= 60
    for row in rows:
        left = row.values["question"].rstrip("?.").split(maxsplit=1)[1].removeprefix("is ").removeprefix("out ")
        assert eval(left) == row.values["answer"], left
    assert len({row.values["question"] for row in rows}) == len(rows)
    assert shown_name("builtin:sums.jsonl") == "builtin:sums.jsonl"


def test_the_name_for_tables_has_no_folders(folder: Path) -> None:
    assert shown_name(str(folder / "a.jsonl")) == "a.jsonl"


def test_home_is_known_as_in_every_other_path_of_a_recipe(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.jsonl").write_text(json.dumps(RECORDS[0]))
    monkeypatch.setenv("HOME", str(folder))
    assert read_file("~/a.jsonl") == [Row(1, RECORDS[0])]
    assert content_hash("~/a.jsonl") == content_hash("a.jsonl")


def test_missing_file(folder: Path) -> None:
    assert "no such file" in refused("no.jsonl").what
    assert str(folder) in refused("no.jsonl").next_step
    assert "folder" in refused(str(folder)).what
    assert "builtin:sums.jsonl" in refused("builtin:sum.jsonl").next_step
    assert "no such file" in refused("builtin:../config.py").what
    assert "no such file" in refused("x" * 300 + ".jsonl").what
    with pytest.raises(InputError):
        content_hash("no.jsonl")


@pytest.mark.parametrize("name", ["a.json", "a.txt", "a", "a.parquet.gz", "jsonl"])
def test_unknown_ending(folder: Path, name: str) -> None:
    (folder / name).write_text("{}")
    assert ".jsonl, .csv, .parquet" in refused(name).next_step


@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", ""), ("b.jsonl", "\n \n"), ("a.csv", ""), ("b.csv", "question,answer\n")]
)
def test_empty_file(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    assert "no records" in refused(name).what


def test_malformed_lines_are_told_by_number(folder: Path) -> None:
    good = json.dumps(RECORDS[0])
    bad = ["{", "[1, 2]", "5", "{'a': 1}", '{"a": 1} {"b": 2}', "[" * 100_000, '{"n": ' + "9" * 5000 + "}"]
    (folder / "a.jsonl").write_text("\n".join([good, "", *bad, good]))
    error = refused("a.jsonl")
    assert error.count == len(bad)
    assert [str(example).split(":")[0] for example in error.examples][:3] == ["line 3", "line 4", "line 5"]
    assert str(error).count("example:") == 5
    assert all(len(str(example)) < 300 for example in error.examples)
    assert read_file("a.jsonl", limit=1) == [Row(1, RECORDS[0])]


def test_bytes_that_are_no_utf8_are_told_by_line_and_offset(folder: Path) -> None:
    first = b'{"question": "a"}\n'
    for name in ("a.jsonl", "a.csv"):
        (folder / name).write_bytes(first + b'{"question": "caf\xe9"}\n' + first + b"\xff\n")
        error = refused(name)
        assert error.count == 2
        assert error.examples[0] == f"line 2, byte {len(first) + 17} of the file (0xe9)"
        assert str(error.examples[1]).startswith("line 4, ")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("question,answer\na,1\nb,2,3\n", 3),
        ("question,answer\na\n", 2),
        ('question,answer\n"a,1\n', 2),
        ('question,answer\n"a"b,1\n', 2),
    ],
)
def test_csv_faults_are_told_by_line(folder: Path, content: str, line: int) -> None:
    (folder / "a.csv").write_text(content)
    assert refused("a.csv").where == f"a.csv, line {line}"


def test_csv_columns_need_names_of_their_own(folder: Path) -> None:
    (folder / "a.csv").write_text("question,question\na,1\n")
    assert "one name" in refused("a.csv").what


def test_files_that_are_not_what_their_ending_says(folder: Path) -> None:
    (folder / "a.parquet").write_text("hello")
    (folder / "a.jsonl.gz").write_text("hello")
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 1000)[:-9])
    for name in ("a.parquet", "a.jsonl.gz", "b.jsonl.gz"):
        assert "cannot be read" in refused(name).what


def test_locate_gives_the_file_and_content_hash_its_bytes(folder: Path) -> None:
    (folder / "a.jsonl").write_text("abc")
    assert locate("a.jsonl") == Path("a.jsonl")
    assert (
        content_hash("a.jsonl") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )  # SHA-256 of "abc", FIPS 180-2
