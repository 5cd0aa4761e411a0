"""`fs-train run`: what it refuses before any model is loaded, and what it says of data that can show nothing."""

import json
from pathlib import Path

import pytest

from cli.recipe import load
from cli.run import eval_options
from fullstep_data.store import open_version
from fullstep_train.groups import Solution
from fullstep_train.reference import Reference
from tests.cli.commands import done, invoke
from tests.fullstep_data.formats.trips import GOLDEN


@pytest.mark.parametrize(("samples", "error", "reason"), [(1, 0, "no incorrect solution"), (3, 1000, "no correct solution")])
def test_data_without_pairs_are_built_honestly_and_refused_at_once(samples: int, error: int, reason: str, tmp_path: Path):
    """One solution of a problem makes no pair; nor do right sums under gold answers that are all wrong."""
    sums = [{"question": f"What is {n} + 5?", "answer": n + 5 + error} for n in range(8)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(record) + "\n" for record in sums))
    sizes = f"--set samples.samples={samples} --set pairs.top={samples} --set samples.engine.error_rate=0"
    build = done(f"fs-data build tiny --out data --set problems.source.path=sums.jsonl {sizes}", tmp_path)
    assert "no pairs, so there is nothing to train on" in build.stdout
    assert reason in build.stdout
    assert "fs-train" not in build.stdout
    refused = invoke("fs-train run tiny --data data --out run", tmp_path)
    assert refused.exit_code == 2
    assert "the dataset has no pairs to train on" in refused.stderr
    assert f"{reason}: " in refused.stderr
    assert not (tmp_path / "run").exists()


def test_step_dpo_learns_from_the_step_pairs(place: Path):
    """One word in the recipe. What has no reference log-probs here is a step, so it has no solution either."""
    line = "fs-train run tiny --data out/tiny --out out/steps --set policy.objective.kind=step-dpo"
    pairs = open_version(str(place / "out/tiny")).frame("step_pairs")
    told = done(line, place).stdout
    assert f"on {pairs.height} pairs of {pairs['problem_id'].n_unique()} problems" in told
    assert "the step rewards that weighted the training" not in told
    reference = open_version(str(place / "out/steps")).frame("reference_logprobs")
    assert reference["solution_id"].null_count() == reference.height > 0
    assert done("fs-data check out/steps", place).exit_code == 0


def test_a_reference_of_the_dataset_serves_every_run(place: Path, monkeypatch: pytest.MonkeyPatch):
    """The rows of the dataset are the run's, and the reference model computes nothing."""
    done("fs-data build tiny --out out/tiny --set reference_logprobs.in_dataset=true", place)

    def refuse(self: Reference, solutions: list[Solution]) -> dict[str, list[float]]:
        assert not solutions
        return {}

    monkeypatch.setattr(Reference, "_computed", refuse)
    done("fs-train run tiny --data out/tiny --out out/again", place)
    tables = [open_version(str(place / folder)).frame("reference_logprobs") for folder in ("out/tiny", "out/again")]
    assert tables[0].height > 0
    assert tables[0].equals(tables[1])


def test_imported_pairs_without_step_rewards_are_told_before_anything_is_loaded(tmp_path: Path):
    done(f"fs-data import trl-preference {GOLDEN / 'trl-preference.jsonl'} --out given", tmp_path)
    result = invoke("fs-train run tiny --data given --out run", tmp_path)
    assert result.exit_code == 2
    assert "the pairs have no step rewards" in result.stderr
    assert "fs-data build RECIPE --out given" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_run_folder_is_no_data(built: Path):
    refused = invoke("fs-train run tiny --data out/tiny-run --out new", built)
    assert refused.exit_code == 2
    assert "has no table pairs" in refused.stderr
    assert not (built / "new").exists()


@pytest.mark.parametrize(
    "line",
    [
        "fs-train run tiny --data out/tiny --out out/tiny",
        "fs-data build tiny --out out/tiny-run",
        "fs-train eval --model tiny-random --problems out/tiny --out out/tiny",
    ],
)
def test_a_folder_of_another_kind_is_not_written_into(line: str, built: Path):
    refused = invoke(line, built)
    assert refused.exit_code == 2
    assert "the folder holds a dataset of another kind" in refused.stderr
    assert all(len(list((built / folder / "versions").iterdir())) == 1 for folder in ("out/tiny", "out/tiny-run"))


def test_without_held_out_problems_nothing_is_claimed(tmp_path: Path):
    sizes = "--set problems.source.limit=8 --set samples.samples=4 --set problems.held_out=0"
    done(f"fs-data build tiny --out data {sizes}", tmp_path)
    text = done(f"fs-train run tiny --data data --out run {sizes}", tmp_path).stdout
    assert "nothing is known of the policy" in text
    assert "fs-train eval" not in text


def test_another_model_is_measured_as_the_recipe_measures(built: Path):
    recipe = load("tiny", ["samples.prompt.chat=never", "evaluation.max_tokens=7"])
    assert eval_options(recipe) == "--template steps-few-shot --chat never --max-tokens 7"
    line = f"fs-train eval --model tiny-random --problems out/tiny {eval_options(load('tiny'))}"
    run = done("fs-train run tiny --data out/tiny --out out/tiny-run", built).stdout
    assert line.replace("tiny-random", "MODEL") in run
    (before,) = [text for text in run.splitlines() if text.split()[:1] == ["before"]]
    (again,) = [text for text in done(line, built).stdout.splitlines() if "greedy" in text.split()]
    assert " ".join(before.split()[1:]) in " ".join(again.split())
