"""Outcome labels: each step carries its solution's verdict; an undecided outcome labels nothing and is counted."""

from fullstep_data.config import OutcomeLabels, StepsConfig
from fullstep_data.stage import Context
from fullstep_data.step_labels import step_labels
from fullstep_data.steps import steps
from schemas import TABLES
from tests.fullstep_data.test_steps import solution


def labelled():
    solutions = TABLES["solutions"].frame(
        [
            {**solution("right", "Step 1: a\nStep 2: b"), "answer": "1", "answer_source": "boxed", "correct": True},
            {**solution("wrong", "Step 1: a"), "answer": "2", "answer_source": "boxed"},
            {**solution("open", "Step 1: a\nStep 2: b"), "answer": "x", "answer_source": "boxed", "correct": None},
        ]
    )
    solutions = solutions.with_columns(grade_path=solutions["correct"].is_null().replace_strict(True, "timeout", default="exact"))
    rows = steps(solutions, Context(StepsConfig(), {})).rows
    return step_labels(rows, solutions, Context(OutcomeLabels(), {}))


def test_every_step_carries_the_outcome_as_one_rollout():
    rows = TABLES["step_labels"].check(labelled().rows, "test")
    assert rows.select("solution_id", "step_index", "n_rollouts", "n_correct", "label", "value", "source").rows() == [
        ("right", 0, 1, 1, True, 1.0, "outcome"),
        ("right", 1, 1, 1, True, 1.0, "outcome"),
        ("wrong", 0, 1, 0, False, 0.0, "outcome"),
    ]


def test_steps_of_an_undecided_solution_are_rejects():
    assert labelled().rejects.select("table", "key", "reason").rows() == [
        ("steps", "open/0", "outcome undecided"),
        ("steps", "open/1", "outcome undecided"),
    ]
