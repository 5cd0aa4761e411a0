"""Math-Step-DPO (xinlai/Math-Step-DPO-10K and its pipeline): two next steps of one prefix, one right, one wrong.

    {"dataset": "MATH_Rephrased", "prompt": "What is …?", "initial_reason_steps": "Step 1: …\\nStep 2:", "chosen": " 3 + 4 = 7.",
     "rejected": " 3 + 4 = 8.", "full_chosen": " 3 + 4 = 7.\\nStep 3: …", "full_rejected": "…", "answer": "7"}

The pipeline writes `prefix` and `original_chosen` in place of `initial_reason_steps` and `full_chosen`, and no whole rejected
solution; its intermediate lines (`instruction`, `prefix`, `output`) hold one wrong solution each. A solution is prefix and
continuation. Steps of the prefix and the chosen step are labelled right, the rejected step wrong, what follows is open.

Out go the rows of `step_pairs`, where the dataset has some: the first wrong step of a solution against a right one from the same
prefix. Else (or by the option `records`) those pairs of whole solutions that begin alike, cut where they part.
"""

import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Any, Literal

from pydantic import Field

from fullstep_data.config import Config, StepsConfig
from fullstep_data.formats.group import (
    Format,
    Group,
    Left,
    Pair,
    Reader,
    Record,
    Solution,
    StepPair,
    Unusable,
    Writer,
    optional_text,
    text_of,
)
from fullstep_data.steps import split

LABEL = re.compile(r".*?\bStep \d+:", re.DOTALL)  # with what stands before it, as "Let's think step by step."
CUT = "the pipeline variant has no whole rejected solution: it ends with its wrong step"


class WriteOptions(Config):
    """Options of the export."""

    variant: Literal["dataset", "pipeline"] = Field(default="dataset", description="columns of the data set, or of its pipeline")
    records: Literal["step-pairs", "pairs"] | None = Field(
        default=None, description="the table that records come from (else step_pairs, if it has rows)"
    )


def read(record: Record, options: Config) -> Iterator[Group]:
    """One record is one problem with the chosen and the rejected solution, or (intermediate lines) the rejected one."""
    answer = optional_text(record, "answer")
    if "instruction" in record:
        wrong = _solution(record.get("prefix"), text_of(record, "output"), None, right=False, finished=True)
        yield Group(text_of(record, "instruction"), answer=answer, source=optional_text(record, "type"), solutions=(wrong,))
        return
    dataset = "initial_reason_steps" in record
    prefix = record.get("initial_reason_steps" if dataset else "prefix")
    if not isinstance(prefix, str):
        raise Unusable("the prefix is not a text")
    chosen, rejected = text_of(record, "chosen"), text_of(record, "rejected")
    full_chosen = text_of(record, "full_chosen" if dataset else "original_chosen")
    full_rejected = text_of(record, "full_rejected") if dataset else rejected
    yield Group(
        text_of(record, "prompt"),
        answer=answer,
        source=optional_text(record, "dataset"),
        solutions=(
            _solution(prefix, full_chosen, chosen, right=True, finished=True),
            _solution(prefix, full_rejected, rejected, right=False, finished=dataset),
        ),
        pairs=(Pair(0, 1),),
        notes=() if dataset else (CUT,),
    )


def _solution(prefix: Any, full: str, step: str | None, right: bool, finished: bool) -> Solution:
    """Prefix and continuation, labelled up to the step that the continuation begins with."""
    if not isinstance(prefix, str):
        raise Unusable("the prefix is not a text")
    if prefix and full.startswith(prefix):
        full = full[len(prefix) :]  # some copies of the data repeat the prefix
    if step is not None and not full.lstrip().startswith(step.strip()):
        raise Unusable("a whole solution does not begin with its step", full[:80])
    text = prefix + full
    spans = split(text, StepsConfig())
    # The first character of the continuation that is no blank tells in which step it begins.
    first = len(prefix) + len(full) - len(full.lstrip())
    place = next((index for index, (start, stop) in enumerate(spans) if start <= first < stop), -1)
    if place < 0:
        raise Unusable("a solution is blank")
    labels = tuple(1.0 if index < place else float(right) if index == place else None for index in range(len(spans)))
    return Solution(tuple(text[start:stop] for start, stop in spans), labels=labels, finished=finished)


def write(group: Group, options: WriteOptions) -> Iterator[Record | Left]:
    """One record per pair of next steps; or per pair of solutions that share a prefix of steps and then differ."""
    by_step = options.records == "step-pairs" or (options.records is None and group.step_pairs is not None)
    for pair in (group.step_pairs or ()) if by_step else group.pairs:
        chosen, rejected = group.solutions[pair.chosen].steps, group.solutions[pair.rejected].steps
        shared = pair.step if isinstance(pair, StepPair) else _shared(chosen, rejected)
        if shared >= min(len(chosen), len(rejected)):
            yield Left("one solution of the pair is the beginning of the other")
        elif group.answer is None:
            yield Left("the problem has no gold answer")
        else:
            yield _record(group, "".join(chosen[:shared]), chosen[shared:], rejected[shared:], options)


def _shared(chosen: tuple[str, ...], rejected: tuple[str, ...]) -> int:
    """How many steps both begin with."""
    return sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(chosen, rejected, strict=False)))


def _record(group: Group, prefix: str, chosen: tuple[str, ...], rejected: tuple[str, ...], options: WriteOptions) -> Record:
    """The record of a pair. A label ("Step 3:") that both next steps share belongs to the prefix, as in the data set."""
    labels = [LABEL.match(steps[0]) for steps in (chosen, rejected)]
    label = labels[0][0] if labels[0] and labels[1] and labels[0][0] == labels[1][0] else ""
    texts = ["".join(steps)[len(label) :] for steps in (chosen, rejected)]
    nexts = [steps[0][len(label) :].rstrip() for steps in (chosen, rejected)]
    record: Record = {"dataset": group.source or "", "prompt": group.question}
    if options.variant == "pipeline":
        last = {"original_chosen": texts[0], "answer": group.answer}
        return record | {"prefix": prefix + label, "chosen": nexts[0], "rejected": nexts[1]} | last
    record |= {"initial_reason_steps": prefix + label, "chosen": nexts[0], "rejected": nexts[1]}
    return record | {"full_chosen": texts[0], "full_rejected": texts[1], "answer": group.answer}


def _looks_like(record: Record) -> bool:
    keys = set(record)
    pairs = {"chosen", "rejected"} <= keys and bool({"initial_reason_steps", "prefix"} & keys)
    return pairs or {"instruction", "prefix", "output"} <= keys


MATH_STEP_DPO = Format(
    name="math-step-dpo",
    about="Math-Step-DPO: prefix, chosen and rejected next step; data set and pipeline variants",
    looks_like=_looks_like,
    reader=Reader(
        read,
        labels="judge",
        pool=True,
        lost=("steps are cut at their labels (Step k:); steps after the one that is compared are not labelled",),
    ),
    writer=Writer(
        write,
        WriteOptions,
        needs=(("step_pairs", "pairs"),),
        lost=(
            "labels, rewards and scores; line ends of chosen and rejected",
            "the prefix ends after the label of the compared step",
        ),
    ),
)
