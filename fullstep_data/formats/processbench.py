"""ProcessBench (Qwen/ProcessBench): solutions whose first wrong step people have marked.

    {"id": "gsm8k-0", "generator": "…", "problem": "…", "steps": ["…", "…"], "final_answer_correct": false, "label": 1}

label counts from 0; -1: every step is right. What comes after the first wrong step is not labelled.
"""

from collections.abc import Iterator

from pydantic import Field

from fullstep_data.config import Config
from fullstep_data.formats.group import Format, Group, Reader, Record, Solution, Unusable, separated, text_of, texts_of


class ReadOptions(Config):
    """Options of the import."""

    separator: str = Field(default="\n\n", description="what stands between two steps")


def read(record: Record, options: ReadOptions) -> Iterator[Group]:
    """One record is one solution."""
    steps, first_wrong, correct = texts_of(record, "steps"), record.get("label"), record.get("final_answer_correct")
    if isinstance(first_wrong, bool) or not isinstance(first_wrong, int) or not -1 <= first_wrong < len(steps):
        raise Unusable("label is not -1 or the number of a step", repr(first_wrong))
    if not isinstance(correct, bool | None):
        raise Unusable("final_answer_correct is not a boolean")
    right = len(steps) if first_wrong == -1 else first_wrong
    labels = tuple(1.0 if place < right else 0.0 if place == right else None for place in range(len(steps)))
    yield Group(
        text_of(record, "problem"), solutions=(Solution(separated(steps, options.separator), labels=labels, correct=correct),)
    )


PROCESSBENCH = Format(
    name="processbench",
    about="ProcessBench: problem, steps, label (first wrong step or -1)",
    looks_like=lambda record: {"problem", "steps", "label"} <= set(record) and isinstance(record["steps"], list),
    reader=Reader(
        read,
        ReadOptions,
        labels="human",
        lost=(
            "no gold answers: the format has none",
            "no labels after the first wrong step",
        ),
    ),
)
