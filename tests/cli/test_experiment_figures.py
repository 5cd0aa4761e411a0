"""Figures of the data, worked out by hand on one right and one wrong solution of two steps each."""

import math
from types import SimpleNamespace

import polars as pl
import pytest

from cli.experiment_figures import bias, figures

RIGHT, WRONG = {"solution_id": "r", "problem_id": "p"}, {"solution_id": "w", "problem_id": "p"}


def steps(values: dict[str, tuple[float | bool | str, float | bool | str]], name: str) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"solution_id": solution, "step_index": index, "problem_id": "p", name: value}
            for solution, pair in values.items()
            for index, value in enumerate(pair)
        ]
    )


def version(**frames: pl.DataFrame) -> SimpleNamespace:
    models = {"prm": SimpleNamespace(config={"validation_share": 0.0})}
    return SimpleNamespace(frame=frames.__getitem__, manifest=SimpleNamespace(models=models))


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, float | None]:
    monkeypatch.setattr("cli.experiment_figures.held_back", lambda problems, share: set(problems))
    data = version(
        solutions=pl.DataFrame([RIGHT | {"correct": True}, WRONG | {"correct": False}]),
        pairs=pl.DataFrame([{"chosen_id": "r", "rejected_id": "w", "problem_id": "p"}]),
        step_pairs=pl.DataFrame([{"problem_id": "p"}]),
        steps=steps({"r": ("(1) 1+1=2", "Answer: 2"), "w": ("(1) 1+1=2", "Answer: 3")}, "text"),
        step_scores=steps({"r": (0.9, 0.7), "w": (0.8, 0.2)}, "reward"),
        step_labels=steps({"r": (True, True), "w": (False, False)}, "label"),
    )
    truth = version(step_labels=steps({"r": (True, False), "w": (True, False)}, "label"))
    return figures(data, truth, truth)  # type: ignore[arg-type]  # what of a version is asked for


def test_shares_of_samples(found: dict[str, float | None]) -> None:
    """One of two samples is right; it has a false step; the wrong one has one too; the only problem has a right sample."""
    assert found["samples right"] == 0.5
    assert found["right solutions with a false step"] == 1.0
    assert found["wrong solutions without one"] == 0.0
    assert found["problems with a right sample"] == 1.0
    assert (found["pairs"], found["pairs of next steps"]) == (1.0, 1.0)


def test_spread_and_place_of_the_weights(found: dict[str, float | None]) -> None:
    """Chosen at gamma 0.5: exp(0.5 * (0.9 - 0.7)). Rejected: exp(0.5 * (0.8 - 0.2)), and on its false second step the share
    exp(-0.1) / (exp(-0.4) + exp(-0.1)); at gamma 0 half of the weight."""
    assert found["largest to smallest weight in a chosen solution, gamma 0.5"] == pytest.approx(math.exp(0.1))
    assert found["largest to smallest weight in a rejected solution, gamma 0.5"] == pytest.approx(math.exp(0.3))
    share = math.exp(-0.1) / (math.exp(-0.4) + math.exp(-0.1))
    assert found["weight of a rejected solution on false steps, gamma 0.5"] == pytest.approx(share)
    assert found["weight of a rejected solution on false steps, gamma 0"] == 0.5


def test_auc_against_each_kind_of_truth(found: dict[str, float | None]) -> None:
    """Outcome: 0.9 and 0.7 above 0.8 and 0.2 in 3 of 4 pairs. Prefix: 0.9 and 0.8 above 0.7 and 0.2 in all."""
    assert found["PRM AUC, outcome"] == 0.75
    assert found["PRM AUC, prefix-correct"] == 1.0


def test_whether_the_prm_flags_what_the_model_has_learnt_wrong() -> None:
    """8*7 is false in 5 of 5 steps, 2+2 in 1 of 6: of the habit the rewards 0.1 to 0.5 lie below all right ones but for 0.5 and
    the right 0.4 (5 * 5 - 1 of 25), of the slip 0.9 lies above all. 3+3, met once, says nothing of habits.
    """
    steps = pl.DataFrame(
        [
            {"solution_id": f"{task}{place}", "step_index": 0, "text": f"(1) {task}={place}"}
            for task, times in (("8*7", 5), ("2+2", 6), ("3+3", 1))
            for place in range(times)
        ]
    )
    local = steps.select("solution_id", "step_index").with_columns(label=pl.Series([False] * 5 + [False] + [True] * 5 + [False]))
    rewards = [0.1, 0.2, 0.3, 0.35, 0.5, 0.9, 0.4, 0.6, 0.7, 0.8, 0.85, 0.0]
    found = bias(steps, local.drop("label").with_columns(reward=pl.Series(rewards)), local)
    assert found["PRM AUC, mistakes made nearly always"] == pytest.approx(24 / 25)
    assert found["PRM AUC, mistakes made now and then"] == 0.0
    assert found["false steps of mistakes made nearly always"] == 5
    assert (found["PRM AUC, mistakes made often"], found["false steps of mistakes made often"]) == (None, 0)
