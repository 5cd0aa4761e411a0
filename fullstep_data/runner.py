"""Runs stages part by part into a dataset folder: what is done already is not done again, and what is done is never lost.

    version = run(STAGES, recipe, Store.create(folder), tools, QuietReporter())

A part is done when its file exists; its name is a hash of all that decides it (`fullstep_data.plan`). Each new part must keep its
table's contract and account for every input key, in rows or in rejects. When all stages are done, one version is committed, so
tables advance together. A run that was killed or stopped is taken up by the same call.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from pydantic_core import to_jsonable_python

from fullstep_data.accounts import counted, rows_answered_for
from fullstep_data.plan import InputPart, Planned, decided_by, part_key, plan, reject_key, require_sound, source_key
from fullstep_data.stage import OPTIONAL_TABLES, Context, Stage, Tick, Tool
from fullstep_data.store import (
    Contract,
    Counts,
    Manifest,
    ModelRecord,
    Part,
    Slice,
    StageRecord,
    Store,
    StoredFile,
    TableRecord,
    Upstream,
    Version,
)
from fullstep_data.store.disk import write_error
from fullstep_data.store.history import run_record
from fullstep_data.store.version import model_path, part_path
from fullstep_data.workers import LOCAL, Crew, Place, crew_at
from fullstep_data.workers.part import Job, Toolbox, checked, in_order, input_frames, make_part
from schemas import TABLES, InputError


class Reporter(Protocol):
    """Who is told how a run goes: `cli` draws bars, tests keep lists."""

    def stage_started(self, name: str, parts_total: int, parts_done: int) -> None:
        """A stage begins; parts_done of its parts were there already."""
        ...

    def tools_opened(self, name: str, seconds: float) -> None:
        """The stage's tools were opened, which took so long: a model that takes minutes to load says nothing of its speed."""
        ...

    def part_progress(self, name: str, fraction: float, note: str = "") -> None:
        """This much of the part in hand is done, 0 to 1; of several in hand the sum. note: what the engine says of itself."""
        ...

    def part_done(self, name: str) -> None:
        """A part was made."""
        ...

    def rejected_so_far(self, name: str, records: int) -> None:
        """So many records were rejected by the parts that are done, those found done among them. Told where it changes."""
        ...

    def stage_done(self, name: str, rows: int | None, rejected: dict[str, int], seconds: float, reused: int) -> None:
        """A stage is complete: rows of its whole table (None: it makes a model), what it rejected by reason, and how many parts
        were there already.
        """
        ...


class QuietReporter:
    """Tells nobody."""

    def stage_started(self, name: str, parts_total: int, parts_done: int) -> None: ...
    def tools_opened(self, name: str, seconds: float) -> None: ...
    def part_progress(self, name: str, fraction: float, note: str = "") -> None: ...
    def part_done(self, name: str) -> None: ...
    def rejected_so_far(self, name: str, records: int) -> None: ...
    def stage_done(self, name: str, rows: int | None, rejected: dict[str, int], seconds: float, reused: int) -> None: ...


class Interrupted(InputError):  # noqa: N818 - no error: what the user asked for
    """The user stopped the run with Ctrl-C. Finished parts are kept."""


def run(
    stages: Sequence[Stage],
    recipe: Any,
    store: Store,
    tools: Mapping[str, Tool],
    reporter: Reporter,
    upstream: Version | None = None,
    imported: Mapping[str, TableRecord] | None = None,
    where: Place = LOCAL,
) -> Version:
    """Run all stages and commit one version; where nothing changed, the version that says the same is returned.

    recipe: given to each `Stage.config`, and kept as JSON data in the manifest. tools: by the names that stages use; one that has
    a `close()` once opened is closed after the last stage that needs it. upstream: a version of another dataset; tables that no
    stage here writes are read from it, and its models are known to the tools. imported: tables of this store that the version
    takes over as they are (`formats.importing.imported_tables`); no stage may write one of them. where: parts are made; sources
    are read and models are trained in this process. It decides nothing of the result.
    InputError: a stage or a tool refuses its input, the disk is full, another build runs, a part was altered, two workers died
    over one part. Interrupted: Ctrl-C. ContractError: a stage broke its promise. No version is committed then, and finished parts
    are kept.
    """
    given = dict(imported or {})
    require_sound(stages, tools, upstream, given)
    with store.locked():
        _require_same_kind(stages, store, upstream, given)
        state = _Run(recipe, store, tools, reporter, upstream, crew_at(where), stage=stages[0].name)
        for name, record in given.items():
            state.take_over(name, record)
        try:
            return state.whole(stages)
        except KeyboardInterrupt:
            raise Interrupted(
                what=f"stopped in stage {state.stage}",
                where=store.place,
                next_step=f"run the same command again to go on: {state.done} of {state.total} parts of stage {state.stage} "
                "are done and are kept, as are all stages before it",
            ) from None


@dataclass
class _Run:
    """What a run knows so far. stage, done, total: where it stands, for the message after Ctrl-C."""

    recipe: Any
    store: Store
    tools: Mapping[str, Tool]
    reporter: Reporter
    upstream: Version | None
    crew: Crew[Any] | None
    toolbox: Toolbox = field(default_factory=Toolbox)
    inputs: dict[str, list[InputPart]] = field(default_factory=dict)
    tables: dict[str, TableRecord] = field(default_factory=dict)
    models: dict[str, ModelRecord] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    timings: dict[str, dict[str, Any]] = field(default_factory=dict)
    stage: str = ""
    done: int = 0
    total: int = 0

    def __post_init__(self) -> None:
        if self.upstream is None:
            return
        for name, table in self.upstream.tables.items():
            self.inputs[name] = [
                InputPart(name, part.key, part.slice, file)
                for part, file in zip(table.parts, table.stored if table.parts else (), strict=True)
            ]
        self.folders.update({name: self.upstream.model(name) for name in self.upstream.manifest.models})

    def whole(self, stages: Sequence[Stage]) -> Version:
        """Run all stages and commit. However it ends, workers and tools are closed."""
        try:
            for place, stage in enumerate(stages):
                self.run_stage(stage)
                self.toolbox.close(still_needed={name for later in stages[place + 1 :] for name in later.tools})
            if self.crew is not None:
                self.crew.rest()
            return self.commit()
        except KeyboardInterrupt:
            # One Ctrl-C in the midst of a Polars query raises two of these: its own, and Python's as soon as Python looks for
            # signals again. That is here, and not while the tools are closed.
            time.sleep(0)
            raise
        finally:
            if self.crew is not None:
                self.crew.close(at_once=True)
            self.toolbox.close()

    def take_over(self, name: str, record: TableRecord) -> None:
        """Make a table part of the version, and its parts inputs of the stages that read it."""
        self.tables[name] = record
        self.inputs[name] = [
            InputPart(
                name,
                part.key,
                part.slice,
                StoredFile(part_path(self.store.path, name, part.key), part.rows, part.sha256, part.bytes),
            )
            for part in record.parts
        ]

    def run_stage(self, stage: Stage) -> None:
        """Make what is missing of one stage."""
        started = time.perf_counter()
        self.stage, self.done, self.total = stage.name, 0, 1
        config = stage.config(self.recipe)
        identities = {name: self.tools[name].identity(self.folders) for name in stage.tools}
        if stage.makes == "model":
            rejected, reused = self._model(stage, config, identities)
            rows = None
        else:
            make = self._source if stage.parts_by == "source" else self._parts
            parts, rows_in, reused = make(stage, config, identities)
            counts = counted(parts, rows_in)
            rows, rejected = counts.kept, counts.rejected
            self._record_table(stage, config, identities, parts, counts)
        seconds = time.perf_counter() - started
        self.timings[stage.name] = {"seconds": round(seconds, 3), "computed": self.total - reused, "reused": reused}
        self.reporter.stage_done(stage.name, rows, rejected, seconds, reused)

    def commit(self) -> Version:
        """Write the manifest."""
        contract = TABLES["rejects"]
        draft = Manifest(
            number=0,
            recipe=to_jsonable_python(self.recipe),
            upstream=_upstream_record(self.upstream),
            rejects=Contract(version=contract.version, fingerprint=contract.fingerprint),
            tables={name: self.tables[name] for name in TABLES if name in self.tables},
            models=self.models,
        )
        return self.store.commit(draft, run_record(self.timings))

    # Kinds of stage

    def _source(self, stage: Stage, config: Any, identities: Mapping[str, str]) -> tuple[list[Part], int, int]:
        """Run a source and cut its rows into chunks; a chunk with the same rows as before is there already."""
        self._begin(stage, total=1, done=0)
        where = f"stage {stage.name}"
        outcome = checked(stage, stage.run(self._context(stage, config)), where)
        size = int(config.problems_per_part)
        chunks = [outcome.rows[start : start + size] for start in range(0, max(outcome.rows.height, 1), size)]
        dropped = self.store.write_rejects(reject_key(stage, outcome.rejects), outcome.rejects)
        nothing = TABLES["rejects"].empty()
        parts: list[Part] = []
        reused = 0
        for chunk, taken in enumerate(chunks):
            rows = in_order(stage, taken)
            key = source_key(stage, rows)
            found = self.store.find_part(stage.table, key)
            reused += found is not None
            part = found or self.store.write_part(TABLES[stage.table], key, rows, nothing, rows_in=rows.height)
            update = {"slice": Slice(chunk=chunk), "parents": (), "rejects": dropped if chunk == 0 else None}
            parts.append(part.model_copy(update=update))
        self._part_done(stage)
        self.total = len(chunks)
        return parts, outcome.rows.height + outcome.rejects.height, reused

    def _parts(self, stage: Stage, config: Any, identities: Mapping[str, str]) -> tuple[list[Part], int, int]:
        """Make the missing parts of a stage that reads tables."""
        planned = plan(stage, config, self.inputs, identities)
        found = [self.store.find_part(stage.table, one.key) for one in planned]
        reused = sum(part is not None for part in found)
        self._begin(stage, total=len(planned), done=reused)
        rejected = self._told_rejects(stage, 0, [part for part in found if part is not None])
        job = Job(self.store.path, stage, config, {name: self.tools[name] for name in stage.tools}, self.folders)
        made = {part.key: part for part in found if part is not None}
        for part in self._made(job, [one for one in planned if one.key not in made]):
            made[part.key] = part
            self._part_done(stage)
            rejected = self._told_rejects(stage, rejected, [part])
        parts = [made[one.key].model_copy(update={"slice": one.slice, "parents": one.parents}) for one in planned]
        return parts, rows_answered_for(stage, planned, parts), reused

    def _made(self, job: Job, missing: Sequence[Planned]) -> Iterator[Part]:
        """Make parts, here or by the crew, in any order."""
        if self.crew is None:
            for planned in missing:
                yield make_part(job, planned, self._opened, self._tick(job.stage))
        else:
            yield from self.crew.make(job, missing, partial(self.reporter.part_progress, job.stage.name))

    def _opened(self, job: Job) -> Mapping[str, Any]:
        """The job's tools, for a part; that it took a while is told."""
        started = time.monotonic()
        new = not self.toolbox.holds(job)
        if new:
            self.reporter.part_progress(job.stage.name, 0.0, f"opening {', '.join(job.tools)}")
        tools = self.toolbox.opened(job)
        if new:
            self.reporter.tools_opened(job.stage.name, time.monotonic() - started)
        return tools

    def _model(self, stage: Stage, config: Any, identities: Mapping[str, str]) -> tuple[dict[str, int], int]:
        """Make a model unless it is there: what it was not trained on by reason, and how many models were there.

        A try that was killed left its checkpoints in the partial folder.
        """
        inputs = tuple(tuple(self.inputs[read.table]) for read in stage.reads)
        planned = Planned(part_key(stage, config, identities, {}, inputs), Slice(), {}, inputs)
        files = self.store.find_model(planned.key)
        reused = files is not None
        self._begin(stage, total=1, done=int(reused))
        if files is None:
            if self.crew is not None:
                self.crew.rest()
            frames = input_frames(stage, inputs)
            folder = self.store.begin_model(planned.key)
            context = self._context(stage, config)
            _explained(folder, lambda: stage.run(*frames, context, folder))
            files = self.store.finish_model(planned.key)
            self._part_done(stage)
        self.folders[stage.name] = model_path(self.store.path, planned.key)
        dropped = self.store.model_rejects(planned.key)
        self.models[stage.name] = ModelRecord(
            key=planned.key,
            revision=stage.revision,
            config=decided_by(stage, config),
            tools=dict(identities),
            files=files,
            parents=planned.parents,
            rejects=dropped,
        )
        return dropped.reasons if dropped else {}, int(reused)

    # Pieces

    def _begin(self, stage: Stage, total: int, done: int) -> None:
        self.total, self.done = total, done
        self.reporter.stage_started(stage.name, total, done)

    def _part_done(self, stage: Stage) -> None:
        self.done += 1
        self.reporter.part_done(stage.name)

    def _told_rejects(self, stage: Stage, before: int, parts: Sequence[Part]) -> int:
        """How many records are rejected with those of these parts; told where that is news."""
        records = before + sum(sum(part.rejects.reasons.values()) for part in parts if part.rejects)
        if records > before:
            self.reporter.rejected_so_far(stage.name, records)
        return records

    def _context(self, stage: Stage, config: Any) -> Context:
        """Of a stage that runs in this process as a whole."""
        job = Job(self.store.path, stage, config, {name: self.tools[name] for name in stage.tools}, self.folders)
        return Context(config, self.toolbox.opened(job), tick=self._tick(stage))

    def _tick(self, stage: Stage) -> Tick:
        def tick(done: int, total: int, note: str = "") -> None:
            self.reporter.part_progress(stage.name, done / total if total else 1.0, note)

        return tick

    def _record_table(self, stage: Stage, config: Any, identities: Mapping[str, str], parts: list[Part], counts: Counts) -> None:
        name, contract = stage.table, TABLES[stage.table]
        record = StageRecord(
            name=stage.name,
            revision=stage.revision,
            config=decided_by(stage, config),
            tools=dict(identities),
            counts=counts,
            parts=tuple(parts),
        )
        before = self.tables[name].stages if name in self.tables else ()
        written_under = Contract(version=contract.version, fingerprint=contract.fingerprint)
        self.take_over(name, TableRecord(contract=written_under, stages=(*before, record)))


def _require_same_kind(
    stages: Sequence[Stage], store: Store, upstream: Version | None, imported: Mapping[str, TableRecord]
) -> None:
    """InputError where the folder's latest version has tables that these stages never write: it holds something else.

    Tables that a recipe may do without are no sign of that: a build that labels by the outcome where the one before drew rollouts
    makes a new version, and the rollouts stay in the old one.
    """
    if not store.numbers():
        return
    latest = store.version()
    kept = {stage.table for stage in stages} | set(imported) | OPTIONAL_TABLES
    lost = [name for name in latest.manifest.tables if name not in kept]
    if lost or (latest.manifest.upstream is None) != (upstream is None):
        raise InputError(
            what=f"the folder holds a dataset of another kind: with the tables {', '.join(latest.manifest.tables)}",
            where=store.place,
            next_step="name another folder: a new version would hide these tables",
        )


def _explained(folder: Path, work: Callable[[], object]) -> None:
    """Do work that writes into `folder`; a full disk becomes an InputError whichever library meets it."""
    try:
        work()
    except InputError:
        raise
    except Exception as error:
        told = write_error(folder, error)
        if told is None:
            raise
        raise told from error


def _upstream_record(upstream: Version | None) -> Upstream | None:
    if upstream is None:
        return None
    store = Store(upstream.path)
    content = store.storage.read(store.manifest_path(upstream.number))
    return Upstream(number=upstream.number, sha256=hashlib.sha256(content).hexdigest())
