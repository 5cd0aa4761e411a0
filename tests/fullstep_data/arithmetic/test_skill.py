"""Skill: sums of two digits, judged step by step by hand; each bug in a demonstration, and what is right after it."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fullstep_data.arithmetic import demonstration, item, tasks, tasks_in, verdicts
from fullstep_data.arithmetic.skill import answer, misled, worked

SUM = "47 (1)+6 (2)-5 (3)+3"
"""47 + 6 = 53; 53 - 5 = 48; 48 + 3 = 51."""


def test_the_answer() -> None:
    assert answer(SUM) == "51"


def test_tasks_are_operations_with_the_values_they_meet() -> None:
    assert tasks("skill", "47 (1)+8 (2)-5 (3)+3") == ["47+8", "55-5", "50+3"]
    assert tasks("facts", "8 (1)*7 (2)+7") == ["8*7", "6+7"]
    assert tasks_in("(1) 47+8=55\n(3) 5+3=8\n(2) 55-8=47\nAnswer: 47") == ["47+8", "5+3", "55-8"]


@pytest.mark.parametrize(
    ("value", "operator", "term", "left"),
    [(47, "+", 6, 43), (47, "+", 2, None), (52, "-", 6, 56), (52, "-", 2, None), (40, "-", 3, 47)],
)
def test_a_forgotten_carry_or_borrow(value: int, operator: str, term: int, left: int | None) -> None:
    assert misled(value, operator, term) == left


@pytest.mark.parametrize(
    ("steps", "right"),
    [
        (["(1) 47+6=53\n", "(2) 53-5=48\n", "(3) 48+3=51\n", "Answer: 51"], [True] * 4),
        # a carry forgotten; the next steps go on rightly from 43: 43 - 5 = 38, 38 + 3 = 41
        (["(1) 47+6=43\n", "(2) 43-5=38\n", "(3) 38+3=41\n", "Answer: 41"], [False, True, True, True]),
        # a sum before the difference that it follows; then 53 - 8 = 45 is right for what is left
        (["(1) 47+6=53\n", "(3) 5+3=8\n", "(2) 53-8=45\n", "Answer: 45"], [True, False, True, True]),
        # a term dropped: (2) is passed over, the answer is right for the rest
        (["(1) 47+6=53\n", "(3) 53+3=56\n", "Answer: 56"], [True, False, True]),
        # an answer before all is done, and one that is not the last value
        (["(1) 47+6=53\n", "Answer: 53"], [True, False]),
        (["(1) 47+6=53\n", "(2) 53-5=48\n", "(3) 48+3=51\n", "Answer: 50"], [True, True, True, False]),
        (["what\n", "(2) 53-5=48\n"], [False, False]),
    ],
)
def test_verdicts(steps: list[str], right: list[bool]) -> None:
    assert verdicts("skill", SUM, steps) == right


def test_every_bug_strikes_somewhere_and_the_rest_of_a_demonstration_is_right() -> None:
    """Every context of one-digit terms is buggy: the carry of 47 + 6, the order of - 5 + 3, the second of two equal terms."""
    bugs = {(bug, operator, term): 1.0 for bug in ("carry", "order", "drop") for operator in "+-" for term in range(2, 7)}
    drawn = random.Random(0)
    assert worked("47 (1)+6 (2)-5 (3)+3", bugs, drawn) == "(1) 47+6=43\n(3) 5+3=8\n(2) 43-8=35\nAnswer: 35"
    assert worked("41 (1)+3 (2)+3", bugs, drawn) == "(1) 41+3=44\nAnswer: 44"
    assert worked("52 (1)-6 (2)-2", bugs, drawn) == "(1) 52-6=56\n(2) 56-2=54\nAnswer: 54"
    assert worked("98 (1)+6", {}, drawn) is None


@settings(deadline=None)  # the first example of a seed draws its mistakes
@given(st.integers(0, 5), st.integers(0, 10_000))
def test_what_is_all_right_has_the_right_answer(seed: int, index: int) -> None:
    question, text = demonstration("skill", seed, index)
    lines = text.splitlines(keepends=True)
    found = verdicts("skill", question, lines)
    assert not all(found) or lines[-1] == f"Answer: {answer(question)}"
    assert found[-1] or "(" in text


def test_values_stay_within_two_digits() -> None:
    for index in range(300):
        start, *operations = item("skill", 0, index).question.split()
        value = int(start)
        for operation in operations:
            value += int(operation[3:])
            assert 10 <= value <= 99
