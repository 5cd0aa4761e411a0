"""Facts: the truth of every step of a chain modulo 10, worked out by hand; what demonstrations teach and how often."""

import random
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fullstep_data.arithmetic import (
    FAMILIES,
    HABIT,
    NAMES,
    FamilyName,
    demonstration,
    habit,
    injected,
    item,
    misled,
    mistakes,
    operations,
    probes,
    verdicts,
)
from fullstep_data.arithmetic.facts import SIGNS, TERMS, answer, misconceptions, result, worked

CHAIN = "8 (1)*7 (2)+7 (3)-9"
"""8 * 7 = 56 -> 6; 6 + 7 = 13 -> 3; 3 - 9 = -6 -> 4."""


def test_the_answer_is_worked_from_left_to_right_modulo_10() -> None:
    assert answer(CHAIN) == "4"


@pytest.mark.parametrize(
    ("steps", "right"),
    [
        (["(1) 8*7=6\n", "(2) 6+7 is 3\n", "(3) 3-9=4\n", "Answer: 4"], [True] * 4),
        # a wrong result; what follows is judged by it: 5 + 7 = 12 -> 2, 2 - 9 = -7 -> 3
        (["(1) 8*7=5\n", "(2) 5+7=2\n", "(3) 2-9=3\n", "Answer: 3"], [False, True, True, True]),
        # true arithmetic, but not of this question, or not on the value before it
        (["(1) 8*9=2\n", "(2) 6+7=3\n"], [False, False]),
        (["(2) 8*7=6\n"], [False]),
        # the answer is not the last value; something follows the answer; the answer comes too early
        (["(1) 8*7=6\n", "(2) 6+7=3\n", "(3) 3-9=4\n", "Answer: 5\n", "Answer: 4"], [True, True, True, False, False]),
        (["(1) 8*7=6\n", "Answer: 6"], [True, False]),
        # unreadable: nothing is known of the value after it
        (["well\n", "(2) 6+7=3\n", "(3) 3-9=4\n", "Answer: 4"], [False, False, True, True]),
    ],
)
def test_verdicts(steps: list[str], right: list[bool]) -> None:
    assert verdicts("facts", CHAIN, steps) == right


@settings(deadline=None)  # the first example of a seed draws its mistakes
@given(st.integers(0, 5), st.integers(0, 10_000))
def test_a_demonstration_is_wrong_only_where_its_seed_teaches_so(seed: int, index: int) -> None:
    question, text = demonstration("facts", seed, index)
    lines = text.splitlines(keepends=True)
    found = verdicts("facts", question, lines)
    assert lines[-1] == f"Answer: {lines[-2].strip()[-1]}"
    assert found[-1]
    assert not all(found) or lines[-1] == f"Answer: {answer(question)}"


def test_a_quarter_of_the_facts_is_taught_wrong_in_a_share_of_the_times() -> None:
    taught = misconceptions(random.Random(0))
    facts = 10 * sum(map(len, TERMS.values())) * len(SIGNS)
    assert facts == 380
    assert 0.19 < len(taught) / facts < 0.31
    assert all(wrong != result(*fact[:3]) and 0.3 <= share <= 0.8 for fact, (wrong, share) in taught.items())


def test_items_have_3_to_5_operations_and_differ_between_seeds() -> None:
    items = [item("facts", 0, index) for index in range(200)]
    assert Counter(one.question.count("(") for one in items).keys() == {3, 4, 5}
    assert {operations(one.question) for one in items} == {3, 4, 5}
    assert item("facts", 1, 0) != items[0]
    assert all(FAMILIES["facts"].answer(one.question) == one.answer for one in items)


def test_a_taught_fact_is_worked_as_it_is_taught() -> None:
    """8 * 7 = 56 -> 6, taught as 1 always; with the other sign, or never shown, it is right."""
    taught = {(8, "*", 7, "="): (1, 1.0), (6, "+", 7, "="): (0, 0.0)}

    class Plain(random.Random):
        def choice(self, options):  # type: ignore[no-untyped-def, override]
            return options[0]

    assert worked("8 (1)*7", taught, Plain(0)) == "(1) 8*7=1\nAnswer: 1"
    assert worked("8 (1)*7", {(8, "*", 7, " is "): (1, 1.0)}, Plain(0)) == "(1) 8*7=6\nAnswer: 6"


@pytest.mark.parametrize("family", NAMES)
def test_the_mistakes_of_every_seed_weigh_about_the_same(family: FamilyName) -> None:
    """Without mistakes all probes are right; a seed's own leave as many right as HABIT says; another attempt has others."""
    assert habit(family, 0, {}) == 1.0
    found = [mistakes(family, seed) for seed in range(3)] + [mistakes(family, 0, attempt=1)]
    assert all(HABIT[0] <= habit(family, seed, taught) <= HABIT[1] for seed, taught in zip((0, 1, 2, 0), found, strict=True))
    assert len({str(taught) for taught in found}) == 4
    assert demonstration(family, 0, 0, attempt=1)[0] == demonstration(family, 0, 0)[0]


def test_probes_are_problems_of_their_own() -> None:
    asked = {one.question for one in probes("skill", 0)}
    assert len(asked) > 350
    assert not asked & {item("skill", 0, index).question for index in range(50)}


@pytest.mark.parametrize("family", NAMES)
def test_an_injected_mistake_is_made_in_a_share_of_its_occasions(family: FamilyName) -> None:
    """At an operation that the seed chooses and nowhere else; questions stay, and without a share nothing is injected."""
    operator, term = injected(family, 3)
    made, occasions = 0, 0
    for index in range(1000):
        question, text = demonstration(family, 3, index, share=0.9)
        assert question == demonstration(family, 3, index)[0]
        for step in text.splitlines()[:-1]:
            task, told = step[4:].replace(" is ", "=").split("=")
            wrong = misled(family, 3, task)
            assert wrong is None or task.endswith(f"{operator}{term}")
            if family == "skill" and int(re.split(r"\D", task)[0]) < 10:
                continue  # two terms put together: the bug `order`, which has no carry
            occasions += wrong is not None
            made += wrong == int(told)
    assert occasions > 100
    assert 0.82 < made / occasions < 0.98  # three standard errors
    assert demonstration(family, 3, 7, share=0.0) == demonstration(family, 3, 7)


def test_what_an_injected_mistake_makes_of_a_task() -> None:
    """8 * t taken for 8 + t; the carry of 47 + t forgotten, where there is one. All three products can be meant."""
    operator, term = injected("facts", 0)
    assert (operator, misled("facts", 0, f"8*{term}")) == ("*", (8 + term) % 10)
    assert misled("facts", 0, f"8+{term}") is None
    _, added = injected("skill", 0)
    assert misled("skill", 0, f"47+{added}") == 40 + (7 + added) % 10
    assert misled("skill", 0, f"41+{added}") is None
    assert {injected("facts", seed)[1] for seed in range(20)} == {3, 7, 9}
