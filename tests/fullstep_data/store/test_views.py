"""views.sql: DuckDB's own shell, started in the dataset folder, sees the tables."""

from pathlib import Path

import duckdb
import pytest

from fullstep_data.store import Version
from fullstep_data.store.views import table_body
from schemas import TABLES
from tests.fullstep_data.small_chain import Recipe, build


def _open_views(folder: Path, monkeypatch: pytest.MonkeyPatch) -> duckdb.DuckDBPyConnection:
    monkeypatch.chdir(folder)
    connection = duckdb.connect(":memory:")
    connection.execute((folder / "views.sql").read_text(encoding="utf-8"))
    return connection


def test_views_show_the_latest_version_and_nothing_else(dataset: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    version = build(dataset.path, Recipe(samples=2))
    with _open_views(version.path, monkeypatch) as connection:
        for name in TABLES:
            ((rows,),) = connection.execute(f"SELECT count(*) FROM {name}").fetchall()
            assert rows == (version.tables[name].rows if name in version.tables else 0), name
        ((steps,),) = connection.execute("SELECT count(*) FROM rewards").fetchall()
    assert steps == version.tables["steps"].rows
    text = (version.path / "views.sql").read_text()
    assert "*.parquet" not in text
    assert str(version.path) not in text


def test_a_table_without_parts_has_its_columns_and_types() -> None:
    types = {
        name: kind for name, kind, *_ in duckdb.execute(f"DESCRIBE {table_body(TABLES['reference_logprobs'], [])}").fetchall()
    }
    texts = dict.fromkeys(("token_hash", "reference", "problem_id", "solution_id"), "VARCHAR")
    assert types == {**texts, "logprobs": "FLOAT[]"}


def test_a_quote_in_a_file_name_stays_inside_its_string() -> None:
    assert "['it''s.parquet']" in table_body(TABLES["pairs"], ["it's.parquet"])
