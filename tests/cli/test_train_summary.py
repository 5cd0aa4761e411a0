from pathlib import Path

import polars as pl
import pytest
from rich.console import Group

from cli.train_summary import (
    Training,
    accuracy_table,
    gradient_shares,
    loss_of,
    reading,
    reward_plot,
    train_summary,
    training_curve,
    weighs_steps,
)
from fullstep_data.accuracy import accuracy
from fullstep_train.config import DPO, SFT, PolicyTraining, Step, StepDPO
from schemas import TABLES
from tests.cli.test_render import shown

SIZE = {"pairs": 1, "problems": 1, "dropped": 0}


def predictions(before: list[bool | None], after: list[bool | None]) -> pl.DataFrame:
    rows = [
        {
            "problem_id": f"p{index}",
            "model": model,
            "decoding": "greedy",
            "sample_index": 0,
            "source": "s",
            "seed": 0,
            "n_samples": 1,
            "question": "q",
            "gold": "1",
            "text": "t",
            "finish_reason": "eos",
            "answer": "1",
            "answer_source": "boxed",
            "correct": correct,
            "grade_path": "timeout" if correct is None else "exact",
            "grader": "g",
            "sampler": "s",
        }
        for model, verdicts in (("before", before), ("after", after))
        for index, correct in enumerate(verdicts)
    ]
    return TABLES["predictions"].frame(rows)


def lines(frame: pl.DataFrame) -> list[str]:
    return [line.plain for line in reading(frame)]


def test_overlapping_intervals_are_said_to_show_nothing():
    first, second = lines(predictions([True, False, False], [True, True, False]))
    # one fixed, none broken: p = 2 * 0.5 = 1
    assert first == "of 3 problems 1 were fixed and 0 were broken (exact McNemar test: p = 1)"
    assert second.startswith("the intervals overlap: this run does not show a difference")


@pytest.mark.parametrize(("before", "after", "word"), [(False, True, "better"), (True, False, "worse")])
def test_a_difference_beyond_chance_is_named_with_its_direction(before: bool, after: bool, word: str):
    first, second = lines(predictions([before] * 12, [after] * 12))
    # 12 changes, all one way: p = 2 / 2**12 = 0.00049
    assert "p = 0.00049" in first
    assert f"the policy is {word} than the model it was made from" in second


def test_ungraded_answers_are_counted_as_not_correct_and_named():
    found = lines(predictions([True, None], [True, True]))
    assert "1 were fixed" in found[0]
    assert found[-1] == "1 answers could not be graded and count as not correct"


def test_without_held_out_problems_nothing_is_claimed():
    (only,) = lines(predictions([], []))
    assert "nothing is known of the policy" in only


def test_where_the_gradient_went():
    """Step 1: (0.2 + 0.4) / 2 = 30 %; step 2: 70 %; nothing reached step 3."""
    curve = [
        {"gradient_share/step_1": 0.2, "gradient_share/step_2": 0.8, "gradient_share/step_3": 0.0},
        {"gradient_share/step_1": 0.4, "gradient_share/step_2": 0.6, "gradient_share/step_3": 0.0},
    ]
    assert [shown(line).strip() for line in gradient_shares(curve)] == ["share of the gradient by step: 1: 30%, 2: 70%"]
    assert gradient_shares([{"gradient_share/step_1": 1.0}]) == []
    assert gradient_shares([]) == []


def test_accuracy_has_its_interval():
    text = shown(accuracy_table(accuracy(predictions([True, False], [True, True]))))
    # Wilson for 1 of 2: (0.5 + z²/4) / (1 + z²/2) -+ ... = 9.5 % to 90.5 %
    assert "9.5% to 90.5%" in text
    assert "2/2" in text


def test_the_curve_shows_each_figure_from_first_to_last():
    log = [{"step": 1, "loss": 0.7, "rewards/margins": 0.0}, {"step": 2, "loss": 0.5, "rewards/margins": 1.0}]
    text = shown(Group(*training_curve(Training(log, SIZE))))
    loss, margin = text.splitlines()[2:4]
    assert loss.split()[-3:] == ["0.7000", "█▁", "0.5000"]
    assert margin.split()[-3:] == ["0.0000", "▁█", "1.0000"]
    assert text.splitlines()[2].startswith("loss, -log sigmoid(rho_w - rho_l) ")
    assert "loss, -log pi of the chosen " in shown(Group(*training_curve(Training(log, SIZE, loss="-log pi of the chosen"))))
    assert "2 optimiser steps on 1 pair of 1 problem, 0 dropped" in text


def test_a_warning_of_the_trainer_is_shown():
    text = shown(Group(*training_curve(Training([], SIZE, ["the chosen solutions are falling: lower policy.learning_rate"]))))
    assert "warning: the chosen solutions are falling: lower policy.learning_rate" in " ".join(text.split())


def test_the_whole_summary_ends_with_three_commands():
    text = shown(Group(*train_summary(predictions([True], [True]), Training([], SIZE), None, "--max-tokens 7", "out/d", "out/r")))
    assert text.split("Next")[1].count("#") == 3
    assert "fs-data sql out/r" in text
    assert "fs-train eval --model MODEL --problems out/d --max-tokens 7\n" in f"{text}\n"


def test_the_rewards_are_plotted_where_they_are_logged():
    """The chosen go from 0 to 1, the rejected from 0 to -1."""
    curve = [
        {"step": 1, "loss": 0.7, "rewards/chosen": 0.0, "rewards/rejected": 0.0},
        {"step": 2, "loss": 0.5, "rewards/chosen": 1.0, "rewards/rejected": -1.0},
    ]
    text = [line.strip() for line in shown(Group(*reward_plot(curve))).splitlines()]
    assert text[0] == "rho of the chosen (●) and of the rejected (○; ◐ both), by optimiser step"
    assert text[1] == "1 ┤    ●"
    assert text[8] == "-1 ┤    ○"
    assert reward_plot([{"step": 1, "loss": 0.7}]) == []


def test_where_the_picture_is_or_how_to_have_one():
    arguments = ("--max-tokens 7", "out/d", "out/r")
    for picture, told in ((Path("out/r/training.png"), "as a picture: out/r/training.png"), (None, "fullstep[report]")):
        text = shown(Group(*train_summary(predictions([True], [True]), Training([], SIZE), picture, *arguments)))
        assert told in text


def test_step_rewards_are_pointed_at_where_they_had_a_say():
    for weighted in (True, False):
        training = Training([], SIZE, weighted=weighted)
        text = shown(Group(*train_summary(predictions([True], [True]), training, None, "--max-tokens 7", "out/d", "out/r")))
        assert ("fs-data show out/d step_scores" in text) == weighted
        assert "fs-train eval" in text


@pytest.mark.parametrize(
    ("config", "loss", "weighs"),
    [
        (PolicyTraining(), "-log sigmoid(rho_w - rho_l)", True),
        (PolicyTraining(weighting=Step(gamma=0)), "-log sigmoid(rho_w - rho_l)", False),
        (PolicyTraining(objective=DPO(nll_weight=0.5)), "-log sigmoid(rho_w - rho_l) + 0.5 nll of the chosen", True),
        (PolicyTraining(objective=StepDPO()), "-log sigmoid(rho_w - rho_l)", False),
        (PolicyTraining(objective=SFT()), "-log pi of the chosen, per token", False),
    ],
)
def test_what_the_objective_learns(config: PolicyTraining, loss: str, weighs: bool):
    assert (loss_of(config.model_dump()), weighs_steps(config.model_dump())) == (loss, weighs)
