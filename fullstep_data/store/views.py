"""DuckDB views of a version, as SQL: one per table of the contract (empty but typed where it has no rows), and the ready joins.

    statements(version, locate=str)             # locate: how a file is named in the SQL
    join_statements()                           # rewards, steps_wide, preferences: over the views of the tables
    create(connection, version, locate=str)     # makes both in a connection that can read the files

The files are listed one by one, never by a pattern: a pattern would also find parts of other versions. Tables of an older
contract (`Version.outdated`) are read as they are; `create` gives them the columns of today that may be null, all null.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import polars as pl

from fullstep_data.store.label_health import LABEL_HEALTH
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

# Every step with all that is known of it, scored and labelled or not; one row per scorer and labeller where there are several.
STEPS_WIDE = """\
SELECT steps.problem_id, problems.question, problems.answer AS gold, steps.solution_id, solutions.sample_index, solutions.correct,
       solutions.answer, steps.step_index, max(steps.step_index) OVER (PARTITION BY steps.solution_id) + 1 AS n_steps,
       steps.text, steps.stop - steps.start AS characters, step_scores.reward, step_labels.label, step_labels.value,
       step_labels.n_rollouts, step_labels.n_correct, steps.prefix_key, step_scores.scorer, step_labels.labeller
FROM steps
JOIN solutions USING (solution_id)
LEFT JOIN problems ON problems.problem_id = steps.problem_id
LEFT JOIN step_scores ON step_scores.solution_id = steps.solution_id AND step_scores.step_index = steps.step_index
LEFT JOIN step_labels ON step_labels.solution_id = steps.solution_id AND step_labels.step_index = steps.step_index"""

# Every pair as text, with the rewards of each side's steps in order, by the PRM that the pair was selected with.
PREFERENCES = """\
WITH by_step AS (
    SELECT solution_id, scorer, list(reward ORDER BY step_index) AS rewards FROM step_scores GROUP BY solution_id, scorer
)
SELECT pairs.pair_id, pairs.problem_id, problems.question, problems.answer AS gold, c.prompt, c.text AS chosen,
       r.text AS rejected, cs.rewards AS chosen_rewards, rs.rewards AS rejected_rewards, pairs.chosen_score,
       pairs.rejected_score, pairs.margin,
       c.answer AS chosen_answer, r.answer AS rejected_answer, pairs.chosen_id, pairs.rejected_id, pairs.policy, pairs.scorer
FROM pairs
JOIN solutions c ON c.solution_id = pairs.chosen_id
JOIN solutions r ON r.solution_id = pairs.rejected_id
LEFT JOIN problems ON problems.problem_id = pairs.problem_id
LEFT JOIN by_step cs ON cs.solution_id = pairs.chosen_id AND cs.scorer = pairs.scorer
LEFT JOIN by_step rs ON rs.solution_id = pairs.rejected_id AND rs.scorer = pairs.scorer"""

JOINS = {"rewards": REWARDS, "steps_wide": STEPS_WIDE, "preferences": PREFERENCES}

_SQL_TYPES: dict[object, str] = {
    pl.String: "VARCHAR",
    pl.Int32: "INTEGER",
    pl.Int64: "BIGINT",
    pl.Float32: "FLOAT",
    pl.Float64: "DOUBLE",
    pl.Boolean: "BOOLEAN",
}


def statements(version: Version, locate: Callable[[Path], str]) -> list[str]:
    """CREATE VIEW statements of all tables."""
    return [_create(name, _body(version, name, locate)) for name in TABLES]


def join_statements() -> list[str]:
    """CREATE VIEW statements of the ready joins and of label health (`store.label_health`). They bind only to tables of today's
    contract: see `Version.outdated`.
    """
    return [_create(name, body) for name, body in {**JOINS, **LABEL_HEALTH}.items()]


def create(connection: duckdb.DuckDBPyConnection, version: Version, locate: Callable[[Path], str]) -> list[str]:
    """Make all views in a connection, and give the statements that made them. Joins that do not fit tables of an older contract
    are left out.
    """
    made = [_create(name, _renewed(connection, version, name, _body(version, name, locate))) for name in TABLES]
    for statement in made:
        connection.execute(statement)
    for statement in join_statements():
        try:
            connection.execute(statement)
        except duckdb.BinderException:
            if not version.outdated:
                raise
        else:
            made.append(statement)
    return made


def _body(version: Version, name: str, locate: Callable[[Path], str]) -> str:
    return table_body(TABLES[name], [locate(path) for path in version.files(name)] if name in version.tables else [])


def _renewed(connection: duckdb.DuckDBPyConnection, version: Version, name: str, body: str) -> str:
    """The rows of a table; one of an older contract with nulls for the columns that it lacks, where they may be null."""
    if name not in version.outdated or not version.files(name):
        return body
    there = {row[0] for row in connection.execute(f"DESCRIBE {body}").fetchall()}
    new = [column for column in TABLES[name].columns if column.name not in there and column.nullable]
    nulls = "".join(f", NULL::{_sql_type(column.dtype)} AS {_quoted(column.name)}" for column in new)
    return body.replace("SELECT *", f"SELECT *{nulls}", 1)


def views_file(version: Version, absolute: bool = False) -> bytes:
    """The content of views.sql. Paths are relative to the dataset folder, or absolute: then the files must be on this machine."""
    place = "Anywhere" if absolute else "In this folder"
    head = f"-- Version {version.number} of this dataset. {place}: duckdb -init views.sql"
    if absolute:
        with duckdb.connect() as connection:
            lines = create(connection, version, lambda path: str(path.resolve()))
    else:
        lines = statements(version, lambda path: path.relative_to(version.path).as_posix())
        lines += [] if version.outdated else join_statements()
    return ("\n".join([head, *lines]) + "\n").encode("utf-8")


def table_body(table: Table, files: Sequence[str]) -> str:
    """The rows of these files; without files, no rows but the right columns."""
    if not files:
        columns = ", ".join(f"NULL::{_sql_type(column.dtype)} AS {_quoted(column.name)}" for column in table.columns)
        return f"SELECT {columns} WHERE FALSE"
    return f"SELECT * FROM read_parquet({file_list(files)})"


def _create(name: str, body: str) -> str:
    return f"CREATE OR REPLACE VIEW {name} AS {body};"


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
