"""Rows of a table on disk as they come, read back by chunks of problems in order: any number of rows, in the memory of a piece.

    spill = Spill(TABLES["steps"], folder)
    spill.write(rows)                       # dictionaries, each with the number of its problem
    for chunk, frame in spill.parts(): ...

Each file is sorted by problem, so what a piece reads of it are a few row groups. (A database's sort on disk is not enough: DuckDB
2.0 cannot sort 1 GB of rows of 12 kB in 600 MB.)
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from schemas.table import Table

NUMBER = "_problem"
"""The column with the position of a row's problem among all problems."""

PROBLEMS_PER_PART = 256
PIECE_BYTES = 100_000_000
"""Rows that are sorted at a time; more only where one chunk has more."""
_GROUP_BYTES = 500_000


class Spill:
    """Files of one table in `folder`."""

    def __init__(self, table: Table, folder: Path) -> None:
        self._table, self._folder = table, folder
        self._files: list[tuple[Path, int, int]] = []  # with their first and last chunk
        self._bytes: Counter[int] = Counter()  # by chunk

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Add rows, with all columns of the table and NUMBER."""
        schema = {NUMBER: pl.Int64, **self._table.polars_schema}
        frame = pl.DataFrame(rows, schema=schema, strict=True).sort(NUMBER, maintain_order=True)
        size = frame.estimated_size() / frame.height
        path = self._folder / f"{self._table.name}-{len(self._files)}.parquet"
        frame.write_parquet(path, compression="zstd", compression_level=1, row_group_size=max(1, int(_GROUP_BYTES / size)))
        chunks = Counter((frame[NUMBER] // PROBLEMS_PER_PART).to_list())
        self._bytes.update({chunk: int(rows * size) for chunk, rows in chunks.items()})
        self._files.append((path, min(chunks), max(chunks)))

    def parts(self) -> Iterator[tuple[int, pl.DataFrame]]:
        """(chunk, its rows without NUMBER, sorted by problem and key) in the order of chunks; rows of equal keys as they came."""
        for first, last in self._pieces():
            files = [path for path, low, high in self._files if low <= last and high >= first]
            wanted = pl.col(NUMBER).is_between(first * PROBLEMS_PER_PART, (last + 1) * PROBLEMS_PER_PART - 1)
            rows = pl.scan_parquet(files).filter(wanted).collect().with_columns(pl.col(NUMBER) // PROBLEMS_PER_PART)
            rows = rows.sort(NUMBER, "problem_id", *self._table.key, maintain_order=True)
            for (chunk,), part in rows.group_by(NUMBER, maintain_order=True):
                yield int(str(chunk)), part.drop(NUMBER)

    def _pieces(self) -> Iterator[tuple[int, int]]:
        """First and last chunk of what is read at a time."""
        piece: list[int] = []
        size = 0
        for chunk in sorted(self._bytes):
            if piece and size + self._bytes[chunk] > PIECE_BYTES:
                yield piece[0], piece[-1]
                piece, size = [], 0
            piece.append(chunk)
            size += self._bytes[chunk]
        if piece:
            yield piece[0], piece[-1]
