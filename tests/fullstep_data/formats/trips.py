"""What the tests of formats share: records into a dataset, a dataset into records, the golden files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fullstep_data.check import check
from fullstep_data.formats import FORMATS
from fullstep_data.formats.exporting import export
from fullstep_data.formats.group import Report
from fullstep_data.formats.importing import import_files
from fullstep_data.pipeline import PIPELINE
from fullstep_data.store import Version

GOLDEN = Path(__file__).parents[2] / "golden" / "formats"


def write(path: Path, records: Sequence[Any]) -> str:
    """The records as JSON lines; the path as text."""
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return str(path)


def import_records(name: str, records: Sequence[Any], folder: Path, **options: Any) -> tuple[Version, Report]:
    """A dataset out of records, checked whole; every record is accounted for."""
    file = write(folder / f"{name}.jsonl", records)
    version, report = import_files(FORMATS[name], [file], folder / "dataset", options, formats=tuple(FORMATS.values()))
    assert check(version, PIPELINE) == []
    assert report.rows_in == len(records) == report.kept + sum(report.rejected.values())
    return version, report


def export_records(name: str, version: Version, folder: Path, **options: Any) -> tuple[list[dict[str, Any]], Report]:
    """The records of a dataset in a format."""
    path = folder / f"{name}-out.jsonl"
    report = export(FORMATS[name], version, path, options)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()], report


def golden(name: str) -> list[dict[str, Any]]:
    """The golden records of a format, written by us in its public schema."""
    return [json.loads(line) for line in (GOLDEN / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def same(left: Sequence[dict[str, Any]], right: Sequence[dict[str, Any]]) -> bool:
    """Equal records in any order."""
    return sorted(json.dumps(row, sort_keys=True) for row in left) == sorted(json.dumps(row, sort_keys=True) for row in right)
