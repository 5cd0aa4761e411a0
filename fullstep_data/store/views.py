"""DuckDB views of a version, as SQL: one per table of the contract (empty but typed where it has no rows), and `rewards`.

    statements(version, locate=str)     # locate: how a file is named in the SQL

The files are listed one by one, never by a pattern: a pattern would also find parts of other versions.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from fullstep_data.store.version import Version
from schemas import TABLES, Table

# Steps with what was found out about them; the table to look at for reward distributions.
REWARDS = """\
SELECT steps.problem_id, steps.solution_id, steps.step_index, steps.text, step_scores.reward, step_labels.label,
       step_labels.value, solutions.correct, step_scores.scorer, step_labels.labeller
FROM steps
JOIN step_scores USING (solution_id, step_index)
JOIN solutions USING (solution_id)
LEFT JOIN step_labels USING (solution_id, step_index)"""

_SQL_TYPES: dict[object, str] = {
    pl.String: "VARCHAR",
    pl.Int32: "INTEGER",
    pl.Int64: "BIGINT",
    pl.Float32: "FLOAT",
    pl.Float64: "DOUBLE",
    pl.Boolean: "BOOLEAN",
}


def statements(version: Version, locate: Callable[[Path], str]) -> list[str]:
    """CREATE VIEW statements of all tables, then of `rewards`."""
    bodies = {
        name: table_body(table, [locate(path) for path in version.files(name)] if name in version.tables else [])
        for name, table in TABLES.items()
    }
    return [f"CREATE OR REPLACE VIEW {name} AS {body};" for name, body in {**bodies, "rewards": REWARDS}.items()]


def views_file(version: Version) -> bytes:
    """The content of views.sql: paths are relative to the dataset folder."""
    head = f"-- Version {version.number} of this dataset. In this folder: duckdb -init views.sql"
    lines = statements(version, locate=lambda path: path.relative_to(version.path).as_posix())
    return ("\n".join([head, *lines]) + "\n").encode("utf-8")


def table_body(table: Table, files: Sequence[str]) -> str:
    """The rows of these files; without files, no rows but the right columns."""
    if not files:
        columns = ", ".join(f"NULL::{_sql_type(column.dtype)} AS {_quoted(column.name)}" for column in table.columns)
        return f"SELECT {columns} WHERE FALSE"
    return f"SELECT * FROM read_parquet({file_list(files)})"


def file_list(files: Sequence[str]) -> str:
    """Names of files as a SQL list."""
    return "[" + ", ".join("'" + name.replace("'", "''") + "'" for name in files) + "]"


def _sql_type(dtype: object) -> str:
    if isinstance(dtype, pl.List):
        return f"{_sql_type(dtype.inner)}[]"
    kind = dtype if isinstance(dtype, type) else type(dtype)
    return _SQL_TYPES[kind]


def _quoted(name: str) -> str:
    return f'"{name}"'
