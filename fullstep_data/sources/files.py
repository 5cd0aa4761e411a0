"""Reading a user's file into rows: JSONL, CSV or Parquet, by its ending (`.gz` after the first two).

    read_file("train.jsonl", limit=100)         ->  [Row(1, {"question": "…", "answer": "…"}), …]
    read_file("builtin:sums.jsonl", limit=None)  ->  the rows of a file in this folder

A file that is not what its ending says is one InputError with the line (and the byte) of the first five faults.
"""

import csv
import gzip
import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from schemas import InputError

BUILTIN = "builtin:"
ENDINGS = ".jsonl, .csv, .parquet, .jsonl.gz or .csv.gz"


@dataclass(frozen=True)
class Row:
    """One record of a file: its number from 1 and its values by column (CSV: text, JSONL and Parquet: typed)."""

    number: int
    values: dict[str, Any]


def read_file(path: str, limit: int | None = None) -> list[Row]:
    """The first `limit` records (all: None). A relative path is relative to the current directory."""
    file = locate(path)
    zipped = file.suffix.lower() == ".gz"
    ending = Path(file.stem if zipped else file.name).suffix.lower()
    if ending not in (".jsonl", ".csv", ".parquet") or (zipped and ending == ".parquet"):
        raise InputError("this kind of file cannot be read", where=path, next_step=f"give a file ending in {ENDINGS}")
    try:
        if ending == ".parquet":
            rows = _parquet_rows(file, limit)
        else:
            lines = _text_lines(file, path, zipped)
            found = _json_rows(lines, path, limit) if ending == ".jsonl" else _csv_rows(lines, path)
            rows = list(itertools.islice(found, limit))
    except (OSError, EOFError, pl.exceptions.PolarsError) as error:
        next_step = "check that the file can be opened and is whole"
        raise InputError(f"the file cannot be read: {_first_line(error)}", where=path, next_step=next_step) from error
    if not rows:
        raise InputError("the file holds no records", where=path, next_step="give a file with at least one record")
    return rows


def locate(path: str) -> Path:
    """The file that `path` names; InputError where there is none."""
    if path.startswith(BUILTIN):
        folder = Path(__file__).parent
        file = folder / path.removeprefix(BUILTIN)
        if file.parent != folder or not file.is_file():
            names = ", ".join(sorted(f"{BUILTIN}{found.name}" for found in folder.glob("*.jsonl")))
            raise InputError("there is no such file inside fullstep", where=path, next_step=f"the files there are: {names}")
        return file
    file = Path(path).expanduser()
    try:
        found = file.is_file()
        what = "this is a folder, not a file" if file.is_dir() else "there is no such file"
    except OSError as error:  # too long a name, or a folder on the way that may not be read
        found, what = False, f"there is no such file: {error.strerror}"
    if not found:
        next_step = f"check the path (the current directory is {Path.cwd()})"
        raise InputError(what, where=path, next_step=next_step)
    return file


def shown_name(path: str) -> str:
    """The file's name for tables: no folders, so the same file has the same name on every machine."""
    return path if path.startswith(BUILTIN) else Path(path).name


def content_hash(path: str) -> str:
    """SHA-256 of the file's bytes, in hexadecimal."""
    with locate(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parquet_rows(file: Path, limit: int | None) -> list[Row]:
    frame = pl.scan_parquet(file, glob=False)
    frame = (frame if limit is None else frame.head(limit)).collect()
    return [Row(number, values) for number, values in enumerate(frame.iter_rows(named=True), start=1)]


def _text_lines(file: Path, path: str, zipped: bool) -> Iterator[str]:
    """The lines as text, ends kept. Bytes that are no UTF-8 are collected over the whole file, then told in one error."""
    faults: list[str] = []
    offset = 0
    with gzip.open(file, "rb") if zipped else file.open("rb") as opened:
        for number, raw in enumerate(opened, start=1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                faults.append(f"line {number}, byte {offset + error.start} of the file (0x{raw[error.start]:02x})")
            else:
                if not faults:
                    yield line
            offset += len(raw)
    if faults:
        next_step = "save the file as UTF-8"
        raise InputError("the file is not UTF-8 text", where=path, count=len(faults), examples=faults, next_step=next_step)


def _json_rows(lines: Iterator[str], path: str, limit: int | None) -> Iterator[Row]:
    """JSON objects, one a line; blank lines are no records."""
    faults: list[str] = []
    found = 0
    for line_number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        found += 1
        try:
            values = json.loads(line)
            if not isinstance(values, dict):
                raise ValueError(f"an object is wanted, found {type(values).__name__}")
            yield Row(found, values)
        except (ValueError, RecursionError) as error:  # json.JSONDecodeError is a ValueError
            faults.append(f"line {line_number}: {_first_line(error)}: {_shortened(line)}")
        if found == limit:
            break
    if faults:
        what = "some lines are not JSON objects" if len(faults) > 1 else "a line is not a JSON object"
        next_step = "write one JSON object per line (a file that is one JSON list is not JSONL)"
        raise InputError(what, where=path, count=len(faults), examples=faults, next_step=next_step)


def _csv_rows(lines: Iterator[str], path: str) -> Iterator[Row]:
    """Records under the names of the header; every record must have as many fields."""
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, None)
        if header is None:
            return
        if len(set(header)) < len(header):
            raise InputError("two columns have one name", where=path, examples=[header], next_step="rename one of them")
        for number, fields in enumerate((fields for fields in reader if fields), start=1):
            if len(fields) != len(header):
                what = f"the header names {len(header)} columns, but a record has {len(fields)} fields"
                next_step = 'put fields that hold commas or line ends into double quotes ("a, b")'
                where = f"{path}, line {reader.line_num}"
                raise InputError(what, where=where, examples=[_shortened(str(fields))], next_step=next_step)
            yield Row(number, dict(zip(header, fields, strict=True)))
    except csv.Error as error:
        next_step = "check the quotes: a field that holds a double quote doubles it and stands in double quotes"
        raise InputError(f"the file is not CSV: {error}", where=f"{path}, line {reader.line_num}", next_step=next_step) from error


def _first_line(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    text = str(error).splitlines()
    return text[0] if text else type(error).__name__


def _shortened(line: str) -> str:
    line = line.strip()
    return line if len(line) <= 80 else line[:77] + "…"
