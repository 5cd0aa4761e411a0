"""Reading a file of records one by one, whatever its size: JSON lines, one JSON list or object, Parquet; `.gz` after JSON.

    for number, record in records("math-shepherd.jsonl.gz"):     # numbers count from 1
        ...

Whether a JSON file is a list is seen at its first character; a `.json` file may also hold objects over several lines, one after
the other. Everything wrong with the file is one InputError.
"""

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fullstep_data.formats.group import Record
from fullstep_data.sources.files import locate
from schemas import InputError

MAX_RECORD = 64 << 20
"""Most bytes of one record. A line without end (a binary file, a list written as one line) must not fill the memory."""

Opened = BufferedReader | gzip.GzipFile
_BLOCK = 1 << 20
_ENDINGS = (".jsonl", ".json", ".parquet")
_ARROW_BATCH = 512
_BLANKS = " \t\r\n"
_SCAN = json.JSONDecoder().raw_decode


def records(path: str, max_record: int = MAX_RECORD) -> Iterator[tuple[int, Record]]:
    """(number, record) of a file. InputError: no such file, not what its ending says, cut off, not UTF-8, a record too long."""
    file = locate(path)
    zipped = file.suffix.lower() == ".gz"
    ending = Path(file.stem if zipped else file.name).suffix.lower()
    if ending not in _ENDINGS or (zipped and ending == ".parquet"):
        raise InputError(
            "this kind of file cannot be read",
            where=path,
            next_step=f"give a file ending in {', '.join(_ENDINGS)}, .jsonl.gz or .json.gz",
        )
    try:
        if ending == ".parquet":
            yield from _parquet(file)
        else:
            with gzip.open(file, "rb") if zipped else file.open("rb") as opened:
                yield from _json(opened, path, max_record, lines=ending == ".jsonl")
    except (OSError, EOFError, pa.ArrowException, zlib.error) as error:
        cut = isinstance(error, EOFError)
        detail = (
            "the compressed file ends before its end mark" if cut else str(error).splitlines()[0] if str(error) else "damaged"
        )
        raise InputError(
            f"the file cannot be read: {detail}", where=path, next_step="check that the file is whole: copy or download it again"
        ) from error


def _parquet(file: Path) -> Iterator[tuple[int, Record]]:
    number = 0
    with pq.ParquetFile(file) as opened:
        for batch in opened.iter_batches(batch_size=_ARROW_BATCH):
            for record in batch.to_pylist():
                number += 1
                yield number, record


def _json(opened: Opened, path: str, max_record: int, lines: bool) -> Iterator[tuple[int, Record]]:
    """Records of a list, of lines, or of objects one after the other. Faults of lines are collected and told in one error."""
    head = opened.peek(_BLOCK).removeprefix(codecs.BOM_UTF8).lstrip()
    if head[:1] == b"[" or (not lines and _over_lines(head)):
        yield from _values(opened, path, max_record)
    else:
        yield from _lines(opened, path, max_record)


def _over_lines(head: bytes) -> bool:
    """Is the first object written over several lines? Then its first line is none."""
    line = head.partition(b"\n")[0].strip()
    return line[:1] == b"{" and line[-1:] != b"}" and b"\n" in head


def _lines(opened: Opened, path: str, max_record: int) -> Iterator[tuple[int, Record]]:
    encoding: list[str] = []
    syntax: list[str] = []
    number = offset = 0
    line_number = 0
    while raw := opened.readline(max_record + 1):
        line_number += 1
        if len(raw) > max_record:
            raise _too_long(path, f"line {line_number}", max_record)
        try:
            line = raw.decode("utf-8-sig" if line_number == 1 else "utf-8")
            if line.strip():
                number += 1
                yield number, _object(json.loads(line))
        except UnicodeDecodeError as error:
            encoding.append(f"line {line_number}, byte {offset + error.start} of the file (0x{raw[error.start]:02x})")
        except (ValueError, RecursionError) as error:
            told = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            syntax.append(f"line {line_number}: {told}: {_shortened(raw)}")
        offset += len(raw)
    if encoding:
        step = "save the whole file as UTF-8: lines of another encoding are mixed in"
        raise InputError("the file is not UTF-8 text", where=path, count=len(encoding), examples=encoding, next_step=step)
    if syntax:
        step = "write one JSON object per line, or the whole file as one JSON list of objects"
        what = "lines are not JSON objects" if len(syntax) > 1 else "a line is not a JSON object"
        raise InputError(what, where=path, count=len(syntax), examples=syntax, next_step=step)
    if not number:
        raise _empty(path)


def _values(opened: Opened, path: str, max_record: int) -> Iterator[tuple[int, Record]]:
    """The objects of one JSON list, or objects one after the other, each decoded as soon as it is whole."""
    buffer, number = _Buffer(opened, path, max_record), 0
    listed = buffer.skip(_BLANKS) == "["
    buffer.place += listed
    between, end = (f"{_BLANKS},", "]") if listed else (_BLANKS, "")
    while buffer.skip(between, may_end=not listed) != end:
        number += 1
        try:
            yield number, _object(buffer.value(number))
        except ValueError as error:
            raise InputError(str(error), where=f"{path}, record {number}", next_step="write a list of objects") from error
    if not number:
        raise _empty(path)
    buffer.place += listed
    if buffer.skip(_BLANKS, may_end=True):
        step = "write one list of objects, or one object per line"
        raise InputError("the file goes on after its JSON list", where=f"{path}, after record {number}", next_step=step)


@dataclass
class _Buffer:
    """The part of a JSON text that is in memory. place: the next character to look at."""

    opened: Opened
    path: str
    max_record: int
    text: str = ""
    place: int = 0
    ended: bool = False
    decoder: codecs.IncrementalDecoder = field(default_factory=codecs.getincrementaldecoder("utf-8-sig"))

    def skip(self, characters: str, may_end: bool = False) -> str:
        """Go past these characters; the one after them, or "" at the end. InputError: the text ends here and may not."""
        while True:
            while self.place < len(self.text):
                if self.text[self.place] not in characters:
                    return self.text[self.place]
                self.place += 1
            if self.ended and may_end:
                return ""
            if self.ended:
                raise self._cut("the end")
            self.more(_BLOCK)

    def value(self, number: int) -> Any:
        """The JSON value at `place`; goes past it. InputError: no JSON, cut off, or too long."""
        size = _BLOCK
        while True:
            try:
                value, self.place = _SCAN(self.text, self.place)
                return value
            except ValueError as error:
                if self.ended:
                    raise self._cut(f"record {number}") from error
                if len(self.text) - self.place > self.max_record:
                    raise _too_long(self.path, f"record {number}", self.max_record) from error
            except RecursionError as error:
                raise InputError("a record is nested too deeply", where=f"{self.path}, record {number}") from error
            self.more(size)
            size *= 2  # a long record is scanned again each time: doubling keeps that linear

    def more(self, size: int) -> None:
        """Read on; what was looked at is forgotten."""
        raw = self.opened.read(size)
        self.ended = not raw
        try:
            self.text, self.place = self.text[self.place :] + self.decoder.decode(raw, final=self.ended), 0
        except UnicodeDecodeError as error:
            step = "save the whole file as UTF-8"
            found = f"byte 0x{error.object[error.start]:02x}"
            raise InputError("the file is not UTF-8 text", where=self.path, examples=[found], next_step=step) from error

    def _cut(self, where: str) -> InputError:
        step = "check that the file is whole and valid JSON: copy or download it again"
        return InputError("the JSON is cut off or not valid", where=f"{self.path}, {where}", next_step=step)


def _object(value: Any) -> Record:
    if not isinstance(value, dict):
        raise ValueError(f"an object is wanted, found {type(value).__name__}")
    return value


def _too_long(path: str, where: str, limit: int) -> InputError:
    return InputError(
        f"a record is longer than {limit >> 20} MiB",
        where=f"{path}, {where}",
        next_step="check that this is a file of records, one JSON object per line; leave that one out if it is",
    )


def _empty(path: str) -> InputError:
    return InputError("the file holds no records", where=path, next_step="give a file with at least one record")


def _shortened(raw: bytes) -> str:
    line = raw[:200].decode("utf-8", "replace").strip()
    return line if len(line) <= 80 else line[:77] + "…"
