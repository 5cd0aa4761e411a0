"""Rows on disk come back sorted, a piece at a time, whatever the order in which they came."""

import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pyarrow.parquet import ParquetFile

from fullstep_data.formats.spill import NUMBER, PROBLEMS_PER_PART, Spill
from schemas import TABLES

STEPS = TABLES["steps"]
PROBLEMS = 3 * PROBLEMS_PER_PART + 10


def row(number: int, solution: int, step: int, letters: int = 20) -> dict[str, Any]:
    ids = {"solution_id": f"{number:05d}-{solution}", "problem_id": f"{PROBLEMS - number:05d}", "prefix_key": "p"}
    return {NUMBER: number, "step_index": step, "start": 0, "stop": letters, "text": "x" * letters, **ids}


def spilled(rows: list[dict[str, Any]], folder: Path, per_file: int = 1_000) -> Spill:
    folder.mkdir()
    spill = Spill(STEPS, folder)
    for start in range(0, len(rows), per_file):
        spill.write(rows[start : start + per_file])
    return spill


@pytest.fixture(scope="module")
def shuffled() -> list[dict[str, Any]]:
    rows = [row(number, solution, step) for number in range(PROBLEMS) for solution in range(2) for step in range(3)]
    random.Random(7).shuffle(rows)
    return rows


@pytest.mark.parametrize("piece", [1, 30_000, 10**9])
def test_a_chunk_has_its_problems_sorted_by_problem_and_key_however_much_is_read_at_a_time(
    shuffled: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr("fullstep_data.formats.spill.PIECE_BYTES", piece)
    parts = list(spilled(shuffled, tmp_path / "spill").parts())
    assert [chunk for chunk, _ in parts] == [0, 1, 2, 3]
    for chunk, found in parts:
        wanted = [one for one in shuffled if one[NUMBER] // PROBLEMS_PER_PART == chunk]
        frame = pl.DataFrame(wanted, schema={NUMBER: pl.Int64, **STEPS.polars_schema}).drop(NUMBER)
        assert found.equals(frame.sort("problem_id", *STEPS.key))


def test_what_is_read_at_a_time_is_bounded(
    shuffled: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A piece has as many chunks as its bytes allow, and one at least; of a file it reads the row groups of these chunks."""
    spill = spilled(shuffled, tmp_path / "spill")
    monkeypatch.setattr("fullstep_data.formats.spill.PIECE_BYTES", 1)
    assert list(spill._pieces()) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    half = sum(spill._bytes.values()) // 2
    monkeypatch.setattr("fullstep_data.formats.spill.PIECE_BYTES", half)
    pieces = list(spill._pieces())
    assert pieces[0][0] == 0
    assert pieces[-1][1] == 3
    assert 2 <= len(pieces) <= 3
    assert all(sum(spill._bytes[chunk] for chunk in range(low, high + 1)) <= half for low, high in pieces)


def test_wide_rows_stand_in_small_groups(tmp_path: Path) -> None:
    spilled([row(number, 0, 0, letters=200_000) for number in range(20)], tmp_path / "spill")
    (file,) = (tmp_path / "spill").iterdir()
    assert ParquetFile(file).num_row_groups == 10


def test_rows_of_an_equal_key_stay_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    rows = [row(5, 0, 0, letters) for letters in (3, 1, 2)]
    ((_, found),) = spilled(rows, tmp_path / "spill", per_file=1).parts()
    assert found["stop"].to_list() == [3, 1, 2]


def test_a_table_without_rows_has_no_parts(tmp_path: Path) -> None:
    assert list(Spill(STEPS, tmp_path).parts()) == []
