"""`fs-data export`: a version of a dataset as a file in a format.

    report = export(FORMATS["trl-stepwise"], open_version("dataset@v1"), Path("stepwise.jsonl"), {"values": True})

The file's ending says how records are written: .jsonl (one a line), .json (one list), .parquet; `.gz` after the first two.
It stands whole under its name or not at all.
"""

import gzip
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from fullstep_data.formats.from_tables import groups
from fullstep_data.formats.group import Format, Left, Record, Report, Writer
from fullstep_data.formats.importing import parse_options
from fullstep_data.store import Version, disk
from schemas import InputError

_ENDINGS = (".jsonl", ".json", ".parquet", ".jsonl.gz", ".json.gz")
_BATCH = 5_000


def export(
    form: Format,
    version: Version,
    path: Path,
    options: Mapping[str, Any],
    labeller: str | None = None,
    scorer: str | None = None,
) -> Report:
    """Write the file and tell how rows were mapped. labeller, scorer: see `from_tables.groups`.

    InputError: the format is not written, the version lacks a table it needs, no record came out, the file cannot be written.
    """
    writer = _writer(form)
    config = parse_options(writer.options, options, f"export {form.name}")
    ending = _ending(path)
    for needed in writer.needs:
        tables = (needed,) if isinstance(needed, str) else needed
        if not any(table in version.tables and version.tables[table].rows for table in tables):
            version.table(tables[-1])  # says which tables there are
            what = f"the dataset has no rows in {' or '.join(tables)}, which {form.name} needs"
            raise InputError(what, where=version.place, next_step=f"`fs-data show {version.place}` tells why there are none")
    report = Report(lost=writer.lost)
    records = _records(writer, version, config, (labeller, scorer), report)
    with _whole(path) as temp:
        _write(temp, ending, records)
        if not report.rows_out["records"]:
            raise InputError(
                f"no record could be written as {form.name}",
                where=f"{version.place}, version {version.number}",
                count=sum(report.rejected.values()),
                examples=[f"{reason}: {count:,}" for reason, count in report.rejected.items()],
                next_step=f"see `fs-data formats` for what {form.name} can hold",
            )
    return report


def _records(
    writer: Writer, version: Version, config: Any, chosen: tuple[str | None, str | None], report: Report
) -> Iterator[Record]:
    rejected: Counter[str] = Counter()
    decisions: Counter[str] = Counter()
    written = 0
    for group in groups(version, *chosen):
        report.rows_in += 1
        for told in writer.write(group, config):
            if not isinstance(told, Left):
                written += 1
                yield told
            elif told.kept:
                decisions[told.reason] += 1
            else:
                rejected[told.reason] += 1
    report.kept = written
    report.rows_out = {"records": written}
    report.rejected, report.decisions = dict(rejected.most_common()), dict(decisions.most_common())


def _writer(form: Format) -> Writer:
    if form.writer is None:
        raise InputError(f"{form.name} is only read, not written", next_step="see `fs-data formats`")
    return form.writer


def _ending(path: Path) -> str:
    name = path.name.lower()
    for ending in sorted(_ENDINGS, key=len, reverse=True):
        if name.endswith(ending):
            return ending
    raise InputError(
        "this kind of file cannot be written", where=str(path), next_step=f"name a file ending in {', '.join(_ENDINGS)}"
    )


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A temporary file that takes the name of `path` at the end; gone where the work fails."""
    temp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk.explained(path), disk.possible(path):
        try:
            yield temp
            temp.replace(path)
        finally:
            temp.unlink(missing_ok=True)


def _write(path: Path, ending: str, records: Iterator[Record]) -> None:
    if ending == ".parquet":
        _write_parquet(path, records)
        return
    with gzip.open(path, "wb") if ending.endswith(".gz") else path.open("wb") as opened:
        file = cast(IO[bytes], opened)
        if ".jsonl" in ending:
            file.writelines(_json(record) + b"\n" for record in records)
        else:
            file.write(b"[")
            file.writelines((b",\n" if place else b"\n") + _json(record) for place, record in enumerate(records))
            file.write(b"\n]\n")


def _write_parquet(path: Path, records: Iterable[Record]) -> None:
    left = iter(records)
    first = list(islice(left, _BATCH))
    schema = pa.Table.from_pylist(first).schema if first else pa.schema([])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        batch = first
        while batch:
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
            batch = list(islice(left, _BATCH))


def _json(record: Record) -> bytes:
    return json.dumps(record, ensure_ascii=False, allow_nan=False).encode()
