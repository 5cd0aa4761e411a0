"""A world: the recipe of a seed, what decides a method's data, what is counted of it; and one small world from end to end."""

import json
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from cli.experiment_injection import of_answers
from cli.experiment_methods import Method, method
from cli.experiment_tables import RESULTS, TRIALS
from cli.experiment_world import FIRST_TEST, World, best_of, changes, finished, spent
from cli.progress import Lines, ProgressReporter
from tests.cli.test_experiment_tables import ROW

QUIET = ProgressReporter(Lines(lambda text: None))


@dataclass(frozen=True)
class Small:
    """A plan of seconds."""

    rates: tuple[float, ...] = (3e-4,)
    decode: tuple[str, ...] = ("greedy", "sc@2", "hybrid-mean@2")
    test_problems: int = 12
    overrides: tuple[str, ...] = ("problems.source.size=24", "samples.samples=4", "prm.epochs=1", "pairs.top=2")
    inject: int = 0


def world(folder: Path, family: str = "skill", seed: int = 3, inject: int = 0) -> World:
    return World("arithmetic", folder, family, seed, Small(inject=inject), QUIET)  # type: ignore[arg-type]  # a family's name


def chosen(folder: Path, name: str) -> None:
    """As if a method had finished."""
    (folder / name).mkdir(parents=True)
    (folder / name / "policy").write_text(f"{name}/runs/models/abc", encoding="utf-8")


def test_the_recipe_of_a_seed(tmp_path: Path) -> None:
    """Seed and family decide problems, base model, samples and trainings; the study's keys stand below the method's."""
    recipe = world(tmp_path).recipe((*method("full-step-true").data, *method("dpo").policy))
    assert recipe.model == "bench-arithmetic-skill-3"
    assert (recipe.problems.source.seed, recipe.samples.seed, recipe.policy.seed) == (3, 3, 3)  # type: ignore[union-attr]
    assert (recipe.prm.kind, recipe.step_labels.kind, recipe.pairs.top) == ("labels", "truth", 2)
    assert recipe.policy.weighting.gamma == 0
    assert world(tmp_path, inject=90).recipe(()).model == "bench-arithmetic-skill-3-injected-90"
    assert recipe.problems.source.first + recipe.problems.source.size < FIRST_TEST  # type: ignore[union-attr]


def test_a_round_starts_from_the_policy_that_writes_its_samples(tmp_path: Path) -> None:
    chosen(tmp_path, "round-1")
    here = world(tmp_path)
    recipe = here.recipe(here.keys(method("round-2")))
    place = str((tmp_path / "round-1/runs/models/abc").resolve())
    assert recipe.samples.engine.model == place  # type: ignore[union-attr]
    assert (recipe.policy.base, recipe.samples.samples) == (place, 4)
    assert here.keys(method("round-1")) == method("round-1").data
    assert here.keys(None) == ()


def test_answers_are_looked_at_where_a_mistake_is_injected(tmp_path: Path) -> None:
    greedy = pl.DataFrame({"question": ["47 (1)+2"], "text": ["(1) 47+2=48\nAnswer: 48"]})
    assert world(tmp_path).injection(None, greedy).is_empty()
    found = world(tmp_path, inject=90).injection(method("dpo"), greedy)
    assert dict(found.select("figure", "value").iter_rows()) == of_answers(greedy, "skill", 3)
    assert set(found["method"]) == {"dpo"}


def test_log_probs_move_by_what_the_last_steps_say() -> None:
    """20 steps: the last tenth are two, with rewards 1 and 3 at beta 2: (0.5 + 1.5) / 2."""
    curve = [{"rewards/chosen": 9.0, "rewards/rejected": 9.0}] * 18
    curve += [{"rewards/chosen": 1.0, "rewards/rejected": -2.0}, {"rewards/chosen": 3.0, "rewards/rejected": -2.0}]
    assert changes(curve, beta=2.0) == {"chosen_change": 1.0, "rejected_change": -1.0}
    assert changes([], beta=2.0) == {"chosen_change": None, "rejected_change": None}


def test_a_part_is_finished_where_it_has_results_under_every_rule(tmp_path: Path) -> None:
    assert not finished(tmp_path, ("greedy",))
    assert spent(tmp_path) == 0.0
    RESULTS.frame([ROW, ROW | {"decoding": "sc@4"}]).write_parquet(tmp_path / "results.parquet")
    assert finished(tmp_path, ("greedy",))
    assert not finished(tmp_path, ("greedy", "sc@8"))
    assert spent(tmp_path) == 1.0


def test_of_equals_the_lowest_rate_is_the_best() -> None:
    row = {"family": "facts", "seed": 0, "method": "dpo", "validation_n": 9, "pairs": 1, "cpu_seconds": 1.0}
    shares = {1e-3: 0.7, 3e-4: 0.8, 1e-4: 0.8}
    trials = TRIALS.frame([row | {"learning_rate": rate, "validation_accuracy": share} for rate, share in shares.items()])
    assert best_of(trials)["learning_rate"] == 1e-4


@pytest.mark.slow
def test_rounds_rollouts_and_other_prms_from_end_to_end(tmp_path: Path) -> None:
    """What is drawn: 4 samples a problem; two rounds with 4 each, the first shared with nobody; rollouts; a PRM of 6 others."""
    here = world(tmp_path, "facts", 0)
    other = Method(
        "other",
        "a PRM of other problems",
        prm=("problems.source.first=100000", "problems.source.size=6", "problems.held_out=0", "samples.samples=2"),
    )
    for one in (None, method("round-1"), method("round-2"), method("full-step-mc2"), other):
        here.do(one)
    found = pl.concat([pl.read_parquet(file) for file in sorted(tmp_path.glob("*/results.parquet"))])
    drawn = dict(found.filter(decoding="greedy").select("method", "completions").iter_rows())
    problems = here.training_problems
    assert (drawn["base"], drawn["round-1"], drawn["round-2"]) == (0, 4, 8)
    rolled = here.dataset(method("full-step-mc2")).table("rollouts").rows
    assert drawn["full-step-mc2"] == pytest.approx(4 + rolled / problems)
    assert drawn["other"] == pytest.approx(4 + 12 / problems)
    assert set(found.filter(method="base")["decoding"]) == {"greedy", "sc@1", "sc@2", "hybrid-mean@1", "hybrid-mean@2"}
    assert set(found.filter(pl.col("method") != "base")["decoding"]) == {"greedy"}
    figures = pl.concat([pl.read_parquet(file) for file in sorted(tmp_path.glob("*/figures.parquet"))])
    assert set(figures["method"]) == {"base", "full-step-mc2", "other"}
    answers = pl.read_parquet(tmp_path / "round-2/answers.parquet")
    assert set(answers["operations"]) <= {3, 4, 5}
    trials = pl.read_parquet(tmp_path / "round-2/trials.parquet")
    assert trials["learning_rate"].to_list() == [here.recipe(()).policy.learning_rate]  # a step on the way is not searched
    settings = json.loads(found.filter(method="round-2")["settings"][0])
    assert "samples.engine.model = that of round-1" in settings
