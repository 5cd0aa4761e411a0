r"""Benchmarks of solutions whose steps somebody has judged, as tables: what `fs-train eval-prm` measures a PRM on.

    rows = read_judged("processbench/gsm8k")             # from the Hub; prmbench; or a file in the form of one of the two
    tables = annotated(rows, render, form="step-labels")  # solutions, steps, step_labels, and the part of each solution

Records are read by the formats `processbench` and `prmbench`, so an import and an evaluation see the same labels. In ProcessBench
(Zheng et al., arXiv 2412.06559) people marked the first wrong step: those before it are right, of those after it nothing is said.
In PRMBench (Song et al., arXiv 2501.03124) a model wrote errors into right solutions; every step is judged, superfluous ones
count as wrong and marks after the last step count for nothing, as the benchmark scores them. How the steps are written is the
PRM's way: `Step k: …` lines, or paragraphs.
"""

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import polars as pl

from fullstep_data.config import Config, HubSource
from fullstep_data.formats import prmbench, processbench
from fullstep_data.formats.group import Format, Group, LabelSource, Record, Unusable, hard
from fullstep_data.formats.records import records
from fullstep_data.sources.hub import read_hub
from schemas import TABLES, InputError
from schemas.ids import content_id

Form = Literal["step-labels", "paragraphs"]


@dataclass(frozen=True)
class Benchmark:
    """form: how its records are read, with `options` (steps bare, without separators). hub: where it is published. splits: its
    parts there. part: the part of a record, None where it does not say.
    """

    form: Format
    options: Config
    hub: str
    splits: tuple[str, ...]
    part: Callable[[Record], str | None]


def _id_before_dash(record: Record) -> str | None:
    return str(record.get("id", "")).rpartition("-")[0] or None


BENCHMARKS = {
    "processbench": Benchmark(
        processbench.PROCESSBENCH,
        processbench.ReadOptions(separator=""),
        "Qwen/ProcessBench",
        ("gsm8k", "math", "olympiadbench", "omnimath"),
        _id_before_dash,
    ),
    "prmbench": Benchmark(
        prmbench.PRMBENCH,
        prmbench.ReadOptions(redundant="wrong", beyond="ignore", original=False, separator=""),
        "hitsmy/PRMBench_Preview",
        ("train",),
        lambda record: str(record.get("classification") or "unknown"),
    ),
}


@dataclass(frozen=True)
class Judged:
    """A solution: steps without separators, and the label of each, None where nothing is said of it. part: of the benchmark."""

    part: str
    question: str
    steps: tuple[str, ...]
    labels: tuple[float | None, ...]
    by: LabelSource


@dataclass(frozen=True)
class Annotated:
    """Solutions whose steps somebody has judged. source: of each solution id, the part of the set."""

    solutions: pl.DataFrame
    steps: pl.DataFrame
    step_labels: pl.DataFrame
    source: dict[str, str]


def read_judged(text: str, limit: int | None = None) -> list[Judged]:
    """Every solution. text: `processbench`, `prmbench`, a part of one (processbench/gsm8k), or a file. limit: of each part.

    InputError: another part, no such file, or records that are in neither form, counted and shown.
    """
    name, _, part = text.partition("/")
    if name in BENCHMARKS:
        bench = BENCHMARKS[name]
        if part and part not in bench.splits:
            raise InputError(f"{name} has no part {part!r}", where=text, next_step=f"its parts: {', '.join(bench.splits)}")
        splits = [part] if part else bench.splits
        return [one for split in splits for one in _taken(bench, _from_hub(bench, split, limit), text, split)]
    near = difflib.get_close_matches(name, BENCHMARKS)
    if near and not Path(text).exists():
        step = f"did you mean {near[0]}? Sets: {', '.join(BENCHMARKS)}, or a file in the form of one"
        raise InputError(f"there is no such file, dataset or set: {text}", next_step=step)
    found = list(islice(records(text), limit))
    return _taken(_bench_of(found[0][1], text), found, text, text)


def annotated(rows: Sequence[Judged], render: Callable[[str], str], form: Form) -> Annotated:
    """Tables of the solutions. render: a problem's text to the prompt that the PRM reads before a solution."""
    solutions: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    source: dict[str, str] = {}
    for index, row in enumerate(rows):
        problem_id = content_id("problem", row.question)
        written = [_written(text, k, form, last=k == len(row.steps)) for k, text in enumerate(row.steps, 1)]
        solution_id = content_id("judged", index, problem_id, written)
        source[solution_id] = row.part
        solutions.append(_solution(solution_id, problem_id, index, render(row.question), "".join(written)))
        start = 0
        for place, (text, label) in enumerate(zip(written, row.labels, strict=True)):
            own = {"solution_id": solution_id, "step_index": place, "problem_id": problem_id}
            stop = start + len(text)
            prefix = content_id("prefix", problem_id, "".join(written[: place + 1]))
            steps.append({**own, "start": start, "stop": stop, "text": text, "prefix_key": prefix})
            labels.append({**own, "labeller": row.by, "source": row.by, **_label(label)})
            start = stop
    return Annotated(
        TABLES["solutions"].frame(solutions), TABLES["steps"].frame(steps), TABLES["step_labels"].frame(labels), source
    )


def _from_hub(bench: Benchmark, split: str, limit: int | None) -> Iterator[tuple[int, Record]]:
    for row in read_hub(HubSource(name=bench.hub, hub_split=split, limit=limit))[1]:
        yield row.number, row.values


def _bench_of(record: Record, text: str) -> Benchmark:
    """The benchmark in whose form a file is, by its first record."""
    for bench in BENCHMARKS.values():
        if bench.form.looks_like(record):
            return bench
    raise InputError(
        "the file is in the form of neither ProcessBench nor PRMBench",
        where=f"{text}, record 1",
        examples=[f"its keys: {', '.join(map(str, record))}"],
        next_step="`fs-data formats` lists what can be imported; import it and name the dataset: --data DIR",
    )


def _taken(
    bench: Benchmark, found: Iterator[tuple[int, Record]] | list[tuple[int, Record]], text: str, part: str
) -> list[Judged]:
    """The solutions of all records. InputError: some of them are none."""
    taken: list[Judged] = []
    faults: list[str] = []
    for number, record in found:
        try:
            for group in _groups(bench, record):
                (solution,) = group.solutions
                labels, by = solution.labels, bench.form.reader.labels if bench.form.reader else None
                taken.append(Judged(bench.part(record) or part, group.question, solution.steps, labels, by or "human"))
        except Unusable as fault:
            faults.append(f"record {number}: {fault.reason}" + (f" ({fault.detail})" if fault.detail else ""))
    if faults:
        raise InputError(
            f"records are not in the form of {bench.form.name}",
            where=text,
            count=len(faults),
            examples=faults,
            next_step=f"mend or leave out these records; the form: {bench.form.about}",
        )
    return taken


def _groups(bench: Benchmark, record: Record) -> list[Group]:
    assert bench.form.reader is not None  # both are read
    return list(bench.form.reader.read(record, bench.options))


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
        "sampler": "judged",
    }


def _label(value: float | None) -> dict[str, Any]:
    counts = {"n_rollouts": int(value is not None), "n_correct": int(hard(value))}
    return {**counts, "label": None if value is None else hard(value), "value": value}
