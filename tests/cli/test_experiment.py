"""The experiment: what is typed, what each seed's recipe is, and a whole small study that is stopped and goes on."""

from pathlib import Path

import polars as pl
import pytest

from cli.experiment import FIRST_TEST, QUICK, RATES, Study, World, collect, finished, rates_tried, study_of
from cli.experiment_methods import chosen, method
from cli.experiment_tables import RESULTS, TRIALS
from cli.progress import Lines, ProgressReporter
from schemas import InputError
from tests.cli.commands import done, invoke
from tests.cli.test_experiment_tables import ROW

QUIET = ProgressReporter(Lines(lambda text: None))
TYPED = {"family": "facts,skill", "seeds": 2, "methods": "default", "rates": "3e-4,1e-4", "decode": "greedy,sc@4"}


def typed(*, quick: bool = False, **changes: str) -> Study:
    return study_of(**(TYPED | changes), test_problems=400, overrides=("pairs.top=2",), quick=quick, command="fs-train …")  # type: ignore[arg-type]


def test_a_study_as_it_was_typed() -> None:
    study = typed()
    assert study.families == ("facts", "skill")
    assert study.rates == (1e-4, 3e-4)
    assert study.decode == ("greedy", "sc@4")
    assert study.methods == tuple(chosen("default"))
    assert len(RATES) == 4


def test_a_quick_one_is_smaller_and_keeps_what_was_set() -> None:
    study = typed(quick=True)
    assert (len(study.families), len(study.rates), study.test_problems) == (1, 1, 100)
    assert study.overrides == (*QUICK, "pairs.top=2")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"family": "fact"}, "there is no family 'fact'"),
        ({"rates": "fast"}, "a learning rate is a number"),
        ({"methods": "ppo"}, "there is no method 'ppo'"),
        ({"decode": "best"}, "best"),
    ],
)
def test_what_is_none_is_refused(changes: dict[str, str], what: str) -> None:
    with pytest.raises(InputError, match=what):
        typed(**changes)


def test_the_recipe_of_a_seed(tmp_path: Path) -> None:
    """Seed and family decide problems, base model, samples and trainings; the study's keys stand below the method's."""
    world = World("arithmetic", tmp_path, "skill", 3, typed(), QUIET)
    recipe = world.recipe((*method("full-step-true").data, *method("dpo").policy))
    assert recipe.model == "bench-arithmetic-skill-3"
    assert (recipe.problems.source.seed, recipe.samples.seed, recipe.policy.seed) == (3, 3, 3)  # type: ignore[union-attr]
    assert (recipe.prm.kind, recipe.step_labels.kind, recipe.pairs.top) == ("labels", "truth", 2)
    assert recipe.policy.weighting.gamma == 0
    assert recipe.problems.source.first + recipe.problems.source.size < FIRST_TEST  # type: ignore[union-attr]


def test_a_part_is_finished_where_it_has_results_under_every_rule_and_rate(tmp_path: Path) -> None:
    assert not finished(tmp_path, ("greedy",), ())
    RESULTS.frame([ROW]).write_parquet(tmp_path / "results.parquet")
    trial = {"family": "facts", "seed": 0, "method": "dpo", "validation_accuracy": 0.5, "validation_n": 9, "pairs": 1}
    trials = [trial | {"learning_rate": rate, "cpu_seconds": 2.0} for rate in (1e-4, 1e-3)]
    TRIALS.frame(trials).write_parquet(tmp_path / "trials.parquet")
    assert finished(tmp_path, ("greedy",), (1e-3, 1e-4))
    assert finished(tmp_path, ("greedy",), (1e-4,))
    assert not finished(tmp_path, ("greedy", "sc@4"), (1e-4,))
    assert not finished(tmp_path, ("greedy",), (1e-4, 3e-4))
    assert rates_tried(tmp_path) == {1e-4: 2.0, 1e-3: 2.0}


@pytest.mark.slow
def test_a_study_is_stopped_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the test of the second method: what was finished stays as it was, and the rest is made."""
    line = "fs-train experiment arithmetic --quick --methods sft,dpo --decode greedy,sc@2 --out out"
    asked: list[str] = []
    test = World.test

    def stopped(self: World, name: str, *rest: object) -> pl.DataFrame:
        asked.append(name)
        if name == "dpo" and asked.count("dpo") == 1:
            raise KeyboardInterrupt
        return test(self, name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(World, "test", stopped)
    assert invoke(line, tmp_path).exit_code == 130
    first = tmp_path / "out/facts/seed-0/sft/results.parquet"
    made = first.stat().st_mtime_ns
    shown = done(line, tmp_path).stdout
    assert asked == ["base", "sft", "dpo", "dpo"]
    assert first.stat().st_mtime_ns == made
    assert "Methods, facts" in shown
    found = collect(tmp_path / "out")
    assert found["results"].sort("method").select("method", "decoding").unique(maintain_order=True).rows() == [
        ("base", "greedy"),
        ("base", "sc@1"),
        ("base", "sc@2"),
        ("dpo", "greedy"),
        ("sft", "greedy"),
    ]
    assert found["trials"].height == 2
    assert found["answers"].group_by("method").len()["len"].unique().to_list() == [found["results"]["test_n"][0]]
    assert (tmp_path / "out/results.png").is_file()
    assert found["figures"].filter(figure="samples right")["value"][0] > 0.1
