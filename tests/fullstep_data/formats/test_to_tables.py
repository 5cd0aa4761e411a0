"""Groups to rows: spans, ids, pooling, grading, and the parts that keep a problem's solutions together."""

from pathlib import Path

import polars as pl
import pytest

from fullstep_data.formats.group import Group, Pair, Solution, Unusable
from fullstep_data.formats.spill import PROBLEMS_PER_PART
from fullstep_data.formats.to_tables import Intake, require_sound
from fullstep_data.grading import Grader
from fullstep_data.prompts import load_template
from schemas import TABLES


def tables(groups: list[Group], folder: Path, pool: bool = False, template: str | None = None) -> dict[str, list[pl.DataFrame]]:
    """The parts of each table, with the contract checked on each."""
    found: dict[str, list[pl.DataFrame]] = {}
    with Grader() as grader:
        intake = Intake("test", "human", pool, load_template(template) if template else None, grader, folder)
        for number, group in enumerate(groups, start=1):
            intake.add([group], "a.jsonl", number)
        for _, table, rows in intake.parts():
            found.setdefault(table, []).append(TABLES[table].check(rows, "test"))
    return found


def test_steps_cover_the_text_and_carry_labels_and_rewards(tmp_path: Path):
    solution = Solution(("ab\n", "cde"), labels=(1.0, None), rewards=(0.5, 0.25), correct=True)
    made = tables([Group("Q", solutions=(solution,))], tmp_path)
    (steps,), (labels,), (scores,) = made["steps"], made["step_labels"], made["step_scores"]
    assert steps.select("start", "stop", "text").rows() == [(0, 3, "ab\n"), (3, 6, "cde")]
    assert labels.select("step_index", "label", "value", "source", "n_rollouts").rows() == [
        (0, True, 1.0, "human", 0),
        (1, None, None, "human", 0),
    ]
    assert scores.select("reward", "scorer").rows() == [(0.5, "given:test"), (0.25, "given:test")]
    assert made["solutions"][0]["prompt"].to_list() == ["Q\n"]


def test_what_the_file_leaves_open_is_graded_where_there_is_a_gold_answer(tmp_path: Path):
    texts = ("The answer is 4", "The answer is 5", "None here")
    open_ones = tuple(Solution((text,)) for text in texts)
    made = tables([Group("2 + 2?", answer="4", solutions=open_ones), Group("3 + 3?", solutions=open_ones[:1])], tmp_path)
    rows = made["solutions"][0].join(made["problems"][0], on="problem_id").sort("question", "sample_index")
    found = rows.select("question", "correct", "grade_path").rows()
    assert found == [
        *(("2 + 2?", True, "exact"), ("2 + 2?", False, "rational"), ("2 + 2?", False, "no-answer")),
        ("3 + 3?", None, "given"),
    ]


def test_an_unfinished_solution_is_not_graded(tmp_path: Path):
    made = tables([Group("Q", answer="4", solutions=(Solution(("The answer is 4",), finished=False),))], tmp_path)
    assert made["solutions"][0].select("finish_reason", "answer", "correct", "grade_path").rows() == [
        ("length", None, None, "given")
    ]


def test_equal_texts_are_one_solution_only_where_records_are_pairs(tmp_path: Path):
    groups = [
        Group("Q", solutions=(Solution(("a",)), Solution((other,))), pairs=(Pair(0, 1, 0.75, 0.25),)) for other in ("b", "c", "b")
    ]
    (tmp_path / "pool").mkdir()
    (tmp_path / "each").mkdir()
    pooled, each = tables(groups, tmp_path / "pool", pool=True), tables(groups, tmp_path / "each")
    assert [made["solutions"][0].height for made in (pooled, each)] == [3, 6]  # a, b, c
    assert [made["pairs"][0].height for made in (pooled, each)] == [2, 3]  # the pair (a, b) comes twice
    assert pooled["pairs"][0]["margin"].to_list() == [0.5, 0.5]


def test_solutions_of_a_problem_are_in_its_part_however_far_apart_they_stood(tmp_path: Path):
    questions = [f"Q{number}" for number in range(PROBLEMS_PER_PART + 10)]
    groups = [Group(question, solutions=(Solution((text,)),)) for text in ("a", "b") for question in questions]
    made = tables(groups, tmp_path)
    assert [part.height for part in made["problems"]] == [PROBLEMS_PER_PART, 10]
    assert [part.height for part in made["solutions"]] == [2 * PROBLEMS_PER_PART, 20]
    for problems, solutions in zip(made["problems"], made["solutions"], strict=True):
        assert set(problems["problem_id"]) == set(solutions["problem_id"])


def test_prompts_are_the_record_s_own_or_of_the_template(tmp_path: Path):
    groups = [Group("Q", solutions=(Solution(("a",)),)), Group("R", prompt="R:", solutions=(Solution(("a",)),))]
    made = tables(groups, tmp_path, template="steps-zero-shot")
    prompts = sorted(made["solutions"][0]["prompt"], key=len)
    assert prompts[0] == "R:"
    assert "Q" in prompts[1]
    assert prompts[1] != "Q\n"


@pytest.mark.parametrize(
    ("group", "reason"),
    [
        (Group(" "), "the question is blank"),
        (Group("Q", solutions=(Solution(()),)), "a solution has no steps"),
        (Group("Q", solutions=(Solution(("a", "\n")),)), "a step is blank"),
        (Group("Q", solutions=(Solution(("a",), labels=(1.0, 1.0)),)), "not as many labels as steps"),
        (Group("Q", solutions=(Solution(("a",), rewards=(2.0,)),)), "rewards are not all between 0 and 1"),
        (Group("Q", solutions=(Solution(("\ud800",)),)), "text is not valid Unicode"),
        (Group("Q", solutions=(Solution(("a",)), Solution(("a",))), pairs=(Pair(0, 1),)), "the same text"),
    ],
)
def test_what_no_table_can_hold(group: Group, reason: str):
    with pytest.raises(Unusable, match=reason):
        require_sound(group)


def test_a_question_has_one_gold_answer(tmp_path: Path):
    one = Solution(("The answer is 4",))
    with Grader() as grader:
        intake = Intake("test", None, False, None, grader, tmp_path)
        intake.add([Group("Q", answer="4", solutions=(one,))], "a", 1)
        with pytest.raises(Unusable, match="another gold answer"):
            intake.add([Group("R", solutions=(one,)), Group("Q", answer="5", solutions=(one,))], "a", 2)
        with pytest.raises(Unusable, match="no solution in the record"):
            intake.add([Group("Q")], "a", 3)
        made = {table: rows.height for _, table, rows in intake.parts()}
    assert made == {"problems": 1, "solutions": 1, "steps": 1}  # nothing of the second record, not even its first group


def test_long_solutions_are_spilled_before_there_are_many(tmp_path: Path):
    groups = [Group("Q", solutions=(Solution((f"{number} {'x' * 3_000_000}",)),)) for number in range(8)]
    made = tables(groups, tmp_path)
    assert made["solutions"][0].height == 8
    assert sorted(path.name for path in tmp_path.glob("solutions-*")) == ["solutions-0.parquet", "solutions-1.parquet"]
