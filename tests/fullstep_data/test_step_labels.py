"""Outcome labels: each step carries its solution's verdict; an undecided outcome labels nothing and is counted."""

from pathlib import Path

import polars as pl
import pytest

from fullstep_data.config import OutcomeLabels, StepsConfig, TruthLabels, VoteLabels
from fullstep_data.query import sql
from fullstep_data.stage import Context
from fullstep_data.step_labels import step_labels, truth_labels, vote_labels
from fullstep_data.steps import steps
from schemas import TABLES, InputError
from tests.fullstep_data.report.sums import build, questions
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


def voted(*texts: tuple[str, bool | None]) -> pl.DataFrame:
    """Votes on solutions of one problem: their texts, and whether they are right."""
    frame = TABLES["solutions"].frame(
        [{**solution(f"s{number}", text), "sample_index": number} for number, (text, _) in enumerate(texts)]
    )
    frame = frame.with_columns(correct=pl.Series([right for _, right in texts], dtype=pl.Boolean))
    rows = steps(frame, Context(StepsConfig(splitter="newline"), {})).rows
    return TABLES["step_labels"].check(vote_labels(rows, frame, Context(VoteLabels(), {})).rows, "test")


def test_a_vote_counts_the_other_right_samples_that_take_the_step():
    rows = voted(("a\nb", True), ("a\nb", True), ("b\na\nc", True), ("a\nd\nb", False), ("c\nc", None))
    counts = rows.select("solution_id", "step_index", "n_rollouts", "n_correct", "label").rows()
    assert counts == [
        ("s0", 0, 2, 2, True),
        ("s0", 1, 2, 2, True),
        ("s1", 0, 2, 2, True),
        ("s1", 1, 2, 2, True),
        ("s2", 0, 2, 2, True),
        ("s2", 1, 2, 2, True),
        ("s2", 2, 2, 0, False),  # its own does not count
        ("s3", 0, 3, 3, True),
        ("s3", 1, 3, 0, False),
        ("s3", 2, 3, 3, True),
        ("s4", 0, 3, 1, True),  # a step that a solution takes twice has one vote
        ("s4", 1, 3, 1, True),
    ]
    assert rows["value"].to_list() == pytest.approx([1] * 6 + [0, 1, 0, 1, 1 / 3, 1 / 3])
    assert set(rows.select("labeller", "source").unique().row(0)) == {"vote"}


def test_without_another_right_sample_a_vote_stays_open():
    rows = voted(("a", True), ("a\nb", False))
    assert rows.select("n_rollouts", "label", "value", "reason").row(0) == (0, None, None, "no other right sample")
    assert rows.select("n_rollouts", "label", "reason").rows()[1:] == [(1, True, None), (1, False, None)]
    assert voted(("a", False), ("b", False))["reason"].to_list() == ["no other right sample"] * 2


@pytest.mark.parametrize("side", [False, True])
def test_a_build_votes_over_all_samples_of_a_problem(tmp_path: Path, side: bool) -> None:
    """Samples are drawn in parts of two; a side labeller counts as the labeller of the steps does."""
    vote = {"kind": "vote"}
    samples = {"engine": {"kind": "scripted"}, "samples": 6, "samples_per_part": 2, "max_tokens": 256}
    labelling = {"samples": samples} | ({"side_labels": [vote]} if side else {"step_labels": vote})
    version = build(tmp_path / "data", questions(6), labelling=labelling, per_part=2)
    assert len(version.tables["samples"].parts) > len(version.tables["problems"].parts)
    counted = sql(
        version,
        """SELECT count(*) AS steps, count(*) FILTER (n_rollouts = others) AS as_others, max(n_rollouts) > 2 AS across
        FROM step_labels JOIN solutions USING (problem_id, solution_id)
        JOIN (SELECT problem_id, count(*) FILTER (correct) AS found FROM solutions GROUP BY problem_id) USING (problem_id),
        LATERAL (SELECT found - correct::INT AS others) WHERE labeller = 'vote'""",
    )
    steps_made = version.tables["steps"].rows
    assert counted.row(0) == (steps_made, steps_made, True)


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
