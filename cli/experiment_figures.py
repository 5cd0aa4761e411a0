"""What explains an experiment: figures of the data that its methods learnt from, beside the truth.

    figures(version, truth, local)     # {"samples right": 0.41, "PRM AUC, prefix-correct": 0.63, …}

version: the dataset with the PRM; truth, local: versions over the same samples whose labels are true, of either kind.
"""

from collections.abc import Sequence
from typing import Any

import duckdb
import polars as pl
from sklearn.metrics import roc_auc_score

from fullstep_data.store import Version
from fullstep_train.prm import held_back

GAMMAS = (0.5, 5.0)
HABITS = ((0.0, 0.2, "now and then"), (0.2, 0.8, "often"), (0.8, 1.01, "nearly always"))
"""From which share of its occasions on, and below which, a mistake is one of these."""
FEW = 5
"""A task that was met fewer times says nothing of habits."""

SAMPLES = """
SELECT avg(CAST(correct AS INTEGER)) AS "samples right",
       avg(CAST(NOT whole AS INTEGER)) FILTER (correct) AS "right solutions with a false step",
       avg(CAST(whole AS INTEGER)) FILTER (NOT correct) AS "wrong solutions without one",
       count(DISTINCT problem_id) FILTER (correct) / count(DISTINCT problem_id) AS "problems with a right sample"
FROM solutions JOIN (SELECT solution_id, bool_and(label) AS whole FROM truth GROUP BY solution_id) USING (solution_id)
"""

# Weights of a rejected solution are softmax_k(-gamma * r_k), of a chosen one softmax_k(gamma * r_k); see method.md.
WEIGHTS = """
WITH paired AS (
    SELECT DISTINCT chosen_id AS solution_id, 1 AS sign FROM pairs UNION ALL SELECT DISTINCT rejected_id, -1 FROM pairs
), weighted AS (
    SELECT solution_id, sign, label, exp(sign * $gamma * reward) AS weight
    FROM paired JOIN step_scores USING (solution_id) JOIN local USING (solution_id, step_index)
), solutions_of AS (
    SELECT solution_id, sign, max(weight) / min(weight) AS spread,
           sum(weight) FILTER (NOT label) / sum(weight) AS on_false, avg(CAST(NOT label AS INTEGER)) AS share_false
    FROM weighted GROUP BY ALL
)
SELECT avg(spread) FILTER (sign = 1), avg(spread) FILTER (sign = -1),
       avg(coalesce(on_false, 0)) FILTER (sign = -1), avg(share_false) FILTER (sign = -1)
FROM solutions_of
"""


def figures(version: Version, truth: Version, local: Version) -> dict[str, float | None]:
    """All figures by name; null where the data do not define one."""
    tables = {name: version.frame(name) for name in ("solutions", "pairs", "step_pairs", "step_scores", "step_labels")}
    tables |= {"truth": truth.frame("step_labels"), "local": local.frame("step_labels")}
    found: dict[str, float | None] = {}
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        for name, frame in tables.items():
            connection.register(name, frame)
        found |= connection.sql(SAMPLES).pl().row(0, named=True)
        for gamma in GAMMAS:
            chosen, rejected, on_false, share_false = _row(connection, WEIGHTS, {"gamma": gamma})
            found[f"largest to smallest weight in a chosen solution, gamma {gamma:g}"] = chosen
            found[f"largest to smallest weight in a rejected solution, gamma {gamma:g}"] = rejected
            found[f"weight of a rejected solution on false steps, gamma {gamma:g}"] = on_false
            found["weight of a rejected solution on false steps, gamma 0"] = share_false
    found |= _of_prm(tables, version)
    found |= bias(version.frame("steps"), judged(version), tables["local"])
    counts = {"pairs": tables["pairs"].height, "pairs of next steps": tables["step_pairs"].height}
    return found | {name: float(count) for name, count in counts.items()}


def prm_figures(version: Version, truth: Version, local: Version) -> dict[str, float | None]:
    """Of those figures the PRM's."""
    tables = {"step_labels": version.frame("step_labels")}
    return _of_prm(tables | {"truth": truth.frame("step_labels"), "local": local.frame("step_labels")}, version)


def _of_prm(tables: dict[str, pl.DataFrame], version: Version) -> dict[str, float | None]:
    """AUC of the rewards on the problems that the PRM was not trained on (all, where it learnt from another dataset), against
    its labels and against the truth.
    """
    scores = judged(version)
    kinds = {"outcome": "step_labels", "prefix-correct": "truth", "locally correct": "local"}
    return {f"PRM AUC, {kind}": _auc(scores, tables[table]) for kind, table in kinds.items()}


def judged(version: Version) -> pl.DataFrame:
    """The rewards on problems that the PRM was not trained on."""
    scores = version.frame("step_scores")
    if "prm" not in version.manifest.models:
        return scores
    share = version.manifest.models["prm"].config["validation_share"]
    held = held_back(version.frame("step_labels")["problem_id"].unique().to_list(), share)
    return scores.filter(pl.col("problem_id").is_in(list(held)))


def bias(steps: pl.DataFrame, scores: pl.DataFrame, local: pl.DataFrame) -> dict[str, float | None]:
    """Does the PRM flag what the base model has learnt wrong, or learn it? For mistakes that the sampler makes now and then,
    often and nearly always: AUC of false steps of this kind against all right steps, and how many there are.

    A task is what stands in a step before its result, as 8*7; its habit the share of its steps that are false, over all `local`
    labels. scores: of the steps that are judged.
    """
    task = pl.col("text").str.extract(r"(\d+[-+*]\d+)")
    known = steps.select("solution_id", "step_index", task.alias("task")).drop_nulls()
    rated = known.join(local.select("solution_id", "step_index", "label").drop_nulls(), on=("solution_id", "step_index"))
    met = pl.len().over("task") >= FEW
    rated = rated.with_columns(habit=pl.when(met).then((~pl.col("label")).mean().over("task")))
    judged = rated.join(scores.select("solution_id", "step_index", "reward"), on=("solution_id", "step_index"))
    right = judged.filter("label")
    found: dict[str, float | None] = {}
    for low, high, told in HABITS:
        false = judged.filter(~pl.col("label") & (pl.col("habit") >= low) & (pl.col("habit") < high))
        both = pl.concat([right, false])
        split = both["label"].n_unique() == 2
        found[f"PRM AUC, mistakes made {told}"] = float(roc_auc_score(both["label"], both["reward"])) if split else None
        found[f"false steps of mistakes made {told}"] = float(false.height)
    return found


def _auc(scores: pl.DataFrame, labels: pl.DataFrame) -> float | None:
    both = scores.join(labels.filter(pl.col("label").is_not_null()), on=("solution_id", "step_index"))
    if both["label"].n_unique() < 2:
        return None
    return float(roc_auc_score(both["label"].to_numpy(), both["reward"].to_numpy()))


def _row(connection: duckdb.DuckDBPyConnection, query: str, values: dict[str, Any]) -> Sequence[Any]:
    return connection.execute(query, values).fetchone() or (None,) * 4
