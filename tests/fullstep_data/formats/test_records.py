"""Files of records: every shape of file gives the same records, and every fault is one clear error."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullstep_data.formats.records import records
from schemas import InputError

ROWS = [{"text": "зведено ки", "labels": [True, False]}, {"text": "two\nlines", "labels": []}]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
LIST = json.dumps(ROWS, indent=1, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", LINES),
        ("a.jsonl", b"\xef\xbb\xbf" + LINES.replace(b"\n", b"\r\n\r\n")),
        ("a.json", LIST),
        ("a.json", b"\xef\xbb\xbf \n" + LIST),
        ("a.json", LINES),
        ("a.json", "\n".join(json.dumps(row, indent=2, ensure_ascii=False) for row in ROWS).encode()),
        ("a.json", b"\xef\xbb\xbf{\r\n" + LINES[1:]),
        ("a.jsonl.gz", gzip.compress(LINES, mtime=0)),
        ("a.json.gz", gzip.compress(LIST, mtime=0)),
    ],
)
def test_one_set_of_records_in_every_shape(name: str, content: bytes, tmp_path: Path):
    (tmp_path / name).write_bytes(content)
    assert list(records(str(tmp_path / name))) == list(enumerate(ROWS, start=1))


def test_parquet(tmp_path: Path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert [record for _, record in records(str(tmp_path / "a.parquet"))] == ROWS


@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=40), max_size=3), min_size=1, max_size=8))
def test_a_list_is_read_object_by_object(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]]):
    path = tmp_path_factory.mktemp("list") / "a.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    assert [record for _, record in records(str(path))] == rows


def test_a_list_longer_than_a_block(tmp_path: Path):
    rows = [{"text": "x" * 700_000, "n": n} for n in range(5)]  # 3.5 MB: records lie across the 1 MiB blocks
    (tmp_path / "a.json").write_text(json.dumps(rows))
    assert [record for _, record in records(str(tmp_path / "a.json"))] == rows


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.jsonl.gz", gzip.compress(LINES * 50, mtime=0)[:-20], "ends before its end mark"),
        ("a.jsonl.gz", LINES, "cannot be read"),
        ("a.parquet", LINES, "cannot be read"),
        ("a.jsonl", LINES + "{'q': 'ü'}".encode("latin-1") + b"\n" + LINES, "not UTF-8 text"),
        ("a.json", LIST[:-3], "cut off or not valid"),
        ("a.json", json.dumps([{"a": 1}, 2]).encode(), "an object is wanted, found int"),
        ("a.json", LIST + LIST, "goes on after its JSON list"),
        ("a.json", b'{\n "a": 1', "cut off or not valid"),
        ("a.json", b'{\n "a": 1}\n2', "an object is wanted, found int"),
        ("a.json", '[{"a": "ü"}]'.encode("latin-1"), "not UTF-8 text"),
        ("a.jsonl", LINES[:-5], "a line is not a JSON object"),
        ("a.jsonl", b"1\n2\n", "lines are not JSON objects"),
        ("a.jsonl", b"\n", "holds no records"),
        ("a.json", b"[]", "holds no records"),
        ("a.csv", b"a,b\n", "cannot be read"),
    ],
)
def test_every_fault_is_one_error(name: str, content: bytes, what: str, tmp_path: Path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=what) as told:
        list(records(str(tmp_path / name)))
    assert name in told.value.where
    assert told.value.next_step


def test_mixed_encodings_name_line_and_byte(tmp_path: Path):
    # Two good lines, then one whose ü is the single byte 0xfc of Latin-1, at place 7 of its line.
    (tmp_path / "a.jsonl").write_bytes(LINES + b'{"q": "\xfc"}\n')
    with pytest.raises(InputError) as told:
        list(records(str(tmp_path / "a.jsonl")))
    assert told.value.count == 1
    assert told.value.examples == [f"line 3, byte {len(LINES) + 7} of the file (0xfc)"]


@pytest.mark.parametrize("content", [b'{"a": "' + b"x" * 4000 + b'"}', b'[{"a": "' + b"x" * (3 << 20)])
def test_a_line_without_end_is_not_read_into_memory(content: bytes, tmp_path: Path):
    (tmp_path / "a.jsonl").write_bytes(LINES + content if content[:1] == b"{" else content)
    with pytest.raises(InputError, match="a record is longer than"):
        list(records(str(tmp_path / "a.jsonl"), max_record=1000))
