import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from fullstep_data.stage import Context, Outcome
from fullstep_data.store import open_version
from tests.cli.commands import done, invoke
from tests.fullstep_data.report.sums import build, questions
from tests.fullstep_data.small_chain import STAGES, run_stages, step_scores


def test_every_block_and_the_same_numbers_as_json(built: Path):
    text = done("fs-data stats out/tiny", built).stdout
    heads = ("Warnings", "Tables", "Rewards by label", "Rewards by step position", "Rewards by length of the solution")
    for head in (*heads, "Scores of solutions", "Calibration", "Pairs", "Diversity", "Tokens"):
        assert f"\n{head}" in text
    assert "\nLabels of steps" in text
    found = json.loads(done("fs-data stats out/tiny --json", built).stdout)
    assert f"{found['scores']['auc']['mean']:.3f}" in text
    assert f"{found['calibration']['ece']:.3f}" in text
    for warned in found["warnings"]:
        assert warned["name"] in text
    assert found["tables"]["samples"] == 296


def test_pairs_of_next_steps_are_counted(built: Path):
    found = json.loads(done("fs-data stats out/tiny --json", built).stdout)["step_pairs"]
    frame = open_version(str(built / "out/tiny")).frame("step_pairs")
    assert (found["pairs"], found["problems"]) == (frame.height, frame["problem_id"].n_unique())
    assert found["margin_mean"] == pytest.approx(frame["margin"].mean())
    assert (found["reversed"], found["ties"]) == (int((frame["margin"] < 0).sum()), int((frame["margin"] == 0).sum()))
    at = {str(place): count for place, count in frame["step_index"].value_counts(sort=True).sort("step_index").iter_rows()}
    assert found["by_position"] == at
    longer = frame.select((pl.col("chosen").str.len_chars() > pl.col("rejected").str.len_chars()).mean()).item()
    assert found["chosen_longer"] == pytest.approx(longer)
    text = done("fs-data stats out/tiny", built).stdout
    assert f"{frame.height} pairs on {frame['problem_id'].n_unique()} problems: {at['0']} at step_index 0" in text


def test_what_the_prm_was_not_trained_on_is_told(built: Path):
    found = json.loads(done("fs-data stats out/tiny --json", built).stdout)
    (metrics,) = (built / "out/tiny/models").glob("*/metrics.json")
    validation = json.loads(metrics.read_text())["validation"]
    assert found["prm"] == {name: validation[name] for name in ("problems", "auc", "ece")}
    text = " ".join(done("fs-data stats out/tiny", built).stdout.split())
    assert f"that it was not trained on: AUC {validation['auc']:.3f}" in text


def test_of_several_labellers_the_one_that_the_figures_go_by_is_named(tmp_path: Path):
    judge = {"kind": "judge", "engine": {"kind": "scripted"}}
    version = build(tmp_path / "d", questions(12), labelling={"side_labels": [judge]}, per_part=5)
    text = " ".join(done("fs-data stats d", tmp_path).stdout.split())
    found = json.loads(done("fs-data stats d --json", tmp_path).stdout)
    assert f"labels of {found['labeller']}, of 3 labellers the one to say most" in text
    assert "scorers the one with most" not in text
    assert found["scorers"] == [{"scorer": found["scorer"], "steps": version.tables["step_scores"].rows}]
    assert "judge-yes-no threshold=0.5 | outcome: the same in" in text


def test_of_several_scorers_the_one_that_the_figures_go_by_is_named(tmp_path: Path):
    def twice(given: pl.DataFrame, context: Context) -> Outcome:
        rows = step_scores(given, context).rows
        return Outcome(pl.concat([rows, rows.head(3).with_columns(scorer=pl.lit("another"))]))

    stages = [replace(one, run=twice, revision=2) if one.name == "step_scores" else one for one in STAGES]
    version = run_stages(tmp_path / "d", stages)
    found = json.loads(done("fs-data stats d --json", tmp_path).stdout)
    most, other = found["scorers"]
    assert (most["scorer"], most["steps"]) == (found["scorer"], version.tables["steps"].rows)
    assert other["scorer"] == "another"
    assert f"rewards of {most['scorer']}, of 2 scorers the one with most" in done("fs-data stats d", tmp_path).stdout


def test_open_labels_twins_and_outcomes_are_told(tmp_path: Path):
    labelling = {"step_labels": {"kind": "monte-carlo", "n": 2, "policy": "first-error"}}
    version = build(tmp_path / "d", questions(6), labelling=labelling, stages=6)
    found = json.loads(done("fs-data stats d --json", tmp_path).stdout)
    text = " ".join(done("fs-data stats d", tmp_path).stdout.split())
    labels, solutions = version.frame("step_labels"), version.frame("solutions")
    ((labeller, reason, steps),) = [tuple(row.values()) for row in found["open"]]
    assert (reason, steps) == ("after the first error", labels["label"].null_count())
    assert f"{labeller}: {steps} open: {reason}" in text
    copies = solutions.group_by("problem_id", "text").len()["len"]
    assert found["equal_solutions"] == {"solutions": solutions.height, "equal": copies.filter(copies > 1).sum()}
    assert f"{copies.filter(copies > 1).sum()} of {solutions.height} solutions have a twin" in text
    right = solutions.group_by("problem_id").agg(pl.col("correct").any(), every=pl.col("correct").all())
    mixed = right.filter("correct", ~pl.col("every")).height
    assert sum(found["outcomes"].values()) == right.height
    assert found["outcomes"]["mixed"] == mixed
    assert f"{mixed} mixed" in text


def test_an_import_is_told_of_by_its_labels(built: Path, tmp_path: Path):
    done("fs-data import math-shepherd builtin:math-shepherd.jsonl --out shepherd", tmp_path)
    text = done("fs-data stats shepherd", tmp_path).stdout
    assert "math-shepherd: 0 of 32 right solutions have a step labelled 0" in text
    assert "as the outcome says" in text


def test_a_dataset_without_rewards_says_so(built: Path):
    text = done("fs-data stats out/tiny-run", built).stdout
    assert "no step of this version has a reward" in text
    assert json.loads(done("fs-data stats out/tiny-run --json", built).stdout)["warnings"] == []


def test_an_unknown_version_is_named(built: Path):
    assert invoke("fs-data stats out/tiny@9", built).exit_code == 2
