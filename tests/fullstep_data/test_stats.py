"""The figures against scikit-learn and plain arithmetic."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from fullstep_data.agreement import agreement
from fullstep_data.health import warnings
from fullstep_data.query import connect, sql
from fullstep_data.stage import Context, Outcome
from fullstep_data.stats import calibration, rewards, stats
from fullstep_data.store import Store, Version
from schemas import InputError
from schemas.ids import stable_fraction
from tests.fullstep_data.small_chain import STAGES, Recipe, run_stages, step_scores

RECIPE = Recipe(problems=20, samples=8)


def drawn(given: pl.DataFrame, context: Context) -> Outcome:
    """Rewards in hundredths that lean on nothing but the step's own hash; a few are the same."""
    rows = step_scores(given, context).rows
    found = [round(stable_fraction(*key) * 0.98 + 0.01, 2) for key in rows.select("solution_id", "step_index").iter_rows()]
    return Outcome(rows.with_columns(pl.Series("reward", found, dtype=pl.Float32)))


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    stages = [replace(one, run=drawn, revision=2) if one.name == "step_scores" else one for one in STAGES]
    return run_stages(tmp_path_factory.mktemp("stats") / "dataset", stages, RECIPE)


@pytest.fixture(scope="module")
def found(version: Version) -> dict[str, Any]:
    return stats(version)


@pytest.fixture(scope="module")
def steps(version: Version) -> pl.DataFrame:
    """Every step with reward and label."""
    return version.frame("step_scores").join(version.frame("step_labels"), on=["solution_id", "step_index"])


@pytest.fixture(scope="module")
def scored(version: Version, steps: pl.DataFrame) -> pl.DataFrame:
    """Every solution with the aggregates of its rewards."""
    reward = pl.col("reward").cast(pl.Float64)
    by = (
        steps.sort("step_index")
        .group_by("solution_id")
        .agg(reward.mean().alias("mean"), reward.min().alias("min"), reward.last().alias("last"))
    )
    return version.frame("solutions").join(by, on="solution_id")


def test_aucs_are_scikit_learns(found: dict[str, Any], scored: pl.DataFrame) -> None:
    for name in ("mean", "min", "last"):
        expected = roc_auc_score(scored["correct"].to_numpy(), scored[name].to_numpy())
        assert found["scores"]["auc"][name] == pytest.approx(expected, abs=1e-9)


def test_calibration_is_that_of_the_definition(found: dict[str, Any], steps: pl.DataFrame) -> None:
    truth, reward = steps["label"].to_numpy().astype(float), steps["reward"].to_numpy().astype(np.float64)
    place = np.minimum((steps["reward"].to_numpy() * np.float32(10)).astype(int), 9)
    ece = sum(abs((reward - truth)[place == one].sum()) for one in range(10)) / len(truth)
    assert found["calibration"]["brier"] == pytest.approx(brier_score_loss(truth, reward))
    assert found["calibration"]["ece"] == pytest.approx(ece, abs=0.01)  # a reward on the edge of a bin may fall to either side
    assert sum(one["steps"] for one in found["calibration"]["bins"]) == len(truth)


def test_rewards_by_label_and_position_are_the_means(found: dict[str, Any], steps: pl.DataFrame) -> None:
    for word, label in (("true", True), ("false", False)):
        rows = steps.filter(pl.col("label") == label)
        assert found["rewards"]["by_label"][word]["steps"] == rows.height
        assert found["rewards"]["by_label"][word]["mean"] == pytest.approx(rows["reward"].cast(pl.Float64).mean())
        assert found["rewards"]["by_label"][word]["p50"] == pytest.approx(rows["reward"].median(), abs=0.011)
        assert sum(found["rewards"]["histogram"][word]) == rows.height
    first = found["rewards"]["by_position"][0]
    assert first["position"] == "0"
    assert first["mean"] == pytest.approx(steps.filter(pl.col("step_index") == 0)["reward"].cast(pl.Float64).mean())


def test_solutions_pairs_and_samples(found: dict[str, Any], version: Version, steps: pl.DataFrame, scored: pl.DataFrame) -> None:
    two = steps.sort("step_index").group_by("solution_id", maintain_order=True).agg("reward")["reward"].to_list()
    assert found["scores"]["lowest_is_last"] == pytest.approx(np.mean([last < first for first, last in two]))
    assert found["scores"]["lowest_is_last_by_chance"] == 0.5
    assert found["pairs"]["pairs"] == version.tables["pairs"].rows
    assert sum(found["pairs"]["per_problem"].values()) == found["pairs"]["problems"]
    assert found["diversity"]["distinct_texts"] == 1.0
    mixed = scored.group_by("problem_id").agg(pl.col("correct").n_unique() == 2, samples=pl.len()).filter(pl.col("samples") > 1)
    assert found["diversity"]["mixed"] == pytest.approx(mixed["correct"].mean())
    assert found["tokens"] == []
    assert found["tables"]["samples"] == 16 * 8


def test_long_solutions_are_told_by_the_correlation_within_problems(found: dict[str, Any], scored: pl.DataFrame) -> None:
    length = pl.col("text").str.len_chars()
    alike = ("problem_id", "correct")
    rows = scored.select(mean=pl.col("mean") - pl.col("mean").mean().over(*alike), length=length - length.mean().over(*alike))
    if rows["length"].std() == 0:
        assert found["scores"]["length_correlation"] is None
    else:
        expected = rows.select(pl.corr("mean", "length")).item()
        assert found["scores"]["length_correlation"] == pytest.approx(expected)


def cube(*cells: tuple[bool | None, int, int, int]) -> pl.DataFrame:
    """Cells of (label, position, level, steps); every reward is its level in hundredths."""
    names = ("label", "position", "level", "steps")
    frame = pl.DataFrame(
        list(cells), schema=dict(zip(names, (pl.Boolean, pl.Int32, pl.Int32, pl.Int64), strict=True)), orient="row"
    )
    reward = pl.col("level") / 100
    return frame.with_columns(
        reward_sum=reward * pl.col("steps"), squares=(reward - pl.col("label").cast(pl.Float64)) ** 2 * pl.col("steps")
    )


def test_quantiles_come_from_the_levels() -> None:
    # ten steps: five at 0.10, four at 0.50, one at 0.90; the 1st, 5th and 9th are at 0.10, 0.10 and 0.50
    told = rewards(cube((True, 0, 10, 5), (None, 0, 50, 4), (False, 12, 90, 1)))["all"]
    assert (told["p10"], told["p50"], told["p90"]) == (0.105, 0.105, 0.505)
    assert told["mean"] == pytest.approx((5 * 0.1 + 4 * 0.5 + 0.9) / 10)


def test_calibration_by_hand() -> None:
    # bin 0.8: ten steps at 0.80, six of them right: gap 0.2; bin 0.2: ten at 0.20, two right: gap 0. ece = (10 * 0.2 + 0) / 20
    told = calibration(cube((True, 0, 80, 6), (False, 0, 80, 4), (True, 0, 20, 2), (False, 0, 20, 8)))
    assert told["ece"] == pytest.approx(0.1)
    # squares: 6 * 0.04 + 4 * 0.64 + 2 * 0.64 + 8 * 0.04 = 0.24 + 2.56 + 1.28 + 0.32 = 4.4, over 20 steps
    assert told["brier"] == pytest.approx(0.22)


@pytest.mark.parametrize("stages", [1, 4, 5])
def test_a_dataset_without_scores_has_figures_and_no_warnings_of_them(tmp_path: Path, stages: int) -> None:
    found = stats(run_stages(tmp_path / "short", STAGES[:stages]))
    assert found["rewards"]["all"] == {"steps": 0, "mean": None, "p10": None, "p50": None, "p90": None}
    assert found["scores"]["auc"]["mean"] is None
    assert found["calibration"]["ece"] is None
    assert found["pairs"]["pairs"] == 0
    assert not {"blind PRM", "flat rewards", "saturated PRM"} & {warned.name for warned in warnings(found)}


def test_of_two_labellers_the_one_with_most_rows_is_taken(tmp_path: Path) -> None:
    from tests.fullstep_data.small_chain import step_labels

    def judged(given: pl.DataFrame, graded: pl.DataFrame, context: Context) -> Outcome:
        rows = step_labels(given, graded, context).rows
        some = rows.head(3).with_columns(pl.lit("judge").alias("labeller"), label=~pl.col("label"))
        return Outcome(pl.concat([rows, some]))

    stages = [replace(one, run=judged, revision=2) if one.name == "step_labels" else one for one in STAGES]
    found = stats(run_stages(tmp_path / "judged", stages))
    assert found["labeller"] == "outcome"
    assert found["rewards"]["all"]["steps"] == found["tables"]["steps"]


def test_a_missing_part_is_named(dataset: Version) -> None:
    dataset.files("step_scores")[0].unlink()
    with pytest.raises(InputError, match="is missing"):
        stats(Store.open(dataset.path).version())


def test_agreement_of_labellers_is_that_of_the_view(found: dict[str, Any], tmp_path: Path) -> None:
    from tests.fullstep_data.small_chain import step_labels

    assert found["labellers"] == []

    def judged(given: pl.DataFrame, graded: pl.DataFrame, context: Context) -> Outcome:
        """A judge that finds every second solution wrong from its first step on, and the others right."""
        rows = step_labels(given, graded, context).rows
        wrong = pl.col("solution_id").rank("dense") % 2 == 0
        judge = {"labeller": pl.lit("judge"), "source": pl.lit("judge"), "n_correct": pl.lit(0, pl.Int32), "label": ~wrong}
        return Outcome(pl.concat([rows, rows.with_columns(**judge, value=None).cast(rows.schema)]))

    stages = [replace(one, run=judged, revision=2) if one.name == "step_labels" else one for one in STAGES]
    version = run_stages(tmp_path / "judged", stages, RECIPE)
    (row,) = stats(version)["labellers"]
    mine = sql(version, "SELECT avg(agree::INT), count(*) FILTER (keep), count(agree), count(*) FROM label_consensus").row(0)
    assert (row["agreement"], row["kept"], row["decided"], row["solutions"]) == mine
    assert 0 < row["agreement"] < 1
    assert (row["labeller"], row["other"]) == ("judge", "outcome")
    with connect(version) as connection:
        agreement(connection, ["judge", "outcome"])
        assert not connection.sql("SELECT table_name FROM duckdb_tables()").fetchall()  # nothing of it stays in memory


def test_labels_are_told_without_any_rewards(tmp_path: Path) -> None:
    """Labels as an import brings them: counted, set against the outcome, and weighed, though nothing is scored."""
    from tests.fullstep_data.small_chain import step_labels

    def counted(given: pl.DataFrame, graded: pl.DataFrame, context: Context) -> Outcome:
        """Rollouts that find the first step wrong, always, and the others as the outcome says; the last is left open."""
        rows = step_labels(given, graded, context).rows
        first, last = pl.col("step_index") == 0, pl.col("step_index") == pl.col("step_index").max()
        label = pl.when(first).then(False).when(~last).then(pl.col("label"))
        return Outcome(
            rows.with_columns(labeller=pl.lit("mc"), source=pl.lit("monte-carlo"), label=label, n_correct=0, value=None).cast(
                rows.schema
            )
        )

    stages = [replace(one, run=counted, revision=2) if one.name == "step_labels" else one for one in STAGES[:5]]
    version = run_stages(tmp_path / "labelled", stages, RECIPE)
    found = stats(version)
    labels, solutions = version.frame("step_labels"), version.frame("solutions")
    (row,) = found["labels"]
    assert (row["labeller"], row["source"], row["steps"]) == ("mc", "monte-carlo", labels.height)
    assert row["label_0"] == labels.filter(~pl.col("label")).height
    assert row["open"] == labels["label"].null_count() > 0
    right = int(solutions["correct"].sum())
    assert found["doubted"] == [{"labeller": "mc", "right_solutions": right, "doubted": right}]
    (at_first,) = found["agreement"]
    assert (at_first["position"], at_first["steps"]) == (0, solutions.height)
    assert at_first["agreement"] == pytest.approx(1 - right / solutions.height)
    assert {warned.name for warned in warnings(found)} == {"label imbalance", "doubted right answers"}


def test_rewards_by_length_are_those_of_fifths(found: dict[str, Any], scored: pl.DataFrame) -> None:
    rows = found["scores"]["by_characters"]
    assert sum(row["solutions"] for row in rows) == scored.height
    for row in rows:
        mine = scored.filter(pl.col("text").str.len_chars().is_between(row["low"], row["high"]))
        assert row["solutions"] == mine.height
        assert row["mean"] == pytest.approx(mine["mean"].mean())
        assert row["correct"] == pytest.approx(mine["correct"].mean())
    assert [row["low"] for row in rows] == sorted(row["low"] for row in rows)


def test_ties_are_those_of_different_texts(tmp_path: Path) -> None:
    """A PRM that gives every step the same: all different texts of a problem and verdict tie, where there are two."""

    def flat(given: pl.DataFrame, context: Context) -> Outcome:
        return Outcome(step_scores(given, context).rows.with_columns(reward=pl.lit(0.5, pl.Float32)))

    stages = [replace(one, run=flat, revision=2) if one.name == "step_scores" else one for one in STAGES]
    version = run_stages(tmp_path / "flat", stages, RECIPE)
    found = stats(version)["scores"]
    groups = version.frame("solutions").group_by("problem_id", "correct").agg(pl.col("text").n_unique())["text"]
    assert found["tied"] == pytest.approx(int(groups.filter(groups > 1).sum()) / int(groups.sum()))
    assert found["lowest_is_last"] == 0.0  # the first of the equal ones counts
    assert found["length_correlation"] is None
