"""One version of a dataset, opened for reading: its tables, their files, its models. It never changes.

version.frame("steps")             # polars DataFrame, every file's checksum verified
version.files("steps")             # exactly its Parquet files, for DuckDB or `datasets`
version.tables["steps"].counts     # rows in, kept, rejected by reason
version.model("prm")               # folder of a model
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from fullstep_data.store.manifest import Manifest, Part, RejectFile, TableRecord
from fullstep_data.store.parquet import decode
from schemas import TABLES, InputError

_REMAKE = "run the build again: it makes the part anew (`fs-data check` finds every such file)"


@dataclass(frozen=True)
class StoredFile:
    """A Parquet file of a version, with what the manifest says of it.

    part: for a file of rejects, the part it belongs to: a build writes both again only when that file is gone.
    """

    path: Path
    rows: int
    sha256: str
    size: int
    part: Path | None = None

    def content(self) -> bytes:
        """Its bytes, verified. InputError: missing, truncated or altered."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError as error:
            raise self.missing() from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise self.altered(f"sha256 {self.sha256}", f"sha256 {found}")
        return content

    def require_size(self) -> None:
        """InputError where the file is missing or has another size: finds truncation at the cost of one stat."""
        if not self.path.exists():
            raise self.missing()
        if (found := self.path.stat().st_size) != self.size:
            raise self.altered(f"{self.size} bytes", f"{found} bytes")

    def missing(self) -> InputError:
        step = f"delete {self.part}; {_REMAKE}" if self.part and self.part.exists() else _REMAKE
        return InputError(what="a part of the dataset is missing", where=str(self.path), next_step=step)

    def altered(self, expected: str, found: str) -> InputError:
        """The error for a file that is not what was written."""
        return InputError(
            what="a part of the dataset was truncated or altered after it was written",
            where=str(self.path),
            count=1,
            examples=[f"expected {expected}", f"found {found}"],
            next_step=f"delete {self.part or 'this file'}; {_REMAKE}",
        )


@dataclass(frozen=True)
class TableVersion:
    """One table of a version. record is None for `rejects`, whose files belong to the parts of other tables and to models."""

    name: str
    stored: tuple[StoredFile, ...]
    record: TableRecord | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.record.parts if self.record else ()

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.stored)

    def frames(self) -> Iterator[pl.DataFrame]:
        """The rows file by file."""
        for file in self.stored:
            yield decode(TABLES[self.name], file.content(), where=str(file.path))

    def frame(self) -> pl.DataFrame:
        """All rows at once."""
        frames = list(self.frames())
        return pl.concat(frames) if frames else TABLES[self.name].empty()


class Version:
    """A version of the dataset in folder `path`."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @property
    def number(self) -> int:
        return self.manifest.number

    @cached_property
    def tables(self) -> dict[str, TableVersion]:
        """The tables in the order of the flow; `rejects` is the last."""
        tables = {name: self._table(name, record) for name, record in self.manifest.tables.items()}
        dropped = tuple(
            reject_file(self.path, name, part.key, part.rejects)
            for name, record in self.manifest.tables.items()
            for part in record.parts
            if part.rejects is not None
        )
        untrained = tuple(
            StoredFile(reject_path(self.path, found.key), found.rows, found.sha256, found.bytes)
            for found in (model.rejects for model in self.manifest.models.values())
            if found is not None
        )
        return {**tables, "rejects": TableVersion("rejects", dropped + untrained)}

    @property
    def outdated(self) -> tuple[str, ...]:
        """Tables that were written under another contract than today's."""
        written = {name: record.contract for name, record in self.manifest.tables.items()} | {"rejects": self.manifest.rejects}
        return tuple(
            name for name, contract in written.items() if name not in TABLES or contract.fingerprint != TABLES[name].fingerprint
        )

    def table(self, name: str) -> TableVersion:
        """A table of this version. InputError: it has none of that name."""
        if name not in self.tables:
            raise InputError(
                what=f"version {self.number} has no table {name}",
                where=str(self.path),
                next_step=f"its tables: {', '.join(self.tables)}",
            )
        return self.tables[name]

    def frame(self, name: str) -> pl.DataFrame:
        """All rows of a table, verified, with the contract's types."""
        return self.table(name).frame()

    def files(self, name: str) -> list[Path]:
        """The Parquet files of a table, in order of problem chunk and sample block."""
        return [file.path for file in self.table(name).stored]

    def model(self, stage: str) -> Path:
        """The folder of the model that a stage made. InputError: there is none."""
        if stage not in self.manifest.models:
            raise InputError(
                what=f"version {self.number} has no model {stage}",
                where=str(self.path),
                next_step=f"its models: {', '.join(self.manifest.models) or 'none'}",
            )
        return model_path(self.path, self.manifest.models[stage].key)

    def _table(self, name: str, record: TableRecord) -> TableVersion:
        stored = (StoredFile(part_path(self.path, name, part.key), part.rows, part.sha256, part.bytes) for part in record.parts)
        return TableVersion(name, tuple(stored), record)


def part_path(root: Path, table: str, key: str) -> Path:
    return root / "parts" / table / f"{key}.parquet"


def reject_path(root: Path, key: str) -> Path:
    return part_path(root, "rejects", key)


def reject_file(root: Path, table: str, key: str, rejects: RejectFile) -> StoredFile:
    """The file of the rejects of part `key` of `table`."""
    path = reject_path(root, rejects.key)
    return StoredFile(path, rejects.rows, rejects.sha256, rejects.bytes, part_path(root, table, key))


def model_path(root: Path, key: str) -> Path:
    return root / "models" / key
