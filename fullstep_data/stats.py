"""Figures of a version: labels, rewards, scores, calibration, pairs, diversity, lengths. What they warn of: `health`.

    found = stats(open_version("dataset"))
    found["scores"]["auc"]["mean"]              # how well the mean reward of a solution tells right from wrong

Plain data, as `fs-data stats --json` prints them; a figure that the data do not define is None. Rewards are counted in a cube of
label × position × hundredth of reward, one pass over the steps, so quantiles of rewards are exact to 0.01. Where a version has
several scorers or labellers, the one with most rows, or most labels, is taken, and named.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import polars as pl

from fullstep_data.agreement import agreement
from fullstep_data.query import Parts, connect
from fullstep_data.store import Version
from fullstep_data.store.label_health import MAIN_LABELLER

MEMORY = "600 MB"
"""What DuckDB may take for figures, reports and the end of a build before it goes on on disk; `fs-data stats` and `report`
then stay below 1 GB as a whole.
"""
POSITIONS = 10
"""Steps from this index on are counted together."""
LEVELS = 100
CALIBRATION_BINS = 10
QUANTILES = (0.1, 0.5, 0.9)
AGGREGATIONS = ("mean", "min", "product", "last")
PRM_FIGURES = {
    "auc": "AUC",
    "accuracy": "accuracy at 0.5",
    "label_mean": "share of steps labelled 1",
    "brier": "Brier score",
    "ece": "expected calibration error",
    "lowest_is_last": "share of solutions whose lowest reward is their last step's",
}
"""What a trainer of PRMs measures on problems that it did not train on, by its word for it."""

CUBE = """
SELECT label, least(step_index, $positions) AS position, least(floor(reward * $levels), $levels - 1)::INT AS level,
       count(*) AS steps, sum(reward::DOUBLE) AS reward_sum, sum((reward::DOUBLE - label::INT) ** 2) AS squares
FROM (FROM step_scores WHERE scorer = $scorer)
LEFT JOIN (SELECT solution_id, step_index, label FROM step_labels WHERE labeller = $labeller) USING (solution_id, step_index)
GROUP BY ALL
"""

# The lowest reward and, of equal ones, the first place of it as one integer: billionths of reward, then five digits of position.
SCORES = """
CREATE TEMP TABLE scores AS
SELECT problem_id, correct, length(text) AS characters, hash(text) AS text_hash, scored.* EXCLUDE (solution_id)
FROM solutions JOIN (
    SELECT solution_id, avg(reward) AS mean, min(reward) AS min, product(reward) AS product, arg_max(reward, step_index) AS last,
           count(*) AS steps, min((reward * 1e9)::BIGINT * 100000 + step_index) % 100000 = max(step_index) AS lowest_is_last
    FROM step_scores WHERE scorer = ? GROUP BY solution_id) scored USING (solution_id)
"""

# Equal texts have equal scores; what counts is how often different texts have.
TIED = """
SELECT avg((same > 1)::INT) FROM (
    SELECT count(*) OVER (PARTITION BY problem_id, correct, mean) AS same
    FROM (SELECT DISTINCT problem_id, correct, mean, text_hash FROM scores))
"""

BY_STEPS = """
SELECT least(steps, $positions) AS steps, count(*) AS solutions, avg(mean) AS mean, avg(correct::INT) AS correct
FROM scores GROUP BY 1 ORDER BY 1
"""

# Fifths of the solutions; those of one length stay together, so the parts are not quite equal.
BY_CHARACTERS = """
SELECT min(characters) AS low, max(characters) AS high, count(*) AS solutions, avg(mean) AS mean, avg(correct::INT) AS correct
FROM scores, (SELECT quantile_disc(characters, [0.2, 0.4, 0.6, 0.8]) AS edges FROM scores)
GROUP BY len(list_filter(edges, lambda edge: edge < characters)) ORDER BY low
"""

# The probability that a right solution scores higher than a wrong one, ties counting half (Mann and Whitney 1947): for each score
# the wrong ones below it are counted. `rows` have the columns {score} and correct.
AUC = """
WITH by_score AS (
    SELECT {score} AS score, count(*) FILTER (correct) AS right_ones, count(*) FILTER (NOT correct) AS wrong_ones
    FROM {rows} WHERE correct IS NOT NULL GROUP BY ALL
), below AS (SELECT *, sum(wrong_ones) OVER (ORDER BY score) - wrong_ones AS wrong_below FROM by_score)
SELECT sum(right_ones * (wrong_below + wrong_ones / 2)) / nullif(sum(right_ones) * sum(wrong_ones), 0) AS auc FROM below
"""

# Against the mean of the same problem and verdict: hard problems have long solutions with low rewards, and wrong solutions are
# longer or shorter than right ones, whatever the PRM thinks of length.
LENGTH = """
SELECT corr(mean - of_problem, characters - usual) FROM (
    SELECT mean, characters, avg(mean) OVER alike AS of_problem, avg(characters) OVER alike AS usual
    FROM scores WINDOW alike AS (PARTITION BY problem_id, correct))
"""

DIVERSITY = """
SELECT count(*) AS problems, avg(answers) AS answers, avg(texts) AS texts, avg(samples) AS samples,
       avg(texts / samples) AS distinct_texts, avg((answers <= 1)::INT) AS one_answer,
       avg((n_right > 0 AND n_wrong > 0)::INT) AS mixed
FROM (SELECT count(DISTINCT answer) AS answers, count(DISTINCT hash(text)) AS texts, count(*) AS samples,
             count(*) FILTER (correct) AS n_right, count(*) FILTER (NOT correct) AS n_wrong
      FROM solutions GROUP BY problem_id) WHERE samples > 1
"""

# Sizes in place of texts: what is joined is held in memory.
PAIRS = """
WITH sizes AS MATERIALIZED (SELECT solution_id, length(text) AS characters FROM solutions)
SELECT count(*) AS pairs, count(DISTINCT pairs.problem_id) AS problems, avg(margin) AS margin_mean,
       quantile_cont(margin, [0.1, 0.5, 0.9]) AS margin_quantiles, count(*) FILTER (margin = 0) AS ties,
       count(*) FILTER (margin < 0) AS reversed, avg((c.characters > r.characters)::INT) AS chosen_longer
FROM pairs JOIN sizes c ON c.solution_id = chosen_id JOIN sizes r ON r.solution_id = rejected_id
"""

# Preferences between next steps, in the order of their place in the solution.
STEP_PAIRS = """
SELECT count(*) AS pairs, count(DISTINCT problem_id) AS problems, avg(margin) AS margin_mean,
       quantile_cont(margin, [0.1, 0.5, 0.9]) AS margin_quantiles, count(*) FILTER (margin = 0) AS ties,
       count(*) FILTER (margin < 0) AS reversed, count(*) FILTER (margin IS NULL) AS unscored,
       avg((length(chosen) > length(rejected))::INT) AS chosen_longer
FROM step_pairs
"""

LABELS = """
SELECT labeller, source, count(*) AS steps, count(*) FILTER (label) AS label_1, count(*) FILTER (NOT label) AS label_0,
       count(*) FILTER (label IS NULL) AS open
FROM step_labels GROUP BY ALL ORDER BY count(label) DESC, labeller
"""

# Right solutions with a step that is labelled 0: an outcome label cannot be that.
DOUBTED = """
SELECT labeller, count(*) FILTER (step_index = 0) AS right_solutions, count(DISTINCT solution_id) FILTER (NOT label) AS doubted
FROM (FROM step_labels WHERE source <> 'outcome') JOIN (SELECT solution_id FROM solutions WHERE correct) USING (solution_id)
GROUP BY ALL ORDER BY ALL
"""

# Of labels that are not the outcome's own: how often they say what the outcome says, by position of the step.
AGREEMENT = """
SELECT labeller, least(step_index, $positions) AS position, count(label) AS steps, avg((label = correct)::INT) AS agreement
FROM (FROM step_labels WHERE source <> 'outcome') JOIN (SELECT solution_id, correct FROM solutions) USING (solution_id)
WHERE correct IS NOT NULL AND label IS NOT NULL GROUP BY ALL ORDER BY ALL
"""

OPEN = """
SELECT labeller, reason, count(*) AS steps FROM step_labels WHERE label IS NULL GROUP BY ALL ORDER BY labeller, steps DESC, reason
"""

# What outcome labels live on: solutions of a problem that differ, in text and in outcome.
EQUAL = """
SELECT coalesce(sum(copies), 0)::BIGINT AS solutions, coalesce(sum(copies) FILTER (copies > 1), 0)::BIGINT AS equal
FROM (SELECT count(*) AS copies FROM solutions GROUP BY problem_id, hash(text))
"""

OUTCOMES = """
SELECT outcome, count(*) AS problems FROM (
    SELECT CASE WHEN count(correct) = 0 THEN 'undecided' WHEN bool_and(correct) THEN 'all right'
                WHEN bool_or(correct) THEN 'mixed' ELSE 'all wrong' END AS outcome
    FROM solutions GROUP BY problem_id)
GROUP BY outcome
"""

SCORERS = "SELECT scorer, count(*) AS steps FROM step_scores GROUP BY scorer ORDER BY steps DESC, scorer"
SCORER = f"SELECT scorer FROM ({SCORERS}) LIMIT 1"

Ask = Callable[..., pl.DataFrame]


def stats(version: Version, parts: Parts | None = None) -> dict[str, Any]:
    """All figures: tables, rejects, scorers, labels, open, rewards, calibration, labellers, scores, pairs, step_pairs, diversity,
    equal_solutions, outcomes (of problems), tokens, prm. parts: as for `query.connect`.

    InputError: a part is missing.
    """
    with connect(version, parts, memory=MEMORY) as connection:

        def ask(question: str, params: Any = None) -> pl.DataFrame:
            return connection.sql(question, params=params).pl()

        scorers, labeller = ask(SCORERS).to_dicts(), _one(ask(MAIN_LABELLER))
        scorer = scorers[0]["scorer"] if scorers else None
        parameters = {"positions": POSITIONS, "levels": LEVELS, "scorer": scorer, "labeller": labeller}
        cube = ask(CUBE, parameters)
        labels = ask(LABELS).to_dicts()
        return {
            "version": version.number,
            "tables": {name: table.rows for name, table in version.tables.items() if name != "rejects"},
            "rejects": ask('SELECT stage, "table", reason, count(*) AS rows FROM rejects GROUP BY ALL ORDER BY ALL').to_dicts(),
            "scorer": scorer,
            "scorers": scorers,
            "labeller": labeller,
            "labels": labels,
            "open": ask(OPEN).to_dicts(),
            "doubted": ask(DOUBTED).to_dicts(),
            "agreement": ask(AGREEMENT, {"positions": POSITIONS}).to_dicts(),
            "rewards": rewards(cube),
            "calibration": calibration(cube),
            "labellers": agreement(connection, [one["labeller"] for one in labels if one["source"] != "consensus"]),
            "scores": _scores(connection, ask, scorer),
            "pairs": _pairs(ask),
            "step_pairs": _step_pairs(ask),
            "diversity": ask(DIVERSITY).row(0, named=True),
            "equal_solutions": ask(EQUAL).row(0, named=True),
            "outcomes": dict(sorted(ask(OUTCOMES).iter_rows())),
            "tokens": _tokens(ask),
            "prm": _own_prm(version),
        }


def rewards(cube: pl.DataFrame) -> dict[str, Any]:
    """Rewards of all steps, by label and by position. cube: rows of label, position, level, steps, reward_sum, squares."""
    labelled = [("true", pl.col("label")), ("false", ~pl.col("label")), ("open", pl.col("label").is_null())]
    at = [cube.filter(pl.col("position") == position) for position in range(POSITIONS + 1)]
    return {
        "all": _summary(cube),
        "extreme": _share(cube, (pl.col("level") < 2) | (pl.col("level") >= LEVELS - 2)),
        "histogram": {label: _histogram(cube.filter(condition)) for label, condition in labelled},
        "by_label": {label: _summary(cube.filter(condition)) for label, condition in labelled},
        "by_position": [
            {
                "position": _position(position),
                **_summary(rows),
                "mean_true": _mean(rows.filter(pl.col("label"))),
                "mean_false": _mean(rows.filter(~pl.col("label"))),
            }
            for position, rows in enumerate(at)
            if rows.height
        ],
    }


def calibration(cube: pl.DataFrame) -> dict[str, Any]:
    """Do steps of reward r have the label 1 in a share r of cases?

    ece: mean gap over ten bins, weighted by steps (Guo et al. 2017, eq. 3); brier: mean squared gap.
    """
    known = cube.filter(pl.col("label").is_not_null())
    total = int(known["steps"].sum())
    if not total:
        return {"steps": 0, "ece": None, "brier": None, "bins": []}
    bins = (
        known.with_columns(bin=pl.col("level") * CALIBRATION_BINS // LEVELS)
        .group_by("bin")
        .agg(pl.col("steps").sum(), pl.col("reward_sum").sum(), right=pl.col("steps").filter(pl.col("label")).sum())
        .sort("bin")
    )
    gaps = bins.select((pl.col("reward_sum") - pl.col("right")).abs().sum()).item()
    shown = bins.select(
        low=(pl.col("bin") / CALIBRATION_BINS).round(2),
        steps="steps",
        mean_reward=pl.col("reward_sum") / pl.col("steps"),
        share_true=pl.col("right") / pl.col("steps"),
    )
    return {"steps": total, "ece": gaps / total, "brier": known["squares"].sum() / total, "bins": shown.to_dicts()}


def _summary(rows: pl.DataFrame) -> dict[str, Any]:
    """Steps, mean and quantiles of the rewards in some cells of the cube."""
    levels = rows.group_by("level").agg(pl.col("steps").sum()).sort("level")
    reached = levels["steps"].cum_sum()
    total = int(reached[-1]) if levels.height else 0
    places = [int((reached >= share * total).arg_max() or 0) for share in QUANTILES] if total else []
    quantiles = [(levels["level"][place] + 0.5) / LEVELS for place in places] or [None] * len(QUANTILES)
    return {
        "steps": total,
        "mean": _mean(rows),
        **{f"p{share * 100:.0f}": q for share, q in zip(QUANTILES, quantiles, strict=True)},
    }


def _mean(rows: pl.DataFrame) -> float | None:
    steps = int(rows["steps"].sum())
    return float(rows["reward_sum"].sum()) / steps if steps else None


def _share(rows: pl.DataFrame, condition: pl.Expr) -> float | None:
    steps = int(rows["steps"].sum())
    return int(rows.filter(condition)["steps"].sum()) / steps if steps else None


def _histogram(rows: pl.DataFrame) -> list[int]:
    """Steps in each tenth of reward."""
    counts = dict(rows.group_by(pl.col("level") * 10 // LEVELS).agg(pl.col("steps").sum()).iter_rows())
    return [counts.get(tenth, 0) for tenth in range(10)]


def _scores(connection: duckdb.DuckDBPyConnection, ask: Ask, scorer: str | None) -> dict[str, Any]:
    """Solutions by the aggregate of their rewards, right against wrong."""
    connection.execute(SCORES, [scorer])
    means = ", ".join(f"avg({name}) FILTER ({side}) AS {name}_{word}" for name in AGGREGATIONS for side, word in _SIDES)
    last = "avg(lowest_is_last::INT) FILTER (steps > 1) AS lowest_is_last, avg(1 / steps) FILTER (steps > 1) AS by_chance"
    row = ask(f"SELECT count(*) AS solutions, {means}, {last} FROM scores").row(0, named=True)
    return {
        "solutions": row["solutions"],
        "mean_score": {word: {name: row[f"{name}_{word}"] for name in AGGREGATIONS} for _, word in _SIDES},
        "auc": {name: _one(ask(AUC.format(score=name, rows="scores"))) for name in AGGREGATIONS},
        "tied": _one(ask(TIED)),
        "length_correlation": _finite(_one(ask(LENGTH))),
        "lowest_is_last": row["lowest_is_last"],
        "lowest_is_last_by_chance": row["by_chance"],
        "by_steps": ask(BY_STEPS, {"positions": POSITIONS}).to_dicts(),
        "by_characters": ask(BY_CHARACTERS).to_dicts(),
    }


_SIDES: Sequence[tuple[str, str]] = (("correct", "correct"), ("NOT correct", "incorrect"))


def _pairs(ask: Ask) -> dict[str, Any]:
    """Pairs, their margins, how many a problem has. sampled: problems with solutions, whether they gave pairs or not."""
    found = ask(PAIRS).row(0, named=True)
    per = ask(
        "SELECT pairs, count(*) AS problems FROM (SELECT count(*) AS pairs FROM pairs GROUP BY problem_id) GROUP BY 1 ORDER BY 1"
    )
    sampled = _one(ask("SELECT count(DISTINCT problem_id) FROM solutions"))
    return {**found, "sampled": sampled, "per_problem": {str(pairs): problems for pairs, problems in per.iter_rows()}}


def _step_pairs(ask: Ask) -> dict[str, Any]:
    """Preferences between next steps, and at which step of the solution they stand."""
    at = ask(f"SELECT least(step_index, {POSITIONS}) AS position, count(*) AS pairs FROM step_pairs GROUP BY 1 ORDER BY 1")
    return {**ask(STEP_PAIRS).row(0, named=True), "by_position": {_position(place): pairs for place, pairs in at.iter_rows()}}


def _tokens(ask: Ask) -> list[dict[str, Any]]:
    """Token counts of solutions, by verdict; none where the sampler did not count."""
    return ask("""
        SELECT correct, count(tokens) AS solutions, avg(tokens) AS mean, quantile_cont(tokens, 0.1) AS p10, median(tokens) AS p50,
               quantile_cont(tokens, 0.9) AS p90, max(tokens) AS max
        FROM solutions GROUP BY correct HAVING count(tokens) > 0 ORDER BY correct""").to_dicts()


def _own_prm(version: Version) -> dict[str, Any] | None:
    """What the trainer of this version's PRM measured on problems that it did not train on; None where it left nothing."""
    content = version.model_file("prm", "metrics.json") if "prm" in version.manifest.models else None
    if content is None:
        return None
    measured: dict[str, Any] = json.loads(content).get("validation", {})
    return {name: measured.get(name) for name in ("problems", "auc", "ece")}


def _position(place: int) -> str:
    return f"{place}" if place < POSITIONS else f"{place}+"


def _one(frame: pl.DataFrame) -> Any:
    return frame.item() if frame.height else None


def _finite(value: float | None) -> float | None:
    """Without a spread a correlation is not defined: DuckDB says NaN."""
    return None if value is None or value != value else value  # noqa: PLR0124 - what NaN is
