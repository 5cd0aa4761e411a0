"""Math-Shepherd (peiyi9979/Math-Shepherd): `input` holds the question and the steps, each ended by the tag `ки`; `label` is the
same text with + or - in place of each tag; `task` names the problem set.

    {"input": "2 + 2? Step 1: 2 + 2 = 4. ки\\nStep 2: The answer is: 4 ки", "label": "2 + 2? Step 1: … 4. +\\nStep 2: … 4 -", …}

Labels are hard Monte-Carlo labels; the paper's label of the last step is whether the final answer is right. A few rows of the
published file have a label inside the question: option `prompt_label` says what becomes of them. Some do not number their steps:
option `unnumbered` says where their question ends.
"""

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from fullstep_data.config import Config
from fullstep_data.formats.group import (
    Format,
    Group,
    Left,
    Question,
    Reader,
    Record,
    Solution,
    Unusable,
    Writer,
    bare,
    hard,
    missing_labels,
    optional_text,
    separated,
    text_of,
)

TAG = "ки"
FIRST_STEP = re.compile(r"step\s*1\s*:", re.IGNORECASE)


class ReadOptions(Config):
    """Options of the import."""

    prompt_label: Literal["drop", "reject"] | None = Field(
        default=None, description="a label that stands inside the question: drop it, or reject the row"
    )
    unnumbered: Literal["question-mark", "reject"] | None = Field(
        default=None, description="no 'Step 1:', but one question mark: the question ends there, or reject the row"
    )


class WriteOptions(Config):
    """Options of the export."""

    tag: str = Field(default=TAG, min_length=1, description="what ends each step in `input`")
    separator: str = Field(default="\n", description="what stands between two steps")


def read(record: Record, options: ReadOptions) -> Iterator[Group]:
    """One record is one solution with a label for each step."""
    pieces, labels = tagged(text_of(record, "input"), text_of(record, "label"))
    notes: tuple[str, ...] = ()
    if not FIRST_STEP.search(pieces[0]) and len(pieces) > 1 and FIRST_STEP.search(pieces[1]):
        if options.prompt_label is None:
            choices = {"drop": "the label is ignored, the row kept", "reject": "the row is dropped, with that reason"}
            raise Question("prompt_label", f"a label stands inside the question: {pieces[0].strip()[-60:]!r}", choices)
        if options.prompt_label == "reject":
            raise Unusable("a label stands inside the question")
        pieces, labels = [f"{pieces[0].rstrip()} {pieces[1].lstrip()}", *pieces[2:]], labels[1:]
        notes = ("a label inside the question was dropped",)
    question, first = _first(pieces[0], options)
    steps = [first, *pieces[1:]]
    solution = Solution(separated([step.strip() for step in steps], "\n"), labels=labels, correct=hard(labels[-1]))
    source = optional_text(record, "task")
    yield Group(question, source=source, solutions=(solution,), notes=notes)


def _first(text: str, options: ReadOptions) -> tuple[str, str]:
    """The question and the first step, out of what stands before the first tag."""
    found = FIRST_STEP.search(text)
    if found:
        question, step = text[: found.start()], text[found.start() :]
    else:
        before, mark, step = text.partition("?")
        question = before + mark
        if mark and step.strip() and "?" not in step:
            if options.unnumbered is None:
                choices = {"question-mark": "after its question mark", "reject": "the row is dropped, with that reason"}
                raise Question("unnumbered", f"no 'Step 1:' in {text.strip()[-60:]!r}: where does the question end?", choices)
            if options.unnumbered == "reject":
                raise Unusable("the steps are not numbered", text[:80])
        else:
            step = ""
    if not question.strip() or not step.strip():
        raise Unusable("no question before 'Step 1:'", text[:80])
    return question.strip(), step


def tagged(text: str, label: str) -> tuple[list[str], tuple[float, ...]]:
    """The pieces of `input` before each tag, and the sign that `label` has in place of each. Unusable: the two do not fit."""
    *pieces, rest = text.split(TAG)
    if not pieces:
        raise Unusable(f"input has no tag {TAG}")
    if rest.strip():
        raise Unusable("text after the last tag", rest.strip()[:80])
    signs: list[float] = []
    place = 0
    for piece in pieces:
        place += len(piece)
        sign = label[place : place + 1]
        if sign not in ("+", "-") or label[place - len(piece) : place] != piece:
            raise Unusable("input and label differ in more than tags and signs", label[max(place - 40, 0) : place + 1])
        signs.append(float(sign == "+"))
        place += 1
    if not all(piece.strip() for piece in pieces):
        raise Unusable("a step is blank")
    return pieces, tuple(signs)


def write(group: Group, options: WriteOptions) -> Iterator[Record | Left]:
    """One record per solution whose steps are all labelled."""
    for solution in group.solutions:
        steps, whole = bare(solution.steps, options.separator)
        if missing_labels(solution):
            yield Left("not every step is labelled")
        elif options.tag in group.question + solution.text:
            yield Left(f"the text holds the tag {options.tag}")
        elif not FIRST_STEP.match(steps[0]) or FIRST_STEP.search(group.question):
            yield Left("the first step does not begin with 'Step 1:', by which readers find the end of the question")
        else:
            steps = [step.strip() for step in steps]
            if not whole or separated(steps, options.separator) != solution.steps:
                yield Left("blanks around steps were not kept", kept=True)
            yield {
                "input": f"{group.question} " + options.separator.join(f"{step} {options.tag}" for step in steps),
                "label": f"{group.question} "
                + options.separator.join(
                    f"{step} {'+' if hard(value) else '-'}" for step, value in zip(steps, solution.labels, strict=True)
                ),
                "task": group.source or "",
            }
            if any(value not in (0, 1) for value in solution.labels):
                yield Left("soft labels were made hard (value > 0)", kept=True)


MATH_SHEPHERD = Format(
    name="math-shepherd",
    about="Math-Shepherd: input with ки after each step, label with + and -",
    looks_like=lambda record: isinstance(record.get("label"), str) and TAG in str(record.get("input", "")),
    reader=Reader(
        read,
        ReadOptions,
        labels="monte-carlo",
        lost=(
            "correct: the label of the last step",
            "no gold answers: the format has none",
            "n_rollouts 0: the format does not say how many there were",
            "blanks around steps are not kept; steps are joined by a line end",
        ),
    ),
    writer=Writer(
        write,
        WriteOptions,
        needs=("step_labels",),
        lost=("gold answers, prompts, scores and pairs: the format has no place for them",),
    ),
)
