"""Frames to Parquet and back: exactly the contract's types, the encodings measured, the same bytes each time."""

import hashlib
import io
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fullstep_data.store.manifest import RejectFile
from fullstep_data.store.parquet import Note, decode, encode, read_note, scan
from fullstep_data.store.views import table_body
from schemas import TABLES, Column, InputError, Table

_VALUES: dict[object, st.SearchStrategy[Any]] = {
    pl.String: st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    pl.Int32: st.integers(-(2**31), 2**31 - 1),
    pl.Int64: st.integers(-(2**63), 2**63 - 1),
    pl.Float32: st.floats(width=32, allow_nan=False),
    pl.Float64: st.floats(allow_nan=False),
    pl.Boolean: st.booleans(),
}


def _value(column: Column) -> st.SearchStrategy[Any]:
    if isinstance(column.dtype, pl.List):
        values: st.SearchStrategy[Any] = st.lists(_VALUES[column.dtype.inner], max_size=3)
    else:
        values = st.sampled_from(column.values) if column.values else _VALUES[column.dtype]
    return st.none() | values if column.nullable else values


@st.composite
def _frames(draw: st.DrawFn) -> tuple[Table, pl.DataFrame]:
    table = draw(st.sampled_from(list(TABLES.values())))
    row = st.fixed_dictionaries({column.name: _value(column) for column in table.columns})
    return table, table.frame(draw(st.lists(row, max_size=5)))


@settings(max_examples=80, deadline=None)
@given(_frames())
def test_any_frame_of_any_table_comes_back_as_it_was(drawn: tuple[Table, pl.DataFrame]) -> None:
    table, frame = drawn
    content = encode(table, frame, Note(rows_in=3))
    back = decode(table, content, where="here")
    assert back.schema == table.polars_schema
    assert back.equals(frame)
    assert encode(table, frame, Note(rows_in=3)) == content
    assert read_note(content) == (frame.height, Note(rows_in=3))


def _encodings(table: Table, frame: pl.DataFrame) -> dict[str, tuple[str, ...]]:
    group = pq.read_metadata(io.BytesIO(encode(table, frame))).row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    assert {column.compression for column in columns} == {"ZSTD"}
    return {column.path_in_schema: column.encodings for column in columns}


def test_dictionary_for_few_values_numbers_as_they_are_lengths_for_text() -> None:
    labels = {"solution_id": "s", "step_index": 0, "labeller": "outcome", "problem_id": "p", "n_rollouts": 1, "n_correct": 1}
    found = _encodings(TABLES["step_labels"], TABLES["step_labels"].frame([{**labels, "value": 1.0, "source": "outcome"}]))
    for name in ("labeller", "problem_id", "source"):
        assert "RLE_DICTIONARY" in found[name]
    assert found["value"] == ("RLE", "PLAIN")
    assert "DELTA_LENGTH_BYTE_ARRAY" in found["solution_id"]
    assert not any("DICTIONARY" in encoding for encoding in found["step_index"])

    logprobs = {"problem_id": "p", "solution_id": "s", "reference": "r", "token_hash": "h", "logprobs": [-0.5, -1.5]}
    found = _encodings(TABLES["reference_logprobs"], TABLES["reference_logprobs"].frame([logprobs]))
    assert found["logprobs.list.element"] == ("RLE", "PLAIN")


def test_ids_take_less_with_less_effort_than_a_text_of_the_same_digits() -> None:
    digits = [hashlib.sha256(f"{number // 6}".encode()).hexdigest()[:20] for number in range(6000)]
    row = {"problem_id": "p", "step_index": 0, "start": 0, "stop": 1, "prefix_key": "k"}
    frame = TABLES["steps"].frame([{**row, "solution_id": one, "text": one} for one in digits])
    group = pq.read_metadata(io.BytesIO(encode(TABLES["steps"], frame))).row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    size = {column.path_in_schema: column.total_compressed_size for column in columns}
    assert size["solution_id"] < size["text"]


def _solutions(count: int) -> pl.DataFrame:
    """Rows whose texts do not repeat."""
    words = [f"w{number * 7919 % 10_007}" for number in range(10_007)]
    own = {"seed": 0, "prompt": "p", "finish_reason": "eos", "answer_source": "none", "correct": False}
    own |= {"grade_path": "no-answer", "grader": "g", "sampler": "s"}
    return TABLES["solutions"].frame(
        [
            {
                **own,
                "solution_id": f"s{row}",
                "problem_id": f"p{row // 8}",
                "sample_index": row % 8,
                "text": " ".join(words[(row * 37 + place * place) % 10_007] for place in range(120)),
            }
            for row in range(count)
        ]
    )


def _pages(content: bytes) -> set[bytes]:
    """What stands from one zstd frame to the next: a page, and the header of the one after it."""
    return set(content.split(b"\x28\xb5\x2f\xfd"))


def test_a_part_that_lost_rows_shares_most_of_its_pages_with_the_older_one() -> None:
    rows = _solutions(6_000)
    older, newer = _pages(encode(TABLES["solutions"], rows)), _pages(encode(TABLES["solutions"], rows.slice(100)))
    same = sum(map(len, older & newer)) / sum(map(len, newer))
    assert same > 0.5, same  # pages cut every so many values would all be others: 100 rows at the front are gone


def test_pages_can_be_found_without_reading_the_row_group() -> None:
    group = pq.read_metadata(io.BytesIO(encode(TABLES["solutions"], _solutions(20)))).row_group(0)
    assert all(group.column(place).has_offset_index for place in range(group.num_columns))


def test_a_row_group_is_no_larger_than_readers_take(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _solutions(200)
    monkeypatch.setattr("fullstep_data.store.parquet.ROW_GROUP_BYTES", rows.to_arrow().nbytes // 4)
    found = pq.read_metadata(io.BytesIO(encode(TABLES["solutions"], rows)))
    assert 4 <= found.num_row_groups <= 6  # Arrow's old strings, in which they are counted, are a little larger or smaller
    assert decode(TABLES["solutions"], encode(TABLES["solutions"], rows), where="here").equals(rows)


def test_duckdb_reads_every_table_with_the_expected_types(tmp_path: Any) -> None:
    for table in TABLES.values():
        path = tmp_path / f"{table.name}.parquet"
        path.write_bytes(encode(table, table.empty()))
        found = duckdb.execute(f"DESCRIBE SELECT * FROM read_parquet('{path}')").fetchall()
        expected = duckdb.execute(f"DESCRIBE {table_body(table, [])}").fetchall()
        assert found == expected


def test_columns_of_another_contract_are_an_input_error() -> None:
    content = encode(TABLES["problems"], TABLES["problems"].empty())
    for columns in ((), ("problem_id",)):  # whichever are asked for
        with pytest.raises(InputError, match="not those of contract version"):
            scan(TABLES["samples"], content, where="parts/samples/x.parquet", columns=columns)


def test_the_note_carries_the_rejects() -> None:
    note = Note(rows_in=5, rejects=RejectFile(key="k", rows=2, sha256="s", bytes=9, reasons={"too long": 2}))
    table = TABLES["problems"]
    assert read_note(encode(table, table.empty(), note)) == (0, note)


@pytest.mark.parametrize("cut", [0, 3, 200])
def test_a_truncated_file_has_no_note(cut: int) -> None:
    content = encode(TABLES["problems"], TABLES["problems"].empty(), Note(rows_in=0))
    with pytest.raises(ValueError):
        read_note(content[:cut])


def test_a_foreign_parquet_file_has_no_note() -> None:
    with pytest.raises(ValueError, match="no note"):
        read_note(encode(TABLES["problems"], TABLES["problems"].empty()))
