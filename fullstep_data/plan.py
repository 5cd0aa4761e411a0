"""Which parts a stage makes out of which input parts, and the key of each. Pure: no disk, no stage is run.

    for planned in plan(stage, config, inputs, tools):
        planned.key                 # hash of all that decides the part: done if a file of that name exists
        planned.inputs[0]           # the parts of the first table it reads, in order

Growth costs only what is new: chunks of problems that are full keep their keys when problems are appended, and blocks of sample
indices keep theirs when more samples are asked for.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from pydantic_core import to_jsonable_python

from fullstep_data.stage import Stage, Tool, one_slice
from fullstep_data.store import Slice, StoredFile, TableRecord, Version
from schemas import TABLES, InputError

KEY_DIGITS = 32


@dataclass(frozen=True)
class InputPart:
    """A part that a stage reads."""

    table: str
    key: str
    slice: Slice
    file: StoredFile


@dataclass(frozen=True)
class Planned:
    """A part to be made. inputs: for each of the stage's reads, the parts it comes from."""

    key: str
    slice: Slice
    slice_args: Mapping[str, Any]
    inputs: tuple[tuple[InputPart, ...], ...] = field(repr=False)

    @property
    def parents(self) -> tuple[str, ...]:
        """Keys of all input parts, each once."""
        return tuple(dict.fromkeys(part.key for parts in self.inputs for part in parts))


def plan(stage: Stage, config: Any, inputs: Mapping[str, Sequence[InputPart]], tools: Mapping[str, str]) -> list[Planned]:
    """The parts of a stage that reads tables, in order of chunk and block.

    inputs: the parts of each table, in that order. tools: identity by name.
    """
    reads = [_ByChunk(inputs[read.table]) for read in stage.reads]
    made: list[Planned] = []
    for target, slice_args, first in _targets(stage, config, inputs[stage.reads[0].table]):
        others = (tuple(read.matching(target)) for read in reads[1:])
        chosen = ((first,) if first else tuple(reads[0].matching(target)), *others)
        made.append(Planned(part_key(stage, config, tools, slice_args, chosen), target, slice_args, chosen))
    return made


def require_sound(
    stages: Sequence[Stage], tools: Mapping[str, Tool], upstream: Version | None, imported: Mapping[str, TableRecord]
) -> None:
    """ValueError where the list of stages itself is wrong: a fault of the program. InputError: `upstream` lacks a table."""
    known = (set(upstream.tables) - {"rejects"} if upstream else set[str]()) | set(imported)
    names: set[str] = set()
    for stage in stages:
        absent = [read.table for read in stage.reads if read.table not in known]
        if absent and upstream is not None:
            raise InputError(
                what=f"the dataset has no table {', '.join(absent)}, which stage {stage.name} reads",
                where=f"{upstream.place}, version {upstream.number}",
                next_step=f"give a dataset that `fs-data build` has made; the tables of this one: {', '.join(upstream.tables)}",
            )
        absent += [accounts.table for accounts in stage.accounts if accounts.table not in {r.table for r in stage.reads}]
        absent += [name for name in stage.tools if name not in tools]
        if absent:
            raise ValueError(f"stage {stage.name} needs {', '.join(absent)}, which nothing before it provides")
        if (stage.parts_by == "source") == bool(stage.reads):
            raise ValueError(f"stage {stage.name}: a source reads no table, and every other stage reads one")
        if stage.table in imported:
            raise ValueError(f"stage {stage.name} writes {stage.table}, which is imported")
        if stage.name in names:
            raise ValueError(f"two stages are called {stage.name}")
        names.add(stage.name)
        if stage.makes == "table":
            known.add(stage.table)


def part_key(
    stage: Stage,
    config: Any,
    tools: Mapping[str, str],
    slice_args: Mapping[str, Any],
    inputs: Sequence[Sequence[InputPart]],
) -> str:
    """Hash of stage, revision, contract, config, slice, inputs and tools: whatever can change the rows."""
    return _hash(
        [
            stage.name,
            stage.revision,
            _fingerprint(stage),
            decided_by(stage, config),
            to_jsonable_python(dict(slice_args)),
            [[read.table, read.where, [part.key for part in parts]] for read, parts in zip(stage.reads, inputs, strict=True)],
            [tools[name] for name in stage.tools],
        ]
    )


def source_key(stage: Stage, rows: pl.DataFrame) -> str:
    """The key of a chunk of a source: hash of its rows, for nothing else says what the outside world held."""
    return _hash([stage.name, stage.revision, _fingerprint(stage), rows.columns, rows.rows()])


def reject_key(stage: Stage, rejects: pl.DataFrame) -> str:
    """The key of a source's rejects. They may change while the rows stay, so they have a key of their own."""
    return _hash(["rejects", stage.name, TABLES["rejects"].fingerprint, rejects.rows()])


def decided_by(stage: Stage, config: Any) -> Any:
    """What of the stage's config decides its result, as JSON data."""
    return to_jsonable_python(stage.key_config(config) if stage.key_config else config)


def _fingerprint(stage: Stage) -> str:
    return TABLES[stage.table].fingerprint if stage.makes == "table" else ""


def _hash(content: Any) -> str:
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:KEY_DIGITS]


def _targets(stage: Stage, config: Any, first: Sequence[InputPart]) -> Iterator[tuple[Slice, dict[str, Any], InputPart | None]]:
    """For every part of the stage: its slice, its arguments, and the one part of the first read that it is made of, if one."""
    if stage.parts_by == "all":
        yield Slice(), {}, None
    elif stage.parts_by == "problem":
        yield from ((Slice(chunk=chunk), {}, None) for chunk in dict.fromkeys(part.slice.chunk for part in first))
    elif stage.split is one_slice:
        yield from ((part.slice, {}, part) for part in first)
    else:
        for part in first:
            if part.slice.block is not None:
                raise ValueError(f"stage {stage.name} cuts {part.table} into blocks, but that table is cut so already")
            for block, slice_args in enumerate(stage.split(config)):
                yield Slice(chunk=part.slice.chunk, block=block), slice_args, part


class _ByChunk:
    """The parts of one table, to be found by slice without a look at each."""

    def __init__(self, parts: Sequence[InputPart]) -> None:
        self._parts = parts
        self._chunks: dict[int | None, list[InputPart]] = {}
        for part in parts:
            self._chunks.setdefault(part.slice.chunk, []).append(part)

    def matching(self, target: Slice) -> Iterator[InputPart]:
        """Parts of the same chunk and block; a part or target that is not cut that way matches any."""
        of_chunk = [*self._chunks.get(None, ()), *self._chunks.get(target.chunk, ())]
        near = self._parts if target.chunk is None else of_chunk
        for part in near:
            if target.block is None or part.slice.block is None or part.slice.block == target.block:
                yield part
