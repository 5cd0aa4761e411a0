"""One version of a dataset, opened for reading: its tables, their files, its models. It never changes.

version.frame("steps")             # polars DataFrame, every file's checksum verified
version.files("steps")             # exactly its Parquet files, for DuckDB or `datasets`
version.tables["steps"].counts     # rows in, kept, rejected by reason
version.model("prm")               # folder of a model
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from fullstep_data.store.disk import sha256_of
from fullstep_data.store.manifest import Manifest, ModelFile, Part, RejectFile, TableRecord
from fullstep_data.store.parquet import decode
from fullstep_data.store.storage import shown, storage_of
from schemas import TABLES, InputError

_AT_ONCE = 16
_REMAKE = "run the build of this version again: it makes the part anew (`fs-data check` finds every such file)"


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
            content = storage_of(self.path).content(self.path, self.sha256)
        except FileNotFoundError as error:
            raise self.missing() from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise self.altered(f"sha256 {self.sha256}", f"sha256 {found}")
        return content

    def require_size(self) -> None:
        """InputError where the file is missing or has another size: finds truncation at the cost of one stat."""
        self.require_found(storage_of(self.path).size(self.path))

    def require_found(self, size: int | None) -> None:
        """The same, where the size is known (None: it is not there)."""
        if size is None:
            raise self.missing()
        if size != self.size:
            raise self.altered(f"{self.size} bytes", f"{size} bytes")

    def fetch(self) -> None:
        """See that the file is on this machine, for those who read it by its path. InputError: missing or altered."""
        storage = storage_of(self.path)
        if storage.far:
            try:
                storage.fetch(self.path, self.sha256, self.size)
            except FileNotFoundError as error:
                raise self.missing() from error
            except ValueError as error:
                raise self.altered(f"sha256 {self.sha256}", str(error)) from error

    def missing(self) -> InputError:
        there = self.part is not None and storage_of(self.part).size(self.part) is not None
        step = f"delete {shown(self.part)}; {_REMAKE}" if self.part and there else _REMAKE
        return InputError(what="a part of the dataset is missing", where=shown(self.path), next_step=step)

    def altered(self, expected: str, found: str) -> InputError:
        """The error for a file that is not what was written."""
        return InputError(
            what="a part of the dataset was truncated or altered after it was written",
            where=shown(self.path),
            count=1,
            examples=[f"expected {expected}", f"found {found}"],
            next_step=f"delete {shown(self.part) if self.part else 'this file'}; {_REMAKE}",
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
        fetch(self.stored)
        for file in self.stored:
            yield decode(TABLES[self.name], file.content(), where=shown(file.path))

    def frame(self) -> pl.DataFrame:
        """All rows at once."""
        frames = list(self.frames())
        return pl.concat(frames) if frames else TABLES[self.name].empty()


class Version:
    """A version of the dataset in folder `path`. Of a dataset in a bucket that is its place in the cache (`store.storage`)."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @property
    def place(self) -> str:
        """What the user calls the dataset."""
        return shown(self.path)

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
                where=self.place,
                next_step=f"its tables: {', '.join(self.tables)}",
            )
        return self.tables[name]

    def frame(self, name: str) -> pl.DataFrame:
        """All rows of a table, verified, with the contract's types."""
        return self.table(name).frame()

    def files(self, name: str) -> list[Path]:
        """The paths of the Parquet files of a table, in order of problem chunk and sample block; see `fetch`."""
        return [file.path for file in self.table(name).stored]

    def model(self, stage: str) -> Path:
        """The folder of the model that a stage made, on this machine. InputError: there is none, or a file of it was altered."""
        folder = self.model_folder(stage)
        fetched(folder, self.manifest.models[stage].files)
        return folder

    def model_file(self, stage: str, name: str) -> bytes | None:
        """A file of the model, without fetching the others; None where the model has no such file."""
        folder, files = self.model_folder(stage), self.manifest.models[stage].files
        storage = storage_of(folder)
        try:
            return storage.read(storage.placed(folder, name, files[name].sha256 if name in files else ""))
        except FileNotFoundError:
            return None

    def model_folder(self, stage: str) -> Path:
        """Where the model is. InputError: there is none."""
        if stage not in self.manifest.models:
            raise InputError(
                what=f"version {self.number} has no model {stage}",
                where=self.place,
                next_step=f"its models: {', '.join(self.manifest.models) or 'none'}",
            )
        return model_path(self.path, self.manifest.models[stage].key)

    def _table(self, name: str, record: TableRecord) -> TableVersion:
        stored = (StoredFile(part_path(self.path, name, part.key), part.rows, part.sha256, part.bytes) for part in record.parts)
        return TableVersion(name, tuple(stored), record)


def fetch(files: Sequence[StoredFile]) -> None:
    """See that files are on this machine, many at a time. InputError: one is missing or was altered."""
    if files and storage_of(files[0].path).far:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(StoredFile.fetch, files))


def model_files(folder: Path) -> dict[str, ModelFile]:
    """Every file of a model folder on this machine with its checksum, by path inside the folder."""
    return {
        path.relative_to(folder).as_posix(): ModelFile(sha256=sha256_of(path), bytes=path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def fetched(folder: Path, files: Mapping[str, ModelFile] | None = None) -> bool:
    """Is a finished model there? If so it is on this machine now, as its files are listed. InputError: a file was altered."""
    try:
        return storage_of(folder).fetch_folder(folder, files)
    except (FileNotFoundError, ValueError) as error:
        raise InputError(
            what=f"a file of a model is missing or was altered after it was written: {error}",
            where=shown(folder),
            next_step="delete what is there of the model and run the build again: it makes the model anew",
        ) from error


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
