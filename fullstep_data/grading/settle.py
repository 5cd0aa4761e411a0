r"""Verdicts that need no algebra: equal texts, equal or different numbers, choice letters, words. The rest is math-verify's.

    settle("18 dollars", "18")    ->  Verdict(True, "rational")
    settle(r"\text{(B)}", "B")    ->  Verdict(True, "exact")
    settle(r"2\sqrt{3}", r"\sqrt{12}")  ->  None: ask math-verify

Words never go to math-verify: it reads them as products of letters, so that "neve" equals "even" and most prose costs 0.1 s.
"""

import re
from dataclasses import dataclass
from typing import Literal

from fullstep_data.grading.rational import number, plain, same

GradePath = Literal["exact", "rational", "math-verify", "no-answer", "timeout", "error"]


@dataclass(frozen=True)
class Verdict:
    """correct: None where it could not be decided. path: what decided (see `schemas.solutions.GRADE_PATHS`)."""

    correct: bool | None
    path: GradePath


_LOOSE_BLANK = re.compile(r"(?<![A-Za-z0-9])\s+|\s+(?![A-Za-z0-9])")
_CHOICE = re.compile(r"\(?([A-J])\)?")
_CHOSEN = re.compile(r"(?:(?:option|choice) )?\(?([A-J])(?:\)?|\)?[.:] ?.*|\) ?.*)", re.IGNORECASE)
_WORDS = re.compile(r"[A-Za-z][A-Za-z' -]*[A-Za-z]")
_PLACEHOLDERS = frozenset(("n/a", "nan", "null"))
_TEXT_GROUP = re.compile(
    r"\\(?:text|textbf|mathrm|mbox|mathbf|operatorname)\*?\s*\{[^{}]*\}|\\(?:begin|end)\s*\{[^{}]*\}|\\[A-Za-z]+"
)
_LONG_WORD = re.compile(r"(?<![A-Za-z])(?!(?:a?rc)?(?:sin|cos|tan)h?(?![a-z])|sqrt|inf(?:ini)?ty)[A-Za-z]{4,}")


def settle(answer: str, gold: str) -> Verdict | None:
    """The verdict where text or numbers decide, else None. Symmetric, but for choices: a gold `B` accepts `B) 12 km`."""
    if answer == gold:
        return Verdict(correct=True, path="exact")
    left, right = number(answer), number(gold)
    if left is not None and right is not None:
        equal = same(left, right)
        return None if equal is None else Verdict(equal, "rational")
    answer_key, gold_key = key(answer), key(gold)
    if answer_key == gold_key or _same_words(answer_key, gold_key):
        return Verdict(correct=True, path="exact")
    choice = _CHOICE.fullmatch(gold_key)
    if choice:
        chosen = _CHOSEN.fullmatch(answer_key)
        return Verdict(chosen is not None and chosen.group(1).upper() == choice.group(1), "exact")
    if is_prose(answer) or is_prose(gold):
        return Verdict(correct=False, path="exact")
    return None


def states_answer(gold: str) -> bool | None:
    r"""Can `gold` be graded against? None: ask math-verify.

    True: a number, a choice A-J, one word, words in \text{…}. False: no letter or digit, a placeholder (n/a), prose.
    """
    if number(gold) is not None:
        return True
    text = key(gold)
    if _CHOICE.fullmatch(text):
        return True
    if text.casefold() in _PLACEHOLDERS:
        return False
    if _WORDS.fullmatch(text) and (" " not in text or gold.lstrip().startswith("\\")):
        return True
    return False if is_prose(gold) or not re.search(r"\w", text) else None


def key(text: str) -> str:
    """`text` in one spelling: equal keys are equal answers."""
    return _LOOSE_BLANK.sub("", plain(text)).rstrip(".")


def is_prose(text: str) -> bool:
    r"""Does it hold a word of four letters or more, outside \text{…} and LaTeX commands?"""
    return bool(_LONG_WORD.search(_TEXT_GROUP.sub(" ", text)))


def _same_words(left: str, right: str) -> bool:
    return len(left) > 2 and left.casefold() == right.casefold() and bool(_WORDS.fullmatch(left))
