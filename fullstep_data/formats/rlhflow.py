"""RLHFlow process-reward data (RLHFlow/Mistral-PRM-Data, Deepseek-PRM-Data): a conversation in which the user shows one step
after the other and the assistant answers + or -. The first message holds the question and the first step.

    {"conversations": [{"role": "user", "content": "2 + 2? Step 1: 2 + 2 = 4."}, {"role": "assistant", "content": "+"}, …]}

Where the question ends is asked: `first_step`, the text that the first step begins with (in the Mistral data "Step 1:"), or the
last line break or blank line. Test sets hold `prompt`, `answers` and `label` (1: the answer is right) in place of a conversation.
"""

import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from fullstep_data.config import Config
from fullstep_data.formats.group import (
    Format,
    Group,
    LabelSource,
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
    separated,
    text_of,
    texts_of,
)

TAG = re.compile(r"[ \t]*ки[ \t]*(?:\n|\Z)")
STEP_1 = re.compile(r"step\s*1\s*:", re.IGNORECASE)


class ReadOptions(Config):
    """Options of the import."""

    first_step: Literal["step-1", "line", "blank-line"] | None = Field(
        default=None,
        description="where the question ends: before 'Step 1:', or at the last line break or blank line of the first message",
    )
    labels_by: LabelSource = Field(default="monte-carlo", description="who made the step labels")
    separator: str = Field(default="\n", description="what stands between two steps")


class WriteOptions(Config):
    """Options of the export."""

    separator: str = Field(default="\n", description="what stands between two steps")


def read(record: Record, options: ReadOptions) -> Iterator[Group]:
    """One record is one solution, or all solutions of a problem of a test set."""
    if "answers" in record:
        yield _tested(record, options)
        return
    messages = record.get("conversations", record.get("messages"))
    if not isinstance(messages, list) or len(messages) < 2 or len(messages) % 2:
        raise Unusable("conversations is not a list of pairs of messages")
    shown, signs = messages[0::2], messages[1::2]
    labels = tuple(float(_content(sign, "assistant", ("+", "-")) == "+") for sign in signs)
    texts = [_content(message, "user") for message in shown]
    question, texts[0] = _first(texts[0], options)
    solution = Solution(separated(texts, options.separator), labels=labels)
    yield Group(question, solutions=(solution,))


def _first(text: str, options: ReadOptions) -> tuple[str, str]:
    """The question and the first step out of the first message."""
    if options.first_step is None:
        choices = {
            "step-1": "before 'Step 1:'",
            "line": "at the last line break of the first message",
            "blank-line": "at its last blank line",
        }
        raise Question("first_step", f"question and first step are one text: {text[-60:]!r}", choices)
    if options.first_step == "step-1":
        found = STEP_1.search(text)
        place = found.start() if found else -1
    else:
        place = text.rfind("\n" if options.first_step == "line" else "\n\n")
    if place <= 0 or not text[:place].strip() or not text[place:].strip():
        raise Unusable("question and first step cannot be told apart", text[-80:])
    return text[:place].strip(), text[place:].strip()


def _tested(record: Record, options: ReadOptions) -> Group:
    """A problem of a test set: its answers, cut at their tags or blank lines, with a verdict on each and no labels."""
    answers, verdicts = texts_of(record, "answers"), record.get("label", record.get("labels"))
    if not isinstance(verdicts, list) or len(verdicts) != len(answers) or not all(one in (0, 1) for one in verdicts):
        raise Unusable("label is not a list of 0 and 1, one per answer")
    solutions: list[Solution] = []
    for answer, verdict in zip(answers, verdicts, strict=True):
        pieces = TAG.split(answer) if "ки" in answer else answer.split("\n\n")
        texts = [piece.strip() for piece in pieces if piece.strip()]
        solutions.append(Solution(separated(texts, options.separator), correct=bool(verdict)))
    return Group(text_of(record, "prompt"), solutions=tuple(solutions))


def _content(message: Any, role: str, values: tuple[str, ...] = ()) -> str:
    content = message.get("content") if isinstance(message, dict) and message.get("role") == role else None
    if not isinstance(content, str) or not content.strip():
        raise Unusable("user and assistant do not take turns, or a message is blank")
    if values and content.strip() not in values:
        raise Unusable("the assistant answers something other than + or -", content[:40])
    return content.strip()


def write(group: Group, options: WriteOptions) -> Iterator[Record | Left]:
    """One conversation per solution whose steps are all labelled."""
    for solution in group.solutions:
        if missing_labels(solution):
            yield Left("not every step is labelled")
            continue
        steps, whole = bare(solution.steps, options.separator)
        if not whole or any(step != step.strip() for step in steps):
            yield Left("blanks around steps were not kept", kept=True)
        if not STEP_1.match(steps[0].strip()):
            yield Left("the first step does not begin with 'Step 1:': readers cannot tell it from the question", kept=True)
        if any(value not in (0, 1) for value in solution.labels):
            yield Left("soft labels were made hard (value > 0)", kept=True)
        texts = [step.strip() for step in steps]
        texts[0] = f"{group.question} {texts[0]}"
        turns = [
            ({"role": "user", "content": text}, {"role": "assistant", "content": "+" if hard(value) else "-"})
            for text, value in zip(texts, solution.labels, strict=True)
        ]
        yield {"conversations": [message for turn in turns for message in turn]}


def _looks_like(record: Record) -> bool:
    messages = record.get("conversations", record.get("messages"))
    if isinstance(messages, list) and len(messages) > 1 and all(isinstance(message, dict) for message in messages):
        return str(messages[1].get("content")).strip() in ("+", "-")
    return "answers" in record and ("label" in record or "labels" in record)


RLHFLOW = Format(
    name="rlhflow",
    about="RLHFlow: conversations in which the assistant says + or - to each step",
    looks_like=_looks_like,
    reader=Reader(
        read,
        ReadOptions,
        lost=(
            "no gold answers: the format has none",
            "blanks around steps are not kept",
            "right or wrong: left open",
        ),
    ),
    writer=Writer(write, WriteOptions, needs=("step_labels",), lost=("gold answers, prompts, scores and pairs have no place",)),
)
