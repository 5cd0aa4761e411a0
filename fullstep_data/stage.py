"""A stage is a function plus a record: the function makes rows from rows, the record says what it reads, writes and depends on.

    outcome = steps(solutions_frame, config)     # pure: no disk, network or clock
    outcome.rows, outcome.rejects                # frames that keep the contracts `steps` and `rejects`

`fullstep_data.pipeline` lists the stages, `fullstep_data.runner` runs them part by part.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import polars as pl
from pydantic import BaseModel

from schemas import TABLES

OPTIONAL_TABLES = frozenset(("rollouts", "step_pairs", "reference_logprobs"))
"""Tables that one recipe makes and another does without: in one folder a version may have them, and the next one not."""


@dataclass(frozen=True)
class Outcome:
    """What a stage gives back: rows of its table, and every record it dropped with the reason."""

    rows: pl.DataFrame
    rejects: pl.DataFrame = field(default_factory=TABLES["rejects"].empty)


def rejects(stage: str, table: str, records: Sequence[tuple[str, str, str | None]]) -> pl.DataFrame:
    """Rows of `rejects` from (key, reason, detail)."""
    return TABLES["rejects"].frame(
        [{"stage": stage, "table": table, "key": key, "reason": reason, "detail": detail} for key, reason, detail in records]
    )


class Tool(Protocol):
    """Something heavy that a stage works with, opened only when a part is missing.

    models: folders of the models made earlier in this run, by stage name (the scorer is the PRM that stage `prm` made).
    """

    def identity(self, models: Mapping[str, Path]) -> str:
        """What of the tool decides the result: goes into part keys. Cheap, and raises InputError where the tool cannot be had."""
        ...

    def open(self, models: Mapping[str, Path]) -> Any:
        """The tool itself: a Generator, a StepScorer, a Grader, a trainer."""
        ...


class Tick(Protocol):
    """Called by long work with how much of the part in hand is done: `tick(done, total)`. note: what else to show."""

    def __call__(self, done: int, total: int, note: str = "") -> None: ...


def no_tick(done: int, total: int, note: str = "") -> None:
    """The tick of work that nobody watches."""


@dataclass(frozen=True)
class Context:
    """What the runner hands to a stage besides tables: its config, its opened tools (engine, grader …), where to report progress.

    slice_args: the arguments that `Stage.split` gave this part (for samples: first and last sample index).
    """

    config: Any
    tools: Mapping[str, Any]
    slice_args: Mapping[str, Any] = field(default_factory=dict)
    tick: Tick = no_tick


def one_slice(config: Any) -> Iterator[dict[str, Any]]:
    """The split of a stage whose parts are its input parts."""
    yield {}


@dataclass(frozen=True)
class Read:
    """A table that a stage reads; `where` (SQL) keeps only some rows, `columns` only those (none named: all of them)."""

    table: str
    where: str = ""
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Accounts:
    """Which input keys a stage answers for: each value of `by` in `table` (where `where`) is in its rows or in rejects."""

    table: str
    by: tuple[str, ...]
    where: str = ""


@dataclass(frozen=True)
class Stage:
    """One box of the flow.

    name:     the table it writes (or the model it makes), unless `writes` names another.
    run:      run(*frames of `reads`, context) -> Outcome; for makes="model": run(*frames, context, folder) -> None.
    config:   picks the stage's part of the recipe.
    key_config: what of that config decides the result (default: all of it); goes into the part key.
    tools:    names of the tools it needs; a tool's `identity` goes into the part key.
    revision: raise it when the function's result changes for the same input.
    parts_by: source = no input, one run, cut into parts of `problems_per_part`; part = one output part per input part;
              problem = one per chunk of problems, all sample blocks together; all = everything at once.
    split:    for parts_by="part": cuts each input part further (samples: blocks of sample indices).
    """

    name: str
    run: Callable[..., Any]
    reads: tuple[Read, ...]
    config: Callable[[Any], BaseModel]
    revision: int
    parts_by: Literal["source", "part", "problem", "all"]
    tools: tuple[str, ...] = ()
    accounts: tuple[Accounts, ...] = ()
    split: Callable[[Any], Iterator[dict[str, Any]]] = one_slice
    key_config: Callable[[Any], Any] | None = None
    makes: Literal["table", "model"] = "table"
    writes: str = ""

    @property
    def table(self) -> str:
        return self.writes or self.name
