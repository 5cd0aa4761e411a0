"""The bench `arithmetic`: procedural problems of several steps for which the truth of every step is known.

    item("facts", seed=0, index=7)              ->  Item("8 (1)*5 (2)+7 (3)-9", "8")
    demonstration("facts", seed=0, index=7)     ->  ("8 (1)*5 (2)+7", "(1) 8*5=4\\n(2) 4+7 is 1\\nAnswer: 1")
    verdicts("facts", "8 (1)*5 (2)+7", ["(1) 8*5=4\\n", "(2) 4+7 is 1\\n", "Answer: 1"])  ->  [False, True, True]

Demonstrations teach mistakes on purpose, so that a model that learns them is right half of the time: `facts` carries wrong facts,
`skill` wrong procedures. A family is a module with `question`, `answer`, `misconceptions`, `worked` and `verdicts`. Items and
demonstrations depend on family, seed and index alone, so a larger size keeps what there was.

One more mistake may be injected, a systematic one: `injected` says at which operation, `misled` what it makes of a task.

Seeds teach different mistakes of about equal weight: of the mistakes that chance draws, a seed takes the first with which a
solver that errs wherever it was mostly shown to err is right on a share of problems within HABIT.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count, islice
from statistics import mean
from typing import Any, Literal, get_args

from fullstep_data.arithmetic import facts, skill
from schemas.ids import content_id

FamilyName = Literal["facts", "skill"]
FAMILIES = {"facts": facts, "skill": skill}
NAMES: tuple[FamilyName, ...] = get_args(FamilyName)
SOURCE = "arithmetic/"
"""How `problems.source` begins for these problems; the name of the family follows."""
HABIT = (0.56, 0.64)
_TASK = re.compile(r"(\d+[-+*]\d+)(?:=| is )")
_PARTS = re.compile(r"(\d+)([-+*])(\d+)")
PROBES = 400
OCCASIONS: dict[FamilyName, tuple[tuple[str, int], ...]] = {
    "facts": (("*", 3), ("*", 7), ("*", 9)),
    "skill": (("+", 5), ("+", 6)),
}
"""Operator and term of the operations at which a systematic mistake can be injected: a seed injects it at one of them."""


@dataclass(frozen=True)
class Item:
    """A question and its answer."""

    question: str
    answer: str


def item(family: FamilyName, seed: int, index: int) -> Item:
    """Problem number `index`."""
    question = FAMILIES[family].question(_random(family, seed, "problem", index))
    return Item(question, FAMILIES[family].answer(question))


def operations(question: str) -> int:
    """How many operations a question asks for, which is how many steps a right solution has before its answer."""
    return question.count("(")


def tasks(family: FamilyName, question: str) -> list[str]:
    """The operations of the right solution with the values that they meet, as 8*5."""
    return tasks_in(FAMILIES[family].worked(question, {}, random.Random(0)) or "")


def tasks_in(solution: str) -> list[str]:
    """What stands before the results of a solution's steps."""
    return _TASK.findall(solution)


def demonstration(family: FamilyName, seed: int, index: int, attempt: int = 0, share: float = 0.0) -> tuple[str, str]:
    """Question and worked solution number `index`, with the mistakes that this seed teaches; another attempt teaches others.

    share: of its occasions, in which the injected mistake is made; 0: none is injected.
    """
    drawn = _random(family, seed, "demonstration", index)
    question = FAMILIES[family].question(drawn)
    taught = mistakes(family, seed, attempt)
    if share:
        taught = taught | FAMILIES[family].injection(*injected(family, seed), share)
    while (text := FAMILIES[family].worked(question, taught, drawn)) is None:
        continue
    return question, text


@cache
def mistakes(family: FamilyName, seed: int, attempt: int = 0) -> dict[Any, Any]:
    """What this seed teaches wrong, as `misconceptions` of the family says it: of what chance draws the attempt-th in HABIT."""
    drawn = (FAMILIES[family].misconceptions(_random(family, seed, "mistakes", number)) for number in count())
    fit = (taught for taught in drawn if HABIT[0] <= habit(family, seed, taught) <= HABIT[1])
    return next(islice(fit, attempt, None))


def injected(family: FamilyName, seed: int) -> tuple[str, int]:
    """Operator and term at which this seed injects its systematic mistake: in `facts` the term is added in place of multiplied,
    in `skill` the carry is forgotten.
    """
    return _random(family, seed, "injected", 0).choice(OCCASIONS[family])


def misled(family: FamilyName, seed: int, task: str) -> int | None:
    """What the injected mistake makes of a task, as 8*7; None where the task is no occasion for it."""
    value, operator, term = _PARTS.fullmatch(task).groups()  # type: ignore[union-attr]  # a task of `tasks_in`
    at_hand = (operator, int(term))
    return FAMILIES[family].misled(int(value), *at_hand) if at_hand == injected(family, seed) else None


def probes(family: FamilyName, seed: int) -> list[Item]:
    """Problems for measuring what a seed is like before a study begins: neither for training nor for tests."""
    return [item(family, seed, -number) for number in range(1, PROBES + 1)]


def habit(family: FamilyName, seed: int, taught: dict[Any, Any]) -> float:
    """The share of probes that is right if a mistake is made wherever it is taught more often than not."""
    texts = [FAMILIES[family].worked(one.question, taught, _Mostly(number)) for number, one in enumerate(probes(family, seed))]
    return mean(
        bool(text) and text.rpartition(" ")[2] == one.answer for text, one in zip(texts, probes(family, seed), strict=True)
    )


class _Mostly(random.Random):
    """Chance that comes out as it mostly does; a choice between equals stays open."""

    getrandbits = random.Random.getrandbits  # which `choice` goes by then, and not by `random`

    def random(self) -> float:
        return 0.5


def verdicts(family: FamilyName, question: str, steps: Sequence[str]) -> list[bool]:
    """[K] is each step right as the next one after what stands before it, be that right or wrong?"""
    return FAMILIES[family].verdicts(question, steps)


def _random(family: str, seed: int, stream: str, index: int) -> random.Random:
    return random.Random(content_id("arithmetic", family, seed, stream, index))
