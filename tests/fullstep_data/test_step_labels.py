"""Outcome labels: each step carries its solution's verdict; an undecided outcome labels nothing and is counted."""

import pytest

from fullstep_data.config import OutcomeLabels, StepsConfig, TruthLabels
from fullstep_data.stage import Context
from fullstep_data.step_labels import step_labels, truth_labels
from fullstep_data.steps import steps
from schemas import TABLES, InputError
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


def true_labels(of, source="arithmetic/facts"):
    """8 * 7 -> 6 and 6 + 7 -> 3; the first solution is right, the second has a wrong step and goes on rightly from it."""
    solutions = TABLES["solutions"].frame(
        [solution("right", "(1) 8*7=6\n(2) 6+7=3\nAnswer: 3"), solution("slip", "(1) 8*7=5\n(2) 5+7=2\nAnswer: 2")]
    )
    rows = steps(solutions, Context(StepsConfig(splitter="newline"), {})).rows
    problems = TABLES["problems"].frame(
        [{"problem_id": "p", "question": "8 (1)*7 (2)+7", "answer": "3", "source": source, "split": "train", "domain": "math"}]
    )
    return truth_labels(rows, problems, Context(TruthLabels(of=of), {}))


def test_a_local_verdict_looks_at_the_step_alone_and_a_prefix_verdict_at_all_before_it():
    found = {of: TABLES["step_labels"].check(true_labels(of).rows, "test") for of in ("local", "prefix")}
    assert found["local"]["label"].to_list() == [True, True, True, False, True, True]
    assert found["prefix"]["label"].to_list() == [True, True, True, False, False, False]
    assert found["prefix"].select("labeller", "source", "value").row(3) == ("truth prefix", "truth", 0.0)


def test_the_truth_of_other_problems_is_not_known():
    with pytest.raises(InputError, match="known for generated problems only") as caught:
        true_labels("prefix", source="gsm8k")
    assert list(caught.value.examples) == ["gsm8k"]
