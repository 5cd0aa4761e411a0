"""PRMBench (hitsmy/PRMBench_Preview): right solutions into which a model wrote errors, checked by people.

    {"idx": "…", "original_question": "…", "modified_question": "…", "original_process": ["…"], "modified_process": ["…", "…"],
     "modified_steps": [2], "error_steps": [2], "reason": "…", "classification": "step_contradiction"}

error_steps counts from 1. In the classes `redundency` and `circular` (spelt as in the data) the marked steps are superfluous
and need not be wrong: option `redundant` says how they are labelled. In about 2 of 100 published rows a mark lies after the last
step: option `beyond` says what becomes of it.
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from fullstep_data.config import Config
from fullstep_data.formats.group import Format, Group, Question, Reader, Record, Solution, Unusable, separated, text_of

SUPERFLUOUS = ("redundency", "circular")


class ReadOptions(Config):
    """Options of the import."""

    redundant: Literal["right", "wrong", "open"] | None = Field(
        default=None, description="the marked steps of the classes redundency and circular"
    )
    beyond: Literal["ignore", "reject"] | None = Field(
        default=None, description="a mark after the last step: ignore it, or reject the row"
    )
    original: bool = Field(default=True, description="take up the original solution too, once, all its steps right")
    separator: str = Field(default="\n", description="what stands between two steps")


def read(record: Record, options: ReadOptions) -> Iterator[Group]:
    """One record is the modified solution, and the original one."""
    steps, wrong = _steps(record, "modified_process"), record.get("error_steps")
    if not isinstance(wrong, list) or not all(isinstance(place, int) and place >= 1 for place in wrong):
        raise Unusable("error_steps is not a list of step numbers from 1", repr(wrong)[:80])
    notes = ["a blank step was left out"] * (len(steps) < len(record["modified_process"]))
    if any(place > len(record["modified_process"]) for place in wrong):
        if options.beyond is None:
            choices = {"ignore": "as the benchmark scores it", "reject": "the row is dropped, with that reason"}
            raise Question("beyond", f"a mark lies after the last step: {wrong}, {len(steps)} steps", choices)
        if options.beyond == "reject":
            raise Unusable("a mark lies after the last step", str(wrong)[:80])
        notes.append("a mark after the last step was ignored")
    marked: float | None = 0.0
    if wrong and record.get("classification") in SUPERFLUOUS:
        if options.redundant is None:
            choices = {"right": "superfluous is not wrong", "wrong": "as the benchmark scores it", "open": "no label"}
            raise Question("redundant", f"marked steps of class {record['classification']} are superfluous", choices)
        marked = {"right": 1.0, "wrong": 0.0, "open": None}[options.redundant]
    labels = tuple(marked if place in wrong else 1.0 for place in steps)
    modified = Solution(separated(list(steps.values()), options.separator), labels=labels)
    yield Group(text_of(record, "modified_question"), source=_source(record), solutions=(modified,), notes=tuple(notes))
    if options.original:
        texts = list(_steps(record, "original_process").values())
        right = Solution(separated(texts, options.separator), labels=(1.0,) * len(texts))
        yield Group(text_of(record, "original_question"), source=_source(record), solutions=(right,))


def _steps(record: Record, key: str) -> dict[int, str]:
    """The steps that are not blank, by their number in the file, from 1."""
    texts = record.get(key)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Unusable(f"{key} is not a list of texts")
    steps = {number: text for number, text in enumerate(texts, start=1) if text.strip()}
    if not steps:
        raise Unusable(f"{key} is empty")
    return steps


def _source(record: Record) -> str:
    return f"prmbench/{record.get('classification') or 'unknown'}"


PRMBENCH = Format(
    name="prmbench",
    about="PRMBench: original and modified process, error_steps from 1",
    looks_like=lambda record: "modified_process" in record and "error_steps" in record,
    reader=Reader(
        read,
        ReadOptions,
        labels="judge",
        pool=True,
        lost=(
            "the class is the source of the first record of a question",
            "whether a solution is right is left open: the format has no gold answers",
        ),
    ),
)
