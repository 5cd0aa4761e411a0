"""TRL stepwise supervision: `prompt`, `completions` (the steps) and `labels` (one boolean per step).

    {"prompt": "What is 2 + 2?", "completions": ["2 + 2 = 4.", "The answer is 4"], "labels": [true, true]}

The prompt may be one user message in place of a text. TRL joins the steps with its `step_separator`, a line end by default, and
casts labels to integers: soft labels would become 0. The format says neither who made the labels (`labels_by`) nor whether the
solution is right (`correct`).
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from fullstep_data.config import Config
from fullstep_data.formats.group import (
    Format,
    Group,
    LabelSource,
    Left,
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

SEPARATOR = Field(default="\n", description="what stands between two steps")


class ReadOptions(Config):
    """Options of the import."""

    labels_by: LabelSource | None = Field(default=None, description="who made the step labels")
    correct: Literal["unknown", "last-step", "all-steps"] = Field(
        default="unknown", description="is a solution right: not known; its last label; all its labels"
    )
    separator: str = SEPARATOR


class WriteOptions(Config):
    """Options of the export."""

    separator: str = SEPARATOR
    values: bool = Field(default=False, description="a column `values` with the soft labels beside `labels`")


def read(record: Record, options: ReadOptions) -> Iterator[Group]:
    """One record is one solution. Labels may be booleans, 0 and 1, or shares in a column `values`."""
    labels, soft = record.get("labels"), record.get("values")
    if isinstance(soft, list) and None not in soft:  # (where rollouts were stopped early there is no share)
        labels = soft
    if not isinstance(labels, list) or not all(isinstance(label, bool | int | float) for label in labels):
        raise Unusable("labels is not a list of booleans or numbers")
    steps = separated(texts_of(record, "completions"), options.separator)
    values = tuple(float(label) for label in labels)
    right = {"unknown": None, "last-step": bool(values) and hard(values[-1]), "all-steps": all(map(hard, values))}
    yield Group(_prompt(record), solutions=(Solution(steps, labels=values, correct=right[options.correct]),))


def _prompt(record: Record) -> str:
    """The prompt, or the content of its only message."""
    prompt = record.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], dict) and prompt[0].get("role") == "user":
        return text_of(prompt[0], "content")
    return text_of(record, "prompt")


def write(group: Group, options: WriteOptions) -> Iterator[Record | Left]:
    """One record per solution whose steps are all labelled."""
    for solution in group.solutions:
        if missing_labels(solution):
            yield Left("not every step is labelled")
            continue
        steps, whole = bare(solution.steps, options.separator)
        if not whole:
            yield Left(f"steps that do not end in the separator {options.separator!r} are joined by it", kept=True)
        record: Record = {"prompt": group.question, "completions": steps, "labels": [hard(value) for value in solution.labels]}
        if options.values:
            record["values"] = list(solution.labels)
        elif any(value not in (0, 1) for value in solution.labels):
            yield Left("soft labels were made hard (value > 0); --set values=true keeps them beside", kept=True)
        yield record


TRL_STEPWISE = Format(
    name="trl-stepwise",
    about="TRL stepwise supervision: prompt, completions, labels",
    looks_like=lambda record: isinstance(record.get("completions"), list) and isinstance(record.get("labels"), list),
    reader=Reader(read, ReadOptions, lost=("no gold answers: the format has none",)),
    writer=Writer(
        write,
        WriteOptions,
        needs=("step_labels",),
        lost=("gold answers, prompts, scores and pairs: the format has no place for them",),
    ),
)
