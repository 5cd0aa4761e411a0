r"""Where a solution states its final answer.

    extract(r"So 3 + 4 = 7. The answer is \boxed{7}.")   ->  ("7", "boxed")
    extract("Nothing here")                              ->  (None, "none")

Order of trust: the last closed \boxed{…} or \fbox{…}, else the last line `#### x`, else the last "answer is x" / "answer: x". One
place, one answer: unlike math-verify, which reads two boxes as a set, an earlier box is a draft that the last one replaces.
"""

import re
from collections.abc import Callable, Iterator
from typing import Literal

AnswerSource = Literal["boxed", "hashes", "phrase", "none"]

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_BARE_TOKEN = re.compile(r"[^\s{}$]+")  # LaTeX lets a single token stand without braces: \boxed 5
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # an escaped brace, as in \{1,2\}, opens and closes nothing
_HASHES = re.compile(r"^[ \t]*####[ \t]*(?!#)(\S.*)$", re.MULTILINE)
_HEADING = re.compile(r"[*_]*[A-Za-z]{2,}")
_PHRASE = re.compile(r"\banswer(?:\s+is\b\s*:?|[ \t]*[*_]*:)[*_]*\s*", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.?](?=[\s*_]|$)|\n")  # not at "!": 5! is a factorial
_ANSWER_IS = re.compile(r"(?:the\s+)?(?:final\s+)?answer(?:\s+is)?\s*:\s*", re.IGNORECASE)
_WRAPPERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("__", "__"), ("`", "`"), ("*", "*"))
_PUNCTUATION = ".,;:"


def extract(text: str) -> tuple[str | None, AnswerSource]:
    """The final answer, unwrapped ($…$, **…**, trailing full stop) but else as written, and where it stood."""
    places: tuple[tuple[AnswerSource, Callable[[str], Iterator[str]]], ...] = (
        ("boxed", boxed),
        ("hashes", _after_hashes),
        ("phrase", _after_phrase),
    )
    for source, candidates in places:
        for candidate in candidates(text):
            answer = unwrap(candidate)
            if answer:
                return answer, source
    return None, "none"


def boxed(text: str) -> Iterator[str]:
    r"""Contents of the closed boxes of `text`, the last first. A box that was cut off (`\boxed{12`) counts as none."""
    for match in reversed(list(_BOX.finditer(text))):
        start = match.end()
        if text[start : start + 1] == "{":
            content = _balanced(text, start)
        else:
            token = _BARE_TOKEN.match(text, start)
            content = token.group() if token else None
        if content is not None:
            yield content


def unwrap(answer: str) -> str:
    """`answer` without the marks around it: math and Markdown delimiters, sentence punctuation, blanks."""
    while True:
        before = answer
        answer = answer.strip().rstrip(_PUNCTUATION).rstrip()
        for left, right in _WRAPPERS:
            if len(answer) > len(left) + len(right) and answer.startswith(left) and answer.endswith(right):
                answer = answer[len(left) : -len(right)]
                break
        answer = answer.removesuffix("**").removeprefix("**")
        if answer == before:
            return answer


def _balanced(text: str, start: int) -> str | None:
    """What stands between the brace at `start` and its partner; None where it is never closed."""
    depth = 0
    for match in _BRACE.finditer(text, start):
        brace = match.group()
        depth += {"{": 1, "}": -1}.get(brace, 0)
        if depth == 0 and brace == "}":
            return text[start + 1 : match.start()]
    return None


def _after_hashes(text: str) -> Iterator[str]:
    """`#### x` lines, the last first. "#### Step 2" is a Markdown heading: words count only on the text's last line."""
    end = len(text.rstrip())
    for match in reversed(list(_HASHES.finditer(text))):
        if match.end() >= end or not _HEADING.match(match.group(1)):
            yield _ANSWER_IS.sub("", match.group(1))


def _after_phrase(text: str) -> Iterator[str]:
    """What follows "answer is" or "answer:", up to the end of the sentence, the last first. 3.5 is not cut at its point."""
    for match in reversed(list(_PHRASE.finditer(text))):
        rest = text[match.end() :]
        closing = next((right for left, right in (("$$", "$$"), ("\\[", "\\]")) if rest.startswith(left)), None)
        if closing and (stop := rest.find(closing, 2)) > 0:
            yield rest[: stop + 2]  # display mathematics may run over several lines
            continue
        stop = _SENTENCE_END.search(rest)
        yield rest[: stop.start()] if stop else rest
