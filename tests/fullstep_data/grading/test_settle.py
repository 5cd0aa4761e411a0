"""Odd verdicts: what we decide, why, and what math-verify 0.9.0 says where it differs (measured; design/facts.md)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fullstep_data.grading.settle import Verdict, key, settle, states_answer

DECISIONS = [
    # (answer, gold, correct, path)
    ("10.", "10", True, "rational"),  # a full stop ends the sentence (math-verify in a box: no)
    ("1e2", "100", True, "rational"),  # nobody means 1·e·2 (math-verify: no)
    ("50%", "50", True, "rational"),  # "What percent?"
    ("50%", "0.5", True, "rational"),  # "What share?": the question knows, the grader cannot
    ("0.5%", "50%", False, "rational"),  # with the sign on both sides there is nothing to choose
    ("50", "0.5", False, "rational"),
    ("2*3 = 6", "6", True, "rational"),  # a calculation stands for its result
    ("1 1/2", "1.5", True, "rational"),  # a mixed number (math-verify: no)
    ("1 000", "1000", True, "rational"),  # thousands parted by a blank (math-verify in a box: no)
    ("1 0", "10", None, None),  # but not any blank
    ("0.333", "1/3", False, "rational"),  # rounding was not asked for
    ("0.333333", "1/3", False, "rational"),  # … however far (math-verify rounds to six places: yes)
    ("18 dollars", "18", True, "rational"),  # a unit on one side is understood (math-verify in a box: no)
    ("5 hours", "5 minutes", False, "rational"),  # two units are two answers (math-verify in \text: yes)
    ("5 million", "5", False, "rational"),  # a number word is no unit (math-verify as text: yes)
    ("$18", "18", True, "rational"),
    ("x = 18", "18", True, "rational"),
    ("118", "18", False, "rational"),  # never a substring
    ("18 or 20", "18", None, None),  # two answers are not one; math-verify then says no
    ("x = 5", "y = 5", None, None),  # two lines, not one number; math-verify then says no
    ("1/0", "5", None, None),
    ("neve", "even", False, "exact"),  # math-verify reads products of letters: yes
    ("Even", r"\text{even}", True, "exact"),
    ("she sells 18 eggs", "18", False, "exact"),  # prose is no answer, even if the number is in it
    ("B", "B", True, "exact"),
    (r"\text{(B)}", "B", True, "exact"),
    ("(b)", "B", True, "exact"),
    ("B) 12 km", "B", True, "exact"),
    ("C) 12 km", "B", False, "exact"),
    ("Option D", "D", True, "exact"),
    ("A and B", "B", False, "exact"),
    ("( 1,2 )", "(1, 2)", True, "exact"),
    (r"\left(1, 2\right)", "(1,2)", True, "exact"),
    (r"\dfrac{x}{2}", r"\frac{x}{2}", True, "exact"),
    ("X", "x", None, None),  # letters keep their case
    (r"2\sqrt{3}", r"\sqrt{12}", None, None),
]


@pytest.mark.parametrize(("answer", "gold", "correct", "path"), DECISIONS)
def test_decision(answer: str, gold: str, correct: bool | None, path: str | None) -> None:
    verdict = settle(answer, gold)
    assert verdict == (None if path is None else Verdict(correct, path))  # pyright: ignore[reportArgumentType]: table of str


@pytest.mark.parametrize(("answer", "gold"), [(a, g) for a, g, _, path in DECISIONS if path == "rational"])
def test_numbers_are_judged_alike_both_ways(answer: str, gold: str) -> None:
    assert settle(answer, gold) == settle(gold, answer)


@pytest.mark.parametrize("gold", ["18", "-1,080", r"\frac{3}{4}", "50%", "A", "(E)", "Monday", r"\text{two lines}", "yes"])
def test_golds_that_are_known_to_state_an_answer(gold: str) -> None:
    assert states_answer(gold) is True


@pytest.mark.parametrize("gold", ["", "?", "---", "n/a", "NaN", "See the solution above", "12 apples and 3 pears"])
def test_golds_that_state_none(gold: str) -> None:
    assert states_answer(gold) is False


@pytest.mark.parametrize("gold", ["x + 1", r"\frac{3\pi}{2}", "(1, 2)", r"\infty", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"])
def test_golds_that_math_verify_is_asked_about(gold: str) -> None:
    assert states_answer(gold) is None


@given(st.text(max_size=40), st.text(max_size=40))
@settings(deadline=None, max_examples=300)
def test_any_text_can_be_compared(answer: str, gold: str) -> None:
    verdict = settle(answer, gold)
    assert settle(gold, gold) == Verdict(correct=True, path="exact")
    assert verdict is None or isinstance(verdict.correct, bool)
    assert key(key(gold)) == key(gold) or "." in gold or "$" in gold
