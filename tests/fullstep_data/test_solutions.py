"""solutions: every sample is a row, graded by its extracted answer; nothing is dropped where a verdict is left open."""

import polars as pl

from fullstep_data.config import SolutionsConfig
from fullstep_data.grading import GRADER_VERSION, Verdict
from fullstep_data.pipeline import PIPELINE
from fullstep_data.plan import decided_by
from fullstep_data.solutions import solutions
from fullstep_data.stage import Context
from schemas import TABLES

PROBLEMS = TABLES["problems"].frame(
    [
        {"problem_id": key, "question": "?", "answer": gold, "source": "s", "split": "train", "domain": "math"}
        for key, gold in (("p1", "5"), ("p2", "6"))
    ]
)


class Grades:
    """Notes what it is asked; is right where answer and gold are equal, and cannot tell of `unknown`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def grade(self, pairs: list[tuple[str, str]]) -> list[Verdict]:
        self.asked += pairs
        return [Verdict(None, "timeout") if answer == "unknown" else Verdict(answer == gold, "exact") for answer, gold in pairs]


def samples(*texts: tuple[str, str]) -> pl.DataFrame:
    return TABLES["samples"].frame(
        [
            {
                "problem_id": problem_id,
                "sample_index": index,
                "seed": index,
                "prompt": "Q",
                "text": text,
                "token_ids": [1, 2],
                "finish_reason": "eos",
                "prompt_tokens": 1,
                "tokens": 2,
                "sampler": "s",
            }
            for index, (problem_id, text) in enumerate(texts)
        ]
    )


def test_each_sample_is_graded_against_the_gold_of_its_own_problem() -> None:
    grader = Grades()
    given = samples(("p1", r"so \boxed{5}"), ("p2", r"so \boxed{5}"), ("p2", "no idea"), ("p2", r"\boxed{unknown}"))
    rows = solutions(given, PROBLEMS, Context(SolutionsConfig(), {"grader": grader})).rows
    assert grader.asked == [("5", "5"), ("5", "6"), ("unknown", "6")]  # the text without an answer is not asked of it
    assert rows["correct"].to_list() == [True, False, False, None]
    assert rows["grade_path"].to_list() == ["exact", "exact", "no-answer", "timeout"]
    assert rows["answer"].to_list() == ["5", "5", None, "unknown"]
    assert set(rows["grader"]) == {GRADER_VERSION}
    assert TABLES["solutions"].violations(rows) == []
    assert rows.select(given.columns[:5]).equals(given.select(given.columns[:5]))


def test_equal_texts_of_two_samples_are_two_solutions() -> None:
    rows = solutions(samples(("p1", "5"), ("p1", "5")), PROBLEMS, Context(SolutionsConfig(), {"grader": Grades()})).rows
    assert rows["solution_id"].n_unique() == 2


def test_the_time_limit_decides_a_part_and_the_number_of_workers_does_not() -> None:
    (stage,) = [stage for stage in PIPELINE if stage.name == "solutions"]
    usual = decided_by(stage, SolutionsConfig())
    assert decided_by(stage, SolutionsConfig(workers=7)) == usual
    assert decided_by(stage, SolutionsConfig(timeout_seconds=9)) != usual
