"""Fixtures: a dataset of sums, with a question that tries to be a program; and tables made by hand, without any dataset."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from fullstep_data.store import Version
from schemas import TABLES
from tests.fullstep_data.report.sums import build, questions

PROGRAM = "</script><script>window.hacked = true</script><img src=x onerror='hacked = true'> What is 2 + 3 - 1?"

# An alias (or a test's annotation) that names DuckDB's own class keeps it alive to the end, and its binding complains of that.
Connected = Callable[..., Any]


@pytest.fixture(scope="session")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    """31 problems, 6 samples each, for reading only."""
    return build(tmp_path_factory.mktemp("report") / "data", [PROGRAM, *questions(30)])


@pytest.fixture(scope="session")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Version, Version]:
    """One dataset before and after: the second version has fewer problems, one pair a problem, and rewards up to 0.03 higher."""
    folder: Path = tmp_path_factory.mktemp("versions") / "data"
    asked = [PROGRAM, *questions(20)]
    return build(folder, asked), build(folder, asked[:18], top=1, shift=0.03)


@pytest.fixture
def connected() -> Iterator[Connected]:
    """connected(solutions=[…]): the tables of a version with these rows (what one leaves out is filled in), the others empty."""
    with ExitStack() as open_ones:

        def connect(**rows: list[dict[str, object]]) -> duckdb.DuckDBPyConnection:
            connection = open_ones.enter_context(duckdb.connect(":memory:"))
            for name, table in TABLES.items():
                given = [{**_filled(name), **row} for row in rows.get(name, [])]
                connection.register(name, table.frame(given))
            return connection

        yield connect


def _filled(table: str) -> dict[str, object]:
    """A row of the table with something in every column that may not be null."""
    values: dict[object, object] = {pl.String: "", pl.Int32: 0, pl.Int64: 0, pl.Float32: 0.0, pl.Float64: 0.0, pl.Boolean: False}
    return {column.name: values[column.dtype] for column in TABLES[table].columns if not column.nullable}
