"""Making one part: read its inputs, run the stage's function, check what it promised, write the file.

    part = make_part(job, planned, toolbox.opened, tick)

The same in the process of the run and in a worker, so both write the same bytes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import polars as pl

from fullstep_data.accounts import answered_for, filtered, require_accounted
from fullstep_data.plan import InputPart, Planned
from fullstep_data.stage import Context, Outcome, Read, Stage, Tick, Tool, one_slice
from fullstep_data.store import Part, Slice, Store
from fullstep_data.store.parquet import scan
from fullstep_data.store.storage import shown
from fullstep_data.store.version import fetch, fetched
from schemas import TABLES


@dataclass(frozen=True)
class Job:
    """What all parts of one stage in one run have in common.

    config: the stage's own, not the recipe. tools: by name, all that the stage needs. folders: of the models made so far.
    """

    store: Path
    stage: Stage
    config: Any
    tools: Mapping[str, Tool]
    folders: Mapping[str, Path]

    def portable(self) -> "Job":
        """The same for another process: without the stage's functions that only planning needs, which may be lambdas."""
        return replace(self, stage=replace(self.stage, config=_planned_already, key_config=None, split=one_slice))


@dataclass
class Toolbox:
    """Opened tools by name: opened when first needed, kept for all parts of a stage."""

    _opened: dict[str, Any] = field(default_factory=dict)

    def holds(self, job: Job) -> bool:
        """Are the job's tools open?"""
        return all(name in self._opened for name in job.tools)

    def opened(self, job: Job) -> dict[str, Any]:
        """The job's tools. Raises what a tool raises that cannot be had."""
        for name, tool in job.tools.items():
            if name not in self._opened:
                for folder in job.folders.values():
                    fetched(folder)  # this may be another machine than that of the run
                self._opened[name] = tool.open(job.folders)
        return {name: self._opened[name] for name in job.tools}

    def close(self, still_needed: Collection[str] = ()) -> None:
        """Let go of the others: a sampler need not stay in memory while a model is trained."""
        for name in [name for name in self._opened if name not in still_needed]:
            tool = self._opened.pop(name)
            if callable(close := getattr(tool, "close", None)):
                close()


def make_part(job: Job, planned: Planned, opened: Callable[[Job], Mapping[str, Any]], tick: Tick) -> Part:
    """Make one part and write it into the store; the runner adds slice and parents, which decide nothing of the file.

    opened: gives the job's tools, once the input is known to be whole.
    InputError: the stage refuses its input, an input file was altered, the disk is full. ContractError: it broke its promise.
    """
    stage = job.stage
    where = f"stage {stage.name}, part {planned.key} ({_place(planned.slice)})"
    frames = input_frames(stage, planned.inputs)
    context = Context(job.config, opened(job), planned.slice_args, tick)
    outcome = checked(stage, stage.run(*frames, context), where)
    require_accounted(stage, frames, outcome, where)
    rows, rows_in = in_order(stage, outcome.rows), answered_for(stage, frames).height
    return Store(job.store).write_part(TABLES[stage.table], planned.key, rows, outcome.rejects, rows_in)


def input_frames(stage: Stage, inputs: Sequence[Sequence[InputPart]]) -> list[pl.DataFrame]:
    """One verified frame per read, its `where` applied."""
    fetch([part.file for parts in inputs for part in parts])
    loaded: list[list[pl.DataFrame]] = [[] for _ in inputs]
    # A part of each read at once: less work for Polars than one after the other, and no more than that in memory twice.
    for together in zip_longest(*inputs):
        rows = {
            place: scanned(read, part.file.content(), shown(part.file.path))
            for place, (read, part) in enumerate(zip(stage.reads, together, strict=True))
            if part is not None
        }
        for place, frame in zip(rows, pl.collect_all(rows.values()), strict=True):
            loaded[place].append(frame)
    return [
        pl.concat(frames) if frames else TABLES[read.table].empty().select(read.columns or "*")
        for read, frames in zip(stage.reads, loaded, strict=True)
    ]


def scanned(read: Read, content: bytes, where: str) -> pl.LazyFrame:
    """What a stage reads of a part. content: of its file. InputError: see `store.parquet.scan`."""
    return filtered(scan(TABLES[read.table], content, where, read.columns), read.where)


def checked(stage: Stage, outcome: Outcome, where: str) -> Outcome:
    """The outcome, once rows and rejects keep their contracts; rejects are put in order of their key."""
    rows = TABLES[stage.table].check(outcome.rows, where=where)
    dropped = TABLES["rejects"].check(outcome.rejects, where=f"{where}, rejects")
    return Outcome(rows, dropped.sort(TABLES["rejects"].key))


def in_order(stage: Stage, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows sorted by problem, then key: neighbours are alike and compress well, and equal rows are equal bytes."""
    by = [name for name in ("problem_id",) if name in rows.columns]
    return rows.sort([*by, *(name for name in TABLES[stage.table].key if name not in by)])


def _place(cut: Slice) -> str:
    chunk = "all problems" if cut.chunk is None else f"problem chunk {cut.chunk}"
    return chunk if cut.block is None else f"{chunk}, block {cut.block}"


def _planned_already(recipe: Any) -> Any:
    raise AssertionError("a worker gets its stage's config with the job")
