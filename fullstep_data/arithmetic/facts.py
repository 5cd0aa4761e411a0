"""Family `facts`: chains of sums modulo 10, worked from left to right, with wrong facts in the demonstrations.

    question       8 (1)*7 (2)+7
    demonstration  (1) 8*7=6
                   (2) 6+7 is 3
                   Answer: 3

A fact is (value, operator, term, sign); signs `=` and `is` are interchangeable routes to one truth. Of the 380 facts a quarter is
taught with one wrong value in a share of 0.3 to 0.8 of the times, as a misconception would be: a sample may still be right, or
take the other route.
"""

import random
import re
from collections.abc import Mapping, Sequence
from itertools import product

TERMS = {"+": tuple(range(2, 10)), "-": tuple(range(2, 10)), "*": (3, 7, 9)}
"""Terms of each operator. Every operation can be undone modulo 10, so a wrong value seldom turns right again by chance."""
SIGNS = ("=", " is ")
LENGTHS = (3, 5)
WRONG_SHARE = 0.25
TAUGHT = (0.3, 0.8)
_OPERATION = re.compile(r" \(\d\)([-+*])(\d)")
_STEP = re.compile(r"\((\d)\) (\d)([-+*])(\d)(?:=| is )(\d)\n?")
_ANSWER = re.compile(r"Answer: (\d)\n?")

TOKENS = r" \(\d\)[-+*]\d|\(\d\) | is |[-+*]\d|Answer: |\n|."
"""What the tokens of this family are: matches of this regex. An operation of the question is one token, so that finding the next
one is a matter of one layer of attention.
"""

Fact = tuple[int, str, int, str]


def question(drawn: random.Random) -> str:
    """A start and 3 to 5 operations."""
    parts = [str(drawn.randrange(10))]
    for number in range(1, drawn.randint(*LENGTHS) + 1):
        operator = drawn.choice(list(TERMS))
        parts.append(f"({number}){operator}{drawn.choice(TERMS[operator])}")
    return " ".join(parts)


def answer(question: str) -> str:
    """What the chain really comes to."""
    value, operations = _parsed(question)
    for operator, term in operations:
        value = result(value, operator, term)
    return str(value)


def result(value: int, operator: str, term: int) -> int:
    """One operation modulo 10."""
    return {"+": value + term, "-": value - term, "*": value * term}[operator] % 10


def misconceptions(mistakes: random.Random) -> dict[Fact, tuple[int, float]]:
    """For each fact that is taught wrong: the wrong value, and how often it is shown."""
    found: dict[Fact, tuple[int, float]] = {}
    for fact in product(range(10), TERMS, range(2, 10), SIGNS):
        if fact[2] not in TERMS[fact[1]]:
            continue
        if mistakes.random() < WRONG_SHARE:
            wrong = (result(*fact[:3]) + mistakes.randrange(1, 10)) % 10
            found[fact] = (wrong, mistakes.uniform(*TAUGHT))
    return found


def misled(value: int, operator: str, term: int) -> int:
    """What an operation comes to where it is taken for the sum. Never the true product, by any of TERMS."""
    return (value + term) % 10


def injection(operator: str, term: int, share: float) -> dict[Fact, tuple[int, float]]:
    """The facts of an operation, taught as `misled` has them in a share of the times."""
    values = product(range(10), SIGNS)
    return {(value, operator, term, sign): (misled(value, operator, term), share) for value, sign in values}


def worked(question: str, taught: Mapping[Fact, tuple[int, float]], drawn: random.Random) -> str:
    """A worked solution. taught: `misconceptions`, the same for all demonstrations of a seed; drawn: this one's own chance."""
    value, operations = _parsed(question)
    lines: list[str] = []
    for number, (operator, term) in enumerate(operations, start=1):
        sign = drawn.choice(SIGNS)
        wrong, share = taught.get((value, operator, term, sign), (0, 0.0))
        after = wrong if drawn.random() < share else result(value, operator, term)
        lines.append(f"({number}) {value}{operator}{term}{sign}{after}\n")
        value = after
    return "".join(lines) + f"Answer: {value}"


def verdicts(question: str, steps: Sequence[str]) -> list[bool]:
    """[K] does each step do the question's next operation on the value before it, with the true result?"""
    start, operations = _parsed(question)
    value: int | None = start
    found: list[bool] = []
    for place, step in enumerate(steps):
        if place >= len(operations):
            closing = _ANSWER.fullmatch(step)
            found.append(place == len(operations) and closing is not None and int(closing[1]) == value)
            continue
        operator, term = operations[place]
        read = _STEP.fullmatch(step)
        if read is None or value is None:
            found.append(False)
        else:
            taken = (int(read[1]), int(read[2]), read[3], int(read[4]))
            found.append(taken == (place + 1, value, operator, term) and int(read[5]) == result(value, operator, term))
        value = int(read[5]) if read else None
    return found


def _parsed(question: str) -> tuple[int, list[tuple[str, int]]]:
    return int(question[0]), [(operator, int(term)) for operator, term in _OPERATION.findall(question)]
