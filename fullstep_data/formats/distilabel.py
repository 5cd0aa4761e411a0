"""distilabel's Math-Shepherd pipeline: `solutions` holds lists of steps, each ending in its sign; `golden_solution` a reference
one.

    {"instruction": "2 + 2?", "solutions": [["Step 1: 2 + 2 = 4. +", "The answer is: 4 +"]], "golden_solution": ["…", "…"]}

Both lists may be JSON texts, as its generator writes them. What its step FormatPRM makes (`input`, `label`) is the format
math-shepherd.
"""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from fullstep_data.config import Config
from fullstep_data.formats.group import Format, Group, Reader, Record, Solution, Unusable, separated, text_of
from fullstep_data.grading import extract


class ReadOptions(Config):
    """Options of the import."""

    separator: str = Field(default="\n", description="what stands between two steps")


def read(record: Record, options: ReadOptions) -> Iterator[Group]:
    """One record is one problem with its solutions."""
    solutions = _list(record, "solutions")
    if solutions and all(isinstance(step, str) for step in solutions):
        solutions = [solutions]  # after ExpandColumns a record holds one solution
    golden = "\n".join(map(str, _list(record, "golden_solution"))) if record.get("golden_solution") else ""
    answer, _ = extract(golden)
    made = tuple(_solution(steps, options) for steps in solutions if steps != [])
    notes = [] if answer else ["no gold answer: none is stated in golden_solution"]
    notes += ["an empty solution was left out: its generation failed"] * (len(solutions) - len(made))
    yield Group(text_of(record, "instruction"), answer=answer, reference=golden or None, solutions=made, notes=tuple(notes))


def _solution(steps: Any, options: ReadOptions) -> Solution:
    if not isinstance(steps, list) or not steps or not all(isinstance(step, str) for step in steps):
        raise Unusable("a solution is not a list of texts")
    stripped = [step.strip() for step in steps]
    if not all(step[-1:] in ("+", "-") and step[:-1].strip() for step in stripped):
        raise Unusable("a step does not end in + or -", "; ".join(stripped)[-80:])
    labels = tuple(float(step[-1] == "+") for step in stripped)
    return Solution(separated([step[:-1].strip() for step in stripped], options.separator), labels=labels)


def _list(record: Record, key: str) -> list[Any]:
    value = record.get(key)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise Unusable(f"{key} is a text, but no JSON", str(error)) from error
    if not isinstance(value, list):
        raise Unusable(f"{key} is not a list")
    return value


DISTILABEL = Format(
    name="distilabel",
    about="distilabel: instruction, solutions whose steps end in + or -, golden_solution",
    looks_like=lambda record: "instruction" in record and "solutions" in record,
    reader=Reader(
        read,
        ReadOptions,
        labels="monte-carlo",
        lost=("n_rollouts 0: the format does not say how many there were", "blanks around steps are not kept"),
    ),
)
