"""`fs-data import`: files of a format into a dataset folder, as a version that `fs-data check` passes and a build goes on from.

    version, report = import_files(FORMATS["math-shepherd"], ["train.jsonl.gz"], folder, {"prompt_label": "drop"})

A record becomes rows or one reject with its reason; nothing is committed before the last record is read. What a format leaves
open is asked: an option that a record needs and that was not set is an InputError that counts such records and lists the
choices.
"""

import difflib
import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, get_args

import polars as pl
from pydantic import ValidationError

from fullstep_data.config import Config
from fullstep_data.formats.group import Format, Group, Question, Reader, Record, Report, Unusable
from fullstep_data.formats.records import records
from fullstep_data.formats.to_tables import IMPORTED, Intake
from fullstep_data.grading import Grader
from fullstep_data.prompts import load_template
from fullstep_data.sources.files import content_hash, locate, shown_name
from fullstep_data.stage import no_tick, rejects
from fullstep_data.store import Contract, Counts, Manifest, Part, Slice, StageRecord, Store, TableRecord, Version
from fullstep_data.store.history import run_record
from fullstep_data.store.parquet import encode
from fullstep_data.store.storage import storage_of
from schemas import TABLES, InputError
from schemas.errors import MAX_EXAMPLES

_MAX_COLUMNS = 20
STAGE = "import"
REVISION = 1


@dataclass
class _Asked:
    """Records that wait for an option: how many, the first few, and what they may mean."""

    question: Question
    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class _State:
    """What the reading of all files leaves."""

    report: Report
    rejected: list[tuple[str, str, str | None]] = field(default_factory=list)
    decisions: Counter[str] = field(default_factory=Counter)
    asked: dict[str, _Asked] = field(default_factory=dict)
    columns: Counter[str] = field(default_factory=Counter)
    """Keys of the records that were taken, and how many had them."""
    looked_at: set[str] = field(default_factory=set)
    """Those that the format's reader asked for in one record or another."""


class _Watched(dict[str, Any]):
    """A record that remembers which of its keys were asked for."""

    def __init__(self, record: Record, looked_at: set[str]) -> None:
        super().__init__(record)
        self._looked_at = looked_at

    def __getitem__(self, key: str) -> Any:
        self._looked_at.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self._looked_at.add(key)
        return super().get(key, default)


def import_files(
    form: Format,
    paths: Sequence[str],
    out: Path,
    options: Mapping[str, Any],
    template: str | None = None,
    formats: Sequence[Format] = (),
    tick: Any = no_tick,
) -> tuple[Version, Report]:
    """Read files of one format into a version of the dataset in folder `out`, and tell how rows were mapped.

    template: prompt template for formats that give no prompt (default: the question and a line end). formats: those that an
    error may name instead. InputError: unreadable or wrong files, no usable record, an option that must be set, a folder with
    other tables.
    """
    reader = _reader(form)
    config = parse_options(reader.options, options, f"import {form.name}")
    if storage_of(out).far or out.exists():
        _require_import(Store.create(out))  # told before hours of reading
    files = named_files(paths)
    state = _State(Report(lost=reader.lost))
    with tempfile.TemporaryDirectory(prefix="fullstep-import-") as spill, Grader() as grader:
        source = reader.labels or getattr(config, "labels_by", None)
        prompt = load_template(template) if template else None
        intake = Intake(form.name, source, reader.pool, prompt, grader, Path(spill))
        for done, (path, file) in enumerate(zip(paths, files, strict=True)):
            tick(done, len(paths))
            _take_file(form, reader, config, path, file["name"], intake, state, formats)
        if intake.repeated:
            state.decisions["a text that was there already is the same solution (its first labels and rewards count)"] = (
                intake.repeated
            )
        _require_usable(form, paths, state)
        settings = {"format": form.name, "options": config.model_dump(mode="json"), "template": template}
        store = Store.create(out)
        with store.locked():
            _require_import(store)
            return _commit(store, intake, state, settings, files), state.report


def named_files(paths: Sequence[str]) -> list[dict[str, str]]:
    """Name and SHA-256 of each file. The name has no folders, or as many as tell files of one name apart.

    InputError: no such file, or the same content twice.
    """
    hashes = [content_hash(path) for path in paths]
    twice = [path for place, path in enumerate(paths) if hashes[place] in hashes[:place]]
    if twice:
        what = "the same records are named twice: every solution would be there twice"
        raise InputError(what, where=", ".join(paths), count=len(twice), examples=twice, next_step="name each file once")
    names = [shown_name(path) for path in paths]
    places = [locate(path).resolve().parts for path in paths]
    depth = 1
    while len(set(names)) < len(names):
        depth += 1
        names = ["/".join(place[-depth:]) if names.count(name) > 1 else name for name, place in zip(names, places, strict=True)]
    return [{"name": name, "sha256": sha256} for name, sha256 in zip(names, hashes, strict=True)]


def imported_tables(store: Store) -> dict[str, TableRecord]:
    """The tables of the latest version that an import wrote: a build in this folder goes on from them. Empty: none."""
    if not store.numbers():
        return {}
    tables = store.version().manifest.tables
    return {name: record for name, record in tables.items() if all(stage.name == STAGE for stage in record.stages)}


def parse_options(kind: type[Config], given: Mapping[str, Any], where: str) -> Any:
    """The options of a format. InputError: no such option, or a value that it cannot have."""
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        names = list(kind.model_fields)
        faults: list[str] = []
        for fault in error.errors():
            name = ".".join(map(str, fault["loc"]))
            near = difflib.get_close_matches(name, names, n=1)
            unknown = f"there is no such option{f'; did you mean {near[0]}?' if near else ''}"
            faults.append(f"{name}: {unknown if fault['type'] == 'extra_forbidden' else fault['msg']}")
        step = f"its options: {', '.join(names)} (fs-data formats tells what they mean)" if names else "it has no options"
        raise InputError("an option of the format is wrong", where, len(faults), faults, step) from error


def _take_file(
    form: Format, reader: Reader, config: Any, path: str, name: str, intake: Intake, state: _State, formats: Sequence[Format]
) -> None:
    for number, record in records(path):
        if number == 1 and not form.looks_like(record):
            raise wrong_format(form, record, path, formats)
        state.report.rows_in += 1
        key = f"{name}:{number}"
        try:
            groups = list(reader.read(_Watched(record, state.looked_at), config))
            _require_labeller(reader, config, groups)
            intake.add(groups, name, number)
        except Unusable as reject:
            state.rejected.append((key, reject.reason, reject.detail))
        except Question as question:
            asked = state.asked.setdefault(question.option, _Asked(question))
            asked.count += 1
            if len(asked.examples) < MAX_EXAMPLES:
                asked.examples.append(f"{key}: {question.about}")
        else:
            state.report.kept += 1
            state.columns.update(record.keys())
            state.decisions.update(note for group in groups for note in group.notes)


def _require_labeller(reader: Reader, config: Any, groups: Sequence[Group]) -> None:
    if (
        reader.labels is None
        and getattr(config, "labels_by", None) is None
        and any(s.labels for g in groups for s in g.solutions)
    ):
        kinds = {
            "outcome": "whether the final answer is right",
            "monte-carlo": "completions of the prefix",
            "binary-search": "completions, searched for the first wrong step",
            "judge": "a model that judges",
            "human": "people",
        }
        raise Question("labels_by", "the format does not say who made the step labels", kinds)


def wrong_format(form: Format, record: Record, path: str, formats: Sequence[Format]) -> InputError:
    """The error for a file whose first record is not of the format: names the formats that it looks like."""
    others = [other for other in formats if other.name != form.name and other.looks_like(record)]
    names = " or ".join(other.name for other in others)
    guess = f"it looks like {names}" if others else "it looks like none of the formats that fullstep knows"
    readable = [other.name for other in others if other.reader]
    step = "see `fs-data formats`, or read it as `problems` and given solutions"
    return InputError(
        f"the file is not {form.name} ({form.about}): {guess}",
        where=f"{path}, record 1",
        examples=[f"its keys: {', '.join(map(str, record))}"],
        next_step=f"fs-data import {readable[0]} …" if readable else step,
    )


def _reader(form: Format) -> Reader:
    if form.reader is None:
        raise InputError(f"{form.name} is only written, not read", next_step="see `fs-data formats`")
    return form.reader


def _require_import(store: Store) -> None:
    """InputError where the folder holds more than an import: a new version would hide its other tables."""
    if not store.numbers():
        return
    made = [name for name in store.version().manifest.tables if name not in imported_tables(store)]
    if made:
        raise InputError(
            f"the folder holds tables that a build has made: {', '.join(made)}",
            where=store.place,
            next_step="name another folder: importing into this one would hide them",
        )


def _require_usable(form: Format, paths: Sequence[str], state: _State) -> None:
    if state.asked:
        raise _unanswered(form, paths, state.asked)
    state.report.rejected = dict(Counter(reason for _, reason, _ in state.rejected).most_common())
    state.report.decisions = dict(state.decisions.most_common()) | _left_columns(state)
    if not state.report.kept:
        first = {reason: (key, detail) for key, reason, detail in reversed(state.rejected)}
        shown = [f"{reason} ({count} records, the first: {first[reason][0]})" for reason, count in state.report.rejected.items()]
        raise InputError(
            f"no record could be imported as {form.name}",
            where=", ".join(paths),
            count=len(state.rejected),
            examples=shown,
            next_step="check that the file is of this format; `fs-data formats` lists them with their options",
        )


def _unanswered(form: Format, paths: Sequence[str], asked: Mapping[str, _Asked]) -> InputError:
    """The error for all options that must be set: at once, since a large file takes minutes to read."""
    steps: list[str] = []
    for option, one in asked.items():
        values = "; ".join(f"{value} ({meaning})" for value, meaning in one.question.choices.items())
        steps.append(f"add --set {option}=VALUE, one of: {values}")
    in_turn = zip_longest(*(one.examples for one in asked.values()))
    return InputError(
        f"{form.name} leaves open what some records mean: set the option{'s' * (len(asked) > 1)} {' and '.join(asked)}",
        where=", ".join(paths),
        count=sum(one.count for one in asked.values()),
        examples=[example for examples in in_turn for example in examples if example],
        next_step="; and ".join(steps),
    )


def _left_columns(state: _State) -> dict[str, int]:
    """What the format's reader never asked for, as lines of the report."""
    left = [(name, count) for name, count in state.columns.most_common() if name not in state.looked_at]
    shown = {f"column {name} is not kept": count for name, count in left[:_MAX_COLUMNS]}
    more = sum(count for _, count in left[_MAX_COLUMNS:])
    return shown | ({f"{len(left) - _MAX_COLUMNS:,} more columns are not kept": more} if more else {})


def _commit(store: Store, intake: Intake, state: _State, settings: dict[str, Any], files: list[dict[str, str]]) -> Version:
    """Write all parts, then one version. The rejects belong to the first part of `problems`."""
    dropped = rejects(STAGE, "source", state.rejected)
    parts: dict[str, list[Part]] = {}
    for chunk, table, rows in intake.parts():
        part = _write(store, table, rows, dropped if (table, chunk) == ("problems", 0) else TABLES["rejects"].empty())
        parts.setdefault(table, []).append(part.model_copy(update={"slice": Slice(chunk=chunk)}))
    state.report.rows_out = {table: sum(part.rows for part in made) for table, made in parts.items()}
    tables = {name: _record(name, parts[name], state, settings, files) for name in IMPORTED if name in parts}
    contract = TABLES["rejects"]
    draft = Manifest(
        number=0,
        recipe={"name": f"import {settings['format']}", "files": files, **settings},
        rejects=Contract(version=contract.version, fingerprint=contract.fingerprint),
        tables=tables,
        models={},
    )
    return store.commit(draft, run_record({}))


def _write(store: Store, table: str, rows: pl.DataFrame, dropped: pl.DataFrame) -> Part:
    """A part under the hash of its content: nothing else says what a file of somebody held."""
    checked = TABLES[table].check(rows, where=f"import, table {table}")
    content = hashlib.sha256(encode(TABLES[table], checked) + encode(TABLES["rejects"], dropped))
    content.update(TABLES[table].fingerprint.encode())
    key = content.hexdigest()[:32]
    return store.find_part(table, key) or store.write_part(TABLES[table], key, checked, dropped, rows_in=rows.height)


def _record(name: str, parts: list[Part], state: _State, settings: dict[str, Any], files: list[dict[str, str]]) -> TableRecord:
    table = TABLES[name]
    kept = sum(part.rows for part in parts)
    first = name == "problems"
    counts = Counts(
        rows_in=state.report.rows_in if first else kept,
        kept=kept,
        rejected=dict(sorted(state.report.rejected.items())) if first else {},
    )
    stage = StageRecord(
        name=STAGE,
        revision=REVISION,
        config=settings,
        tools={file["name"]: file["sha256"] for file in files},
        counts=counts,
        parts=tuple(parts),
    )
    return TableRecord(contract=Contract(version=table.version, fingerprint=table.fingerprint), stages=(stage,))


def _choices(annotation: Any) -> Iterator[str]:
    """The values of a Literal, wherever it stands in a type."""
    for argument in get_args(annotation):
        if isinstance(argument, str):
            yield argument
        else:
            yield from _choices(argument)


def options_of(kind: type[Config]) -> Iterator[tuple[str, str]]:
    """(option, what it means and may be) of a format, for help."""
    for name, info in kind.model_fields.items():
        shown = [repr(value) for value in _choices(info.annotation)]
        default = "" if info.default is None else f" (default {info.default!r})"
        choices = f": {', '.join(shown)}" if shown else ""
        yield name, f"{info.description or ''}{choices}{default}"
