"""What the charts of a report count, over every row of a version: one question in SQL per chart, its answer a small frame.

    with connect(version) as connection:
        found = facts(connection, score_of(version))
    found["rewards"]          # low, high, series, count, share

Where a table has several scorers or labellers, the one with the most rows or labels is taken (`scorer_taken`, `labeller_taken`).
"""

from collections.abc import Mapping
from typing import Any

import duckdb
import polars as pl

from fullstep_data.stats import AUC
from fullstep_data.store import Version
from fullstep_data.store.label_health import MAIN_LABELLER

SCORES = {
    "mean": "avg(reward)",
    "min": "min(reward)",
    "product": "product(reward)",
    "last": "arg_max(reward, step_index)",
}
"""The scores of `fullstep_data.pairs` in SQL, to the last digit or two; but for `random`, which has nothing to show."""

BINS = 20
"""Bins of a reward or score between 0 and 1."""

MOST = 20
"""Step positions, answers and pairs per problem beyond this one are counted together."""

WIDTHS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
"""Bin widths of differences; the least that needs at most 40 bins is taken."""

VERDICT = "CASE correct WHEN TRUE THEN 'right' WHEN FALSE THEN 'wrong' ELSE 'undecided' END"

REWARDS = f"""
SELECT CASE label WHEN TRUE THEN 'label 1' WHEN FALSE THEN 'label 0' ELSE 'no label' END AS series,
       least(floor(reward * {BINS}), {BINS - 1})::INT AS bin, count(*) AS count
FROM shown_scores LEFT JOIN shown_labels USING (solution_id, step_index) GROUP BY ALL
"""

SCORES_OF_SOLUTIONS = f"""
SELECT {VERDICT} AS series, least(floor(score * {BINS}), {BINS - 1})::INT AS bin, count(*) AS count
FROM solution_scores JOIN solutions USING (solution_id) GROUP BY ALL
"""

# Quantiles out of counts by thousandths: to hold all rewards of a position takes a gigabyte where there are 20M steps.
POSITIONS = f"""
WITH levels AS (
    SELECT {VERDICT} AS series, least(step_index + 1, {MOST})::INT AS position, round(reward::DOUBLE, 3) AS level,
           count(*) AS steps, sum(reward::DOUBLE) AS total
    FROM shown_scores JOIN solutions USING (solution_id) WHERE correct IS NOT NULL GROUP BY ALL
), reached AS (
    SELECT *, sum(steps) OVER (PARTITION BY series, position ORDER BY level)
              / sum(steps) OVER (PARTITION BY series, position) AS share FROM levels
)
SELECT series, position, sum(steps)::BIGINT AS steps, sum(total) / sum(steps) AS mean,
       min(level) FILTER (share >= 0.1) AS p10, min(level) FILTER (share >= 0.9) AS p90
FROM reached GROUP BY ALL ORDER BY series, position
"""

RIGHT_SHARE = """
SELECT CASE WHEN share = 0 THEN 0 WHEN share = 1 THEN 6 ELSE least(floor(share * 5), 4) + 1 END::INT AS bin, count(*) AS problems
FROM (SELECT avg(correct::INT) AS share FROM solutions WHERE correct IS NOT NULL GROUP BY problem_id) GROUP BY ALL ORDER BY bin
"""

DIVERSITY = f"""
SELECT least(answers, {MOST})::INT AS answers, count(*) AS problems
FROM (SELECT count(DISTINCT answer) AS answers FROM solutions GROUP BY problem_id) GROUP BY ALL ORDER BY ALL
"""

PAIRS_PER_PROBLEM = f"""
SELECT least(pairs, {MOST})::INT AS pairs, count(*) AS problems
FROM (SELECT count(pair_id) AS pairs FROM (SELECT DISTINCT problem_id FROM solutions) LEFT JOIN pairs USING (problem_id)
      GROUP BY problem_id) GROUP BY ALL ORDER BY ALL
"""

TOTALS = """
SELECT (SELECT count(*) FROM problems) AS problems,
       (SELECT count(*) FROM problems WHERE split = 'test') AS held_out,
       count(*) AS solutions, count(*) FILTER (correct) AS right_ones, count(*) FILTER (correct IS NULL) AS undecided,
       count(DISTINCT problem_id) AS sampled,
       (SELECT count(*) FROM pairs) AS pairs, (SELECT count(DISTINCT problem_id) FROM pairs) AS paired,
       (SELECT avg(CAST(margin > 0 AS INT)) FROM pairs) AS in_order,
       (SELECT count(*) FROM rejects) AS rejected,
       (SELECT count(DISTINCT scorer) FROM step_scores) AS scorers,
       (SELECT count(DISTINCT labeller) FROM step_labels) AS labellers
FROM solutions
"""

REJECTS = (
    'SELECT stage, "table", reason, count(*) AS records FROM rejects GROUP BY ALL ORDER BY records DESC, stage, "table", reason'
)

# `before` comes before `after`.
PREDICTIONS = """
SELECT model, decoding, count(*) AS answers, count(*) FILTER (correct) AS right_ones
FROM predictions GROUP BY ALL ORDER BY model DESC, decoding
"""


def facts(connection: duckdb.DuckDBPyConnection, score: str) -> dict[str, pl.DataFrame]:
    """Every chart's frame by its name; a frame without rows where the tables it counts have none. score: see `score_of`.

    rewards, scores: low, high, series, count, share (of the series). positions: series, position, steps, mean, p10, p90.
    right_share: bin, problems. diversity: answers, problems. margins: low, high, pairs. pairs_per_problem: pairs, problems.
    rejects: stage, table, reason, records. predictions: model, decoding, answers, right_ones. totals, auc: one row.
    """
    prepare(connection, score)
    return {
        "totals": _ask(connection, TOTALS),
        "rejects": _ask(connection, REJECTS),
        "rewards": shares(_ask(connection, REWARDS)),
        "positions": _ask(connection, POSITIONS),
        "scores": shares(_ask(connection, SCORES_OF_SOLUTIONS)),
        "auc": _ask(connection, AUC.format(score="score", rows="solution_scores JOIN solutions USING (solution_id)")),
        "right_share": _ask(connection, RIGHT_SHARE),
        "diversity": _ask(connection, DIVERSITY),
        "margins": around_zero(connection, "margin", "pairs", "pairs"),
        "pairs_per_problem": _ask(connection, PAIRS_PER_PROBLEM if _some(connection, "pairs") else PAIRS_PER_PROBLEM + "LIMIT 0"),
        "predictions": _ask(connection, PREDICTIONS),
    }


def score_of(version: Version) -> str:
    """How the recipe scores a solution: a name in SCORES; mean where it says nothing, or `random`."""
    recipe: Any = version.manifest.recipe
    section = recipe.get("pairs") if isinstance(recipe, Mapping) else None
    name = section.get("score") if isinstance(section, Mapping) else None
    return name if name in SCORES else "mean"


def prepare(connection: duckdb.DuckDBPyConnection, score: str) -> None:
    """Make the views `shown_scores` and `shown_labels` (one scorer, one labeller) and the table `solution_scores`."""
    for view, table, column in (("shown_scores", "step_scores", "scorer"), ("shown_labels", "step_labels", "labeller")):
        scorer = "SELECT scorer FROM step_scores GROUP BY scorer ORDER BY count(*) DESC, scorer LIMIT 1"
        most = MAIN_LABELLER if column == "labeller" else scorer
        connection.execute(f"CREATE TEMP TABLE {column}_taken AS {most}")
        connection.execute(f"CREATE TEMP VIEW {view} AS FROM {table} WHERE {column} = (SELECT {column} FROM {column}_taken)")
    connection.execute(
        f"CREATE TEMP TABLE solution_scores AS "
        f"SELECT solution_id, CAST({SCORES[score]} AS DOUBLE) AS score FROM shown_scores GROUP BY solution_id"
    )


def shares(counted: pl.DataFrame) -> pl.DataFrame:
    """Counts by series and bin (bin, series, count) as a whole histogram over [0, 1]: empty bins are rows too.

    share: of the series' own total, so that a rare label is as visible as a common one.
    """
    every = counted.select("series").unique().join(pl.DataFrame({"bin": range(BINS)}, schema={"bin": pl.Int32}), how="cross")
    return (
        every.join(counted, on=["series", "bin"], how="left")
        .with_columns(pl.col("count").fill_null(0))
        .select(
            (pl.col("bin") / BINS).round(3).alias("low"),
            ((pl.col("bin") + 1) / BINS).round(3).alias("high"),
            "series",
            "count",
            (pl.col("count") / pl.col("count").sum().over("series")).alias("share"),
        )
        .sort("series", "low")
    )


def around_zero(connection: duckdb.DuckDBPyConnection, value: str, source: str, unit: str) -> pl.DataFrame:
    """A histogram of differences (low, high, and how many under the name `unit`) in at most about 40 bins, one edge at 0."""
    least, greatest = connection.execute(f"SELECT min({value}), max({value}) FROM {source}").fetchall()[0]
    span = 0.0 if least is None else greatest - least
    width = next((width for width in WIDTHS if span / width <= 40), WIDTHS[-1])
    counted = f"SELECT floor({value} / {width})::INT AS bin, count(*) AS {unit} FROM {source} GROUP BY ALL ORDER BY bin"
    found = _ask(connection, counted)
    return found.select((pl.col("bin") * width).round(3).alias("low"), ((pl.col("bin") + 1) * width).round(3).alias("high"), unit)


def _some(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    return bool(connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchall())


def _ask(connection: duckdb.DuckDBPyConnection, question: str) -> pl.DataFrame:
    return connection.sql(question).pl()
