"""The problems that a report can be leafed through: a sample of them, each with its solutions, steps, rewards and pairs.

    with connect(version) as connection:
        prepare(connection, "mean")
        book = browse(connection, problems=500)
    book.index[0]["question"], book.details[0]["solutions"]

The sample is the first problems in the order of their ids; ids are hashes of the questions, so it favours none, and it is the
same at every call. Of a problem's solutions at most `SOLUTIONS` are taken, those that stand in pairs first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import polars as pl

SOLUTIONS = 32

CHOSEN = """
CREATE TEMP TABLE shown_problems AS SELECT problem_id FROM problems ORDER BY problem_id LIMIT $problems;
"""

INDEX = """
SELECT problem_id AS id, question, answer AS gold, split, source, coalesce(solutions, 0) AS solutions, right_ones, wrong_ones,
       lowest, coalesce(paired.pairs, 0) AS pairs, widest, reason
FROM problems SEMI JOIN shown_problems USING (problem_id)
LEFT JOIN (SELECT problem_id, count(*) AS solutions, count(*) FILTER (correct) AS right_ones,
                  count(*) FILTER (NOT correct) AS wrong_ones FROM solutions GROUP BY ALL) AS sampled USING (problem_id)
LEFT JOIN (SELECT problem_id, min(reward) AS lowest FROM shown_scores GROUP BY ALL) AS scored USING (problem_id)
LEFT JOIN (SELECT problem_id, count(*) AS pairs, max(margin) AS widest FROM pairs GROUP BY ALL) AS paired USING (problem_id)
LEFT JOIN (SELECT key AS problem_id, min(reason) AS reason FROM rejects WHERE stage = 'pairs' AND "table" = 'problems'
           GROUP BY ALL) AS refused USING (problem_id)
ORDER BY problem_id
"""

KEPT = """
CREATE TEMP TABLE kept AS
SELECT problem_id, solution_id FROM solutions SEMI JOIN shown_problems USING (problem_id)
QUALIFY row_number() OVER (
    PARTITION BY problem_id
    ORDER BY solution_id IN (SELECT chosen_id FROM pairs UNION ALL SELECT rejected_id FROM pairs) DESC, sample_index, solution_id
) <= $solutions
"""

SOLVED = """
SELECT problem_id, solution_id, sample_index, correct, answer, score, finish_reason, tokens, text
FROM solutions SEMI JOIN kept USING (solution_id)
LEFT JOIN (FROM solution_scores SEMI JOIN kept USING (solution_id)) USING (solution_id)
ORDER BY problem_id, score DESC NULLS LAST, sample_index, solution_id
"""

# What is joined to the few is cut down to them first: the whole of it would be held in memory.
STEPS = """
SELECT solution_id, steps.text, reward, label, value, n_correct, n_rollouts, source
FROM steps SEMI JOIN kept USING (solution_id)
LEFT JOIN (FROM shown_scores SEMI JOIN kept USING (solution_id)) USING (solution_id, step_index)
LEFT JOIN (FROM shown_labels SEMI JOIN kept USING (solution_id)) USING (solution_id, step_index)
ORDER BY solution_id, step_index
"""

PAIRS = """
SELECT problem_id, chosen_id, rejected_id, chosen_score, rejected_score, margin
FROM pairs SEMI JOIN shown_problems USING (problem_id) ORDER BY problem_id, chosen_rank, rejected_rank, pair_id
"""


@dataclass(frozen=True)
class Book:
    """index: one light record per problem, for search and filters. details: in the same order, `solutions` and `pairs`.

    total: problems of the version. cut: problems of which not all solutions are here.
    """

    index: list[dict[str, Any]]
    details: list[dict[str, Any]]
    total: int
    cut: int


def browse(connection: duckdb.DuckDBPyConnection, problems: int, solutions: int = SOLUTIONS) -> Book:
    """The sample, ready to be written as JSON. The connection must have been through `queries.prepare`."""
    connection.execute(CHOSEN, {"problems": problems})
    connection.execute(KEPT, {"solutions": solutions})
    index = connection.sql(INDEX).pl().to_dicts()
    steps = _by(connection.sql(STEPS).pl(), "solution_id", _step)
    solved = connection.sql(SOLVED).pl()
    place = {solution: at for (group,) in _places(solved) for at, solution in enumerate(group)}
    by_problem = _by(solved, "problem_id", lambda row: _solution(row, steps.get(row["solution_id"], [])))
    pairs = _by(connection.sql(PAIRS).pl(), "problem_id", lambda row: _pair(row, place))
    (total,) = connection.execute("SELECT count(*) FROM problems").fetchall()[0]
    return Book(
        index=[{**row, "lowest": _short(row["lowest"]), "widest": _short(row["widest"])} for row in index],
        details=[{"solutions": by_problem.get(row["id"], []), "pairs": _whole(pairs.get(row["id"], []))} for row in index],
        total=total,
        cut=sum(row["solutions"] > len(by_problem.get(row["id"], [])) for row in index),
    )


def _solution(row: Mapping[str, Any], steps: list[Any]) -> dict[str, Any]:
    """A solution; `steps` holds its text, and only where it was not cut into steps `text` does."""
    return {
        "sample": row["sample_index"],
        "correct": row["correct"],
        "answer": row["answer"],
        "score": _short(row["score"]),
        "finish": row["finish_reason"],
        "tokens": row["tokens"],
        **({"steps": steps} if steps else {"text": row["text"]}),
    }


def _step(row: Mapping[str, Any]) -> list[Any]:
    """[text, reward, label]; see `_label`."""
    return [row["text"], _short(row["reward"]), _label(row)]


def _label(row: Mapping[str, Any]) -> str | None:
    """What is known of a label, where it says more than the verdict on the solution: `3/8` rollouts, or `label 1`, with the
    probability behind it where there is one; None for an outcome label.
    """
    if row["source"] in (None, "outcome"):
        return None
    if row["n_rollouts"]:
        return f"{row['n_correct']}/{row['n_rollouts']}"
    if row["label"] is None:
        return "open"
    soft = "" if row["value"] in (None, 0, 1) else f", {row['value']:.2f}"
    return f"label {int(row['label'])}{soft}"


def _pair(row: Mapping[str, Any], place: Mapping[str, int]) -> list[Any]:
    """[place of chosen, place of rejected, their scores, margin]; None as place where the solution is not shown."""
    scores = [_short(row[name]) for name in ("chosen_score", "rejected_score", "margin")]
    return [place.get(row["chosen_id"]), place.get(row["rejected_id"]), *scores]


def _whole(pairs: list[Any]) -> list[Any]:
    return [pair for pair in pairs if None not in pair[:2]]


def _places(solved: pl.DataFrame) -> list[tuple[list[str]]]:
    """The ids of each problem's solutions, in the order in which they are shown."""
    return solved.group_by("problem_id", maintain_order=True).agg("solution_id").select("solution_id").rows()


def _by(frame: pl.DataFrame, key: str, made: Any) -> dict[str, list[Any]]:
    """`made(row)` of every row, gathered by key."""
    found: dict[str, list[Any]] = {}
    for row in frame.iter_rows(named=True):
        found.setdefault(row[key], []).append(made(row))
    return found


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
