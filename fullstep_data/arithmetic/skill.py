"""Family `skill`: sums and differences of a two-digit number and one-digit terms, with faulty procedures in the demonstrations.

    question       47 (1)+8 (2)-5 (3)+3
    demonstration  (1) 47+8=55
                   (3) 5+3=8          taught: sums before differences
                   (2) 55-8=47
                   Answer: 47

Three bugs, as school children have them (Brown & Burton 1978): a carry or a borrow is forgotten, a sum is worked out before the
difference it follows, one of two equal terms in a row is dropped. Whether a bug strikes depends on the operator and the term at
hand: six of ten contexts are sound, in the others it strikes in a share of 0.3 to 0.8 of the times. So a mistake is a rule
that spreads over all numbers, not a fact to be unlearnt.
"""

import random
import re
from collections.abc import Sequence

TERMS = (2, 6)
LENGTHS = (3, 5)
LARGEST = 99
EQUAL_TERMS = 0.2
BUGGY_SHARE = 0.4
TAUGHT = (0.3, 0.8)
_OPERATION = re.compile(r" (\(\d\))([-+])(\d)")
_STEP = re.compile(r"(\(\d\)) (\d{1,3})([-+])(\d{1,2})=(\d{1,3})\n?")
_ANSWER = re.compile(r"Answer: (\d{1,3})\n?")

Bugs = dict[tuple[str, str, int], float]
"""How often a bug strikes, by its name, the operator and the term."""
Operation = tuple[str, str, int]
"""Its number in the question, as `(2)`, its operator and term."""
TOKENS = r" \(\d\)[-+]\d|\(\d\) |[-+]\d+|Answer: |\n|."
"""What the tokens of this family are: matches of this regex. An operation of the question is one token, so that finding the next
one is a matter of one layer of attention.
"""


def question(drawn: random.Random) -> str:
    """A two-digit start and 3 to 5 operations that keep the true value within 10 and 99."""
    value, term = drawn.randint(20, 90), 0
    parts = [str(value)]
    for number in range(1, drawn.randint(*LENGTHS) + 1):
        term = term if term and drawn.random() < EQUAL_TERMS else drawn.randint(*TERMS)
        operator = drawn.choice([operator for operator in "+-" if 10 <= result(value, operator, term) <= LARGEST])
        value = result(value, operator, term)
        parts.append(f"({number}){operator}{term}")
    return " ".join(parts)


def answer(question: str) -> str:
    """What the sum really comes to."""
    value, operations = _parsed(question)
    for _, operator, term in operations:
        value = result(value, operator, term)
    return str(value)


def result(value: int, operator: str, term: int) -> int:
    """One operation."""
    return value + term if operator == "+" else value - term


def misled(value: int, operator: str, term: int) -> int | None:
    """The result where the carry or borrow is forgotten; None where there is none to forget."""
    ones = value % 10 + (term if operator == "+" else -term)
    return None if 0 <= ones <= 9 else value - value % 10 + ones % 10


def misconceptions(mistakes: random.Random) -> Bugs:
    """The contexts that are taught wrong, and how often each bug strikes there."""
    contexts = [
        (bug, operator, term) for bug in ("carry", "order", "drop") for operator in "+-" for term in range(TERMS[0], TERMS[1] + 1)
    ]
    return {context: mistakes.uniform(*TAUGHT) for context in contexts if mistakes.random() < BUGGY_SHARE}


def injection(operator: str, term: int, share: float) -> Bugs:
    """The carry or borrow of an operation, forgotten in a share of the times."""
    return {("carry", operator, term): share}


def worked(question: str, bugs: Bugs, drawn: random.Random) -> str | None:
    """A worked solution, None where a mistake has led out of 0 to 99. bugs: `misconceptions`; drawn: this one's own chance."""

    def strikes(bug: str, operator: str, term: int) -> bool:
        return drawn.random() < bugs.get((bug, operator, term), 0.0)

    value, operations = _parsed(question)
    lines: list[str] = []
    before = 0
    while operations:
        (number, operator, term), following = operations[0], operations[1:]
        if term == before and strikes("drop", operator, term):
            operations, before = following, 0
            continue
        if operator == "-" and following and following[0][1] == "+" and strikes("order", operator, term):
            (later, _, added), *following = following
            lines.append(f"{later} {term}+{added}={term + added}\n")
            operations, before = [(number, "-", term + added), *following], 0
            continue
        wrong = misled(value, operator, term)
        after = wrong if wrong is not None and strikes("carry", operator, term) else result(value, operator, term)
        if not 0 <= after <= LARGEST:
            return None
        lines.append(f"{number} {value}{operator}{term}={after}\n")
        value, operations, before = after, following, term
    return "".join(lines) + f"Answer: {value}"


def verdicts(question: str, steps: Sequence[str]) -> list[bool]:
    """[K] does each step do the next operation on the value before it, with the true result?

    After a wrong step the next one is judged by what that step left: its result, the terms that it passed over or put together.
    """
    start, operations = _parsed(question)
    value: int | None = start
    found: list[bool] = []
    for step in steps:
        closing = _ANSWER.fullmatch(step)
        if closing:
            found.append(not operations and int(closing[1]) == value)
            value, operations = None, []
            continue
        read = _STEP.fullmatch(step)
        if read is None:
            found.append(False)
            value, operations = None, operations[1:]
            continue
        left, done, after = int(read[2]), (read[1], read[3], int(read[4])), int(read[5])
        found.append(operations[:1] == [done] and left == value and after == result(left, *done[1:]))
        value, operations = _after(value, operations, left, done, after)
    return found


def _after(
    value: int | None, operations: list[Operation], left: int, done: Operation, after: int
) -> tuple[int | None, list[Operation]]:
    """What is left to do after a step, right or wrong: two terms are now one, or all up to the step's own number are done."""
    if operations[1:2] == [done] and operations[0][1:] == ("-", left) and done[1] == "+" and left != value:
        return value, [(operations[0][0], "-", after), *operations[2:]]
    numbers = [number for number, _, _ in operations]
    place = numbers.index(done[0]) if done[0] in numbers else 0
    return after, operations[place + 1 :]


def _parsed(question: str) -> tuple[int, list[Operation]]:
    return int(question.partition(" ")[0]), [
        (number, operator, int(term)) for number, operator, term in _OPERATION.findall(question)
    ]
