r"""ProcessBench (Zheng et al., arXiv 2412.06559): solutions of which people say which step is the first wrong one, if any is.

    rows = read_processbench("processbench/gsm8k")          # Qwen/ProcessBench on the Hub; or a file in its form
    tables = processbench(rows, render, form="step-labels")  # solutions, steps, step_labels, and the part of each problem

A row has id, problem, steps (a list of texts) and label (index of the first wrong step, -1 for none). Steps before it are right,
it is wrong, and nothing is said of those after it. How the steps are written is the PRM's way: `Step k: …` lines, or paragraphs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from fullstep_data.config import HubSource
from fullstep_data.sources.files import Row, read_file
from fullstep_data.sources.hub import read_hub
from schemas import TABLES, InputError
from schemas.ids import content_id

Form = Literal["step-labels", "paragraphs"]

NAME = "processbench"
PARTS = ("gsm8k", "math", "olympiadbench", "omnimath")
LABELLER = "human"
_NEEDED = ("problem", "steps", "label")


@dataclass(frozen=True)
class Annotated:
    """Solutions whose steps somebody has judged. source: of each problem id, the part of the set."""

    solutions: pl.DataFrame
    steps: pl.DataFrame
    step_labels: pl.DataFrame
    source: dict[str, str]


def is_processbench(text: str) -> bool:
    return text.partition("/")[0] == NAME


def read_processbench(text: str, limit: int | None = None) -> list[tuple[str, Row]]:
    """(part, row) of every row. text: `processbench`, one part of it, or a file. InputError: another part, fields missing."""
    if is_processbench(text):
        _, _, part = text.partition("/")
        if part and part not in PARTS:
            raise InputError(f"ProcessBench has no part {part!r}", where=text, next_step=f"its parts: {', '.join(PARTS)}")
        rows = [
            (name, row)
            for name in ([part] if part else PARTS)
            for row in read_hub(HubSource(name="Qwen/ProcessBench", hub_split=name, limit=limit))[1]
        ]
    else:
        rows = [(str(row.values.get("id", text)).rpartition("-")[0] or text, row) for row in read_file(text, limit)]
    faults = [f"row {row.number}: {fault}" for _, row in rows if (fault := _fault(row.values))]
    if faults:
        raise InputError(
            "rows are not in the form of ProcessBench",
            where=text,
            count=len(faults),
            examples=faults,
            next_step="each row needs problem (text), steps (list of texts) and label (index of the first wrong step, or -1)",
        )
    return rows


def processbench(rows: Sequence[tuple[str, Row]], render: Callable[[str], str], form: Form) -> Annotated:
    """Tables of the rows. render: a problem's text to the prompt that the PRM reads before a solution."""
    solutions: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    source: dict[str, str] = {}
    for index, (part, row) in enumerate(rows):
        problem_id = content_id("problem", row.values["problem"])
        written = [_written(text, k, form, last=k == len(row.values["steps"])) for k, text in enumerate(row.values["steps"], 1)]
        solution_id = content_id(NAME, index, problem_id, written)
        source[problem_id] = part
        solutions.append(_solution(solution_id, problem_id, index, render(row.values["problem"]), "".join(written)))
        start = 0
        for place, text in enumerate(written):
            own = {"solution_id": solution_id, "step_index": place, "problem_id": problem_id}
            stop = start + len(text)
            prefix = content_id("prefix", problem_id, "".join(written[: place + 1]))
            steps.append({**own, "start": start, "stop": stop, "text": text, "prefix_key": prefix})
            labels.append({**own, **_label(place, int(row.values["label"]))})
            start = stop
    return Annotated(
        TABLES["solutions"].frame(solutions), TABLES["steps"].frame(steps), TABLES["step_labels"].frame(labels), source
    )


def _written(text: str, k: int, form: Form, last: bool) -> str:
    if form == "step-labels":
        return f"Step {k}: {text.strip()}" + ("" if last else "\n")
    return text.strip() + ("" if last else "\n\n")


def _solution(solution_id: str, problem_id: str, index: int, prompt: str, text: str) -> dict[str, Any]:
    return {
        "solution_id": solution_id,
        "problem_id": problem_id,
        "sample_index": index,
        "seed": 0,
        "prompt": prompt,
        "text": text,
        "finish_reason": "given",
        "answer_source": "none",
        "correct": False,
        "grade_path": "no-answer",
        "grader": "none",
        "sampler": NAME,
    }


def _label(place: int, first_wrong: int) -> dict[str, Any]:
    """Right before the first wrong step, wrong at it, open after it."""
    known = first_wrong < 0 or place <= first_wrong
    right = first_wrong < 0 or place < first_wrong
    counts = {"n_rollouts": int(known), "n_correct": int(known and right)}
    verdict = {"label": right, "value": float(right)} if known else {"label": None, "value": None}
    return {"labeller": LABELLER, "source": LABELLER, **counts, **verdict}


def _fault(values: dict[str, Any]) -> str:
    absent = [name for name in _NEEDED if values.get(name) is None]
    if absent:
        return f"no {', '.join(absent)}"
    steps, label = values["steps"], values["label"]
    if not isinstance(steps, list) or not steps or not all(isinstance(step, str) and step.strip() for step in steps):
        return "steps is not a list of texts"
    if not isinstance(label, int) or isinstance(label, bool) or not -1 <= label < len(steps):
        return f"label {label!r} is no step of {len(steps)}, nor -1"
    return ""
