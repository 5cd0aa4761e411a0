"""The bench `arithmetic`: procedural problems of several steps for which the truth of every step is known.

    item("facts", seed=0, index=7)              ->  Item("8 (1)*5 (2)+7 (3)-9", "8")
    demonstration("facts", seed=0, index=7)     ->  ("8 (1)*5 (2)+7", "(1) 8*5=4\\n(2) 4+7 is 1\\nAnswer: 1")
    verdicts("facts", "8 (1)*5 (2)+7", ["(1) 8*5=4\\n", "(2) 4+7 is 1\\n", "Answer: 1"])  ->  [False, True, True]

Demonstrations teach mistakes on purpose, so that a model that learns them is right half of the time: `facts` carries wrong facts,
`skill` wrong procedures. A family is a module with `question`, `answer`, `demonstrate` and `verdicts`. Items and demonstrations
depend on family, seed and index alone, so a larger size keeps what there was.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from fullstep_data.arithmetic import facts, skill
from schemas.ids import content_id

FamilyName = Literal["facts", "skill"]
FAMILIES = {"facts": facts, "skill": skill}
NAMES: tuple[FamilyName, ...] = get_args(FamilyName)
SOURCE = "arithmetic/"
"""How `problems.source` begins for these problems; the name of the family follows."""


@dataclass(frozen=True)
class Item:
    """A question and its answer."""

    question: str
    answer: str


def item(family: FamilyName, seed: int, index: int) -> Item:
    """Problem number `index`."""
    question = FAMILIES[family].question(_random(family, seed, "problem", index))
    return Item(question, FAMILIES[family].answer(question))


def demonstration(family: FamilyName, seed: int, index: int) -> tuple[str, str]:
    """Question and worked solution number `index`, with the mistakes that this seed teaches."""
    drawn = _random(family, seed, "demonstration", index)
    question = FAMILIES[family].question(drawn)
    return question, FAMILIES[family].demonstrate(question, _random(family, seed, "mistakes", 0), drawn)


def verdicts(family: FamilyName, question: str, steps: Sequence[str]) -> list[bool]:
    """[K] is each step right as the next one after what stands before it, be that right or wrong?"""
    return FAMILIES[family].verdicts(question, steps)


def _random(family: str, seed: int, stream: str, index: int) -> random.Random:
    return random.Random(content_id("arithmetic", family, seed, stream, index))
