"""Rows of a version to groups, one chunk of problems after the other: what a format writes.

    for group in groups(version, labeller=None, scorer=None):
        group.question, group.solutions[0].steps, group.pairs

A group is a training problem with all its solutions, in the order of their sample index; problems without solutions are left
out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from fullstep_data.formats.group import Group, Pair, Solution, StepPair
from fullstep_data.query import connect
from fullstep_data.store import Version
from fullstep_data.store.parquet import decode
from fullstep_data.store.storage import shown
from schemas import TABLES, InputError

_BY_STEP = ("solution_id", "step_index")


def groups(version: Version, labeller: str | None = None, scorer: str | None = None) -> Iterator[Group]:
    """Every problem with its solutions. labeller, scorer: whose labels and rewards, where there are several.

    InputError: the version has no solutions or steps; several labellers or scorers, and none is named; one that is not there.
    """
    for name in ("problems", "solutions", "steps"):
        version.table(name)
    labeller = _one_of(version, "step_labels", "labeller", labeller)
    scorer = _one_of(version, "step_scores", "scorer", scorer)
    by_step = "step_pairs" in version.tables and version.tables["step_pairs"].rows > 0
    chunks = dict.fromkeys(part.slice.chunk for part in version.tables["problems"].parts)
    for chunk in chunks:
        tables = {name: _frame(version, name, chunk) for name in ("problems", "solutions", "steps", "pairs")}
        labels = _frame(version, "step_labels", chunk).filter(pl.col("labeller") == (labeller or ""))
        values = pl.coalesce(pl.col("value").cast(pl.Float64), pl.col("label").cast(pl.Float64))
        rewards = _frame(version, "step_scores", chunk).filter(pl.col("scorer") == (scorer or ""))
        steps = (
            tables["steps"]
            .join(labels.select(*_BY_STEP, values.alias("value")), on=_BY_STEP, how="left")
            .join(rewards.select(*_BY_STEP, pl.col("reward").cast(pl.Float64)), on=_BY_STEP, how="left")
            .sort(_BY_STEP)
        )
        step_pairs = _frame(version, "step_pairs", chunk) if by_step else None
        yield from _of_chunk(_Chunk(tables["problems"], tables["solutions"], steps, tables["pairs"], step_pairs))


@dataclass(frozen=True)
class _Chunk:
    problems: pl.DataFrame
    solutions: pl.DataFrame
    steps: pl.DataFrame
    pairs: pl.DataFrame
    step_pairs: pl.DataFrame | None


def _of_chunk(chunk: _Chunk) -> Iterator[Group]:
    steps = {key[0]: rows for key, rows in chunk.steps.partition_by("solution_id", as_dict=True).items()}
    solutions = _by_problem(chunk.solutions.sort("problem_id", "sample_index", "solution_id"))
    pairs = _by_problem(chunk.pairs)
    step_pairs = None if chunk.step_pairs is None else _by_problem(chunk.step_pairs)
    for problem in chunk.problems.iter_rows(named=True):
        rows = [row for row in solutions.get(problem["problem_id"], ()) if row["solution_id"] in steps]
        if not rows:
            continue
        places = {row["solution_id"]: place for place, row in enumerate(rows)}
        found = _among(pairs.get(problem["problem_id"], ()), places)
        of_steps = None if step_pairs is None else _among(step_pairs.get(problem["problem_id"], ()), places)
        yield Group(
            problem["question"],
            answer=problem["answer"],
            reference=problem["reference_solution"],
            source=problem["source"],
            solutions=tuple(_solution(row, steps[row["solution_id"]]) for row in rows),
            pairs=tuple(_pairs(found, places)),
            step_pairs=None
            if of_steps is None
            else tuple(StepPair(places[row["chosen_id"]], places[row["rejected_id"]], row["step_index"]) for row in of_steps),
        )


def _among(rows: Sequence[dict[str, Any]], places: dict[str, int]) -> list[dict[str, Any]]:
    """The pairs of which both solutions are there."""
    return [row for row in rows if row["chosen_id"] in places and row["rejected_id"] in places]


def _solution(row: dict[str, Any], steps: pl.DataFrame) -> Solution:
    labels, rewards = tuple(steps["value"].to_list()), tuple(steps["reward"].to_list())
    return Solution(
        steps=tuple(steps["text"].to_list()),
        labels=labels if any(value is not None for value in labels) else (),
        rewards=rewards if all(value is not None for value in rewards) else (),
        correct=row["correct"],
        stated=row["answer"],
        finished=row["finish_reason"] != "length",
        prompt=row["prompt"],
    )


def _pairs(rows: Sequence[dict[str, Any]], places: dict[str, int]) -> Iterator[Pair]:
    """The pairs of a problem, best first where they are ranked, else in the order of the solutions."""
    ordered = sorted(
        rows,
        key=lambda row: (
            row["chosen_rank"] or 0,
            row["rejected_rank"] or 0,
            places[row["chosen_id"]],
            places[row["rejected_id"]],
        ),
    )
    for row in ordered:
        yield Pair(places[row["chosen_id"]], places[row["rejected_id"]], row["chosen_score"], row["rejected_score"])


def _by_problem(frame: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in frame.iter_rows(named=True):
        found.setdefault(row["problem_id"], []).append(row)
    return found


def _frame(version: Version, name: str, chunk: int | None) -> pl.DataFrame:
    """The rows of a table that belong to a chunk of problems; none where the version has no such table."""
    if name not in version.tables:
        return TABLES[name].empty()
    table = version.tables[name]
    files = [file for part, file in zip(table.parts, table.stored, strict=True) if part.slice.chunk in (chunk, None)]
    frames = [decode(TABLES[name], file.content(), where=shown(file.path)) for file in files]
    return pl.concat(frames) if frames else TABLES[name].empty()


def _one_of(version: Version, table: str, column: str, wanted: str | None) -> str | None:
    """The labeller or scorer to take: the one that is named, or the only one there is."""
    if table not in version.tables:
        return None
    with connect(version) as connection:
        query = f"SELECT {column}, count(*) AS rows FROM {table} GROUP BY {column} ORDER BY rows DESC, {column}"
        there: dict[str, int] = dict(connection.execute(query).fetchall())
    if wanted in there or not there:
        return wanted
    if wanted is None and len(there) == 1:
        return next(iter(there))
    what = f"{table} holds several {column}s" if wanted is None else f"{table} has no {column} {wanted!r}"
    raise InputError(
        what,
        where=f"{version.place}, version {version.number}",
        count=len(there),
        examples=[f"{name}: {rows:,} rows" for name, rows in there.items()],
        next_step=f"name one of them: --{column} NAME",
    )
