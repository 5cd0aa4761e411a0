"""A dataset folder, on disk or in a bucket: versions to read, parts and models to add, versions to commit.

store = Store.create(Path("dataset"))
with store.locked():
    part = store.write_part(TABLES["steps"], key, outcome_rows, ...)
    version = store.commit(manifest, run_record)

open_version("dataset@v1")      # what a user types: folder, then optionally @ and a number, a tag or a day (`names`)
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from fullstep_data.store import disk
from fullstep_data.store.compact import Restorer
from fullstep_data.store.flight import FOLDER, in_flight
from fullstep_data.store.ledger import Ledger
from fullstep_data.store.lock import build_lock
from fullstep_data.store.manifest import Manifest, ModelFile, Part, RejectFile, Slice
from fullstep_data.store.names import parse_spec, resolve
from fullstep_data.store.parquet import Note, decode, encode, read_note
from fullstep_data.store.runs import read_run
from fullstep_data.store.storage import PROOF, SCHEMES, Sizes, shown, storage_of
from fullstep_data.store.tags import add_tag, read_tags, remove_tag
from fullstep_data.store.version import StoredFile, Version, fetched, model_files, model_path, part_path, reject_file, reject_path
from fullstep_data.store.views import views_file
from schemas import TABLES, InputError, Table

_OURS = frozenset(("versions", "runs", "parts", "models", "tags", "views.sql", "build.lock", PROOF, FOLDER))
MODEL_REJECTS = "rejects.parquet"
"""The file in a model's folder that says what it was not trained on, as the table `rejects`."""
_NUMBER = re.compile(r"(\d+)\.json")


def open_version(text: str) -> Version:
    """The version that a user names (see `parse_spec`); the latest by default."""
    path, version = parse_spec(text)
    return Store.open(path).version(version)


class Store:
    """The dataset in folder `path`, or in the bucket for which that path stands. Use `open` to read and `create` to build."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.storage = storage_of(path)
        self._lock_depth = 0
        self._ledger: Ledger | None = None
        self._restorer: Restorer | None = None
        self._sizes = Sizes(self.storage)

    @classmethod
    def open(cls, path: Path) -> "Store":
        """An existing dataset. InputError: there is none."""
        store = cls(path)
        if not store.storage.is_dataset(path):
            there = bool(store.storage.names(path)) if store.storage.far else path.exists()
            missing = "there is nothing at this address" if store.storage.far else "no such folder"
            what = "this is not a dataset folder: it has no `versions`" if there else missing
            raise InputError(what, where=store.place, next_step="name one that `fs-data build … --out` has made")
        return store

    @classmethod
    def create(cls, path: Path) -> "Store":
        """A dataset to build into, new or existing. InputError: a file, or a folder that holds other things."""
        if path.parts[:1] == ("hf:",):
            step = "name a folder; `fs-data push DIR OWNER/NAME --tag v1` publishes what is in it"
            raise InputError("the output is a folder, and this is an address on the Hub", where=str(path), next_step=step)
        if path.parts[:1] in {(f"{scheme}:",) for scheme in SCHEMES}:
            raise InputError(
                "the output is a folder here, and this is an address in a bucket", where=str(path), next_step="name a folder"
            )
        store = cls(path)
        with disk.explained(path), disk.possible(path):
            if not store.storage.far and path.exists() and not path.is_dir():
                raise InputError(what="the output is a file, not a folder", where=str(path), next_step="name another folder")
            names = store.storage.names(path)
        foreign = sorted(name for name in names if name not in _OURS)
        if foreign and "versions" not in names:
            raise InputError(
                what="the folder holds other files and is not a dataset",
                where=store.place,
                count=len(foreign),
                examples=foreign,
                next_step="name an empty or a new folder",
            )
        store.storage.begin(path)
        return store

    @property
    def place(self) -> str:
        """What the user calls the dataset."""
        return shown(self.path)

    @contextmanager
    def locked(self, clearing: timedelta | None = None) -> Iterator[None]:
        """Hold the folder for building (this object may nest it). InputError: another build holds it.

        Of a dataset in a bucket this machine's cache is held, and other machines see that somebody is at work. clearing: what is
        older than this and not needed will be removed.
        """
        if self._lock_depth == 0:
            if self.storage.far:
                disk.make_folder(self.path)
            seen = in_flight(self.path, clearing) if self.storage.far else nullcontext()
            with build_lock(self.path / "build.lock"), seen:
                self._clear_temp_files()
                self._forget()
                with self._deeper():
                    yield
        else:
            with self._deeper():
                yield

    # Versions

    def numbers(self) -> list[int]:
        """The numbers of all versions, ascending."""
        found = map(_NUMBER.fullmatch, self.storage.names(self.path / "versions"))
        return sorted(int(name[1]) for name in found if name)

    def tags(self) -> dict[str, int]:
        """Version number by tag."""
        return read_tags(self.path)

    def version(self, spec: str | int | None = None) -> Version:
        """A version by number, tag or day, the latest by default. InputError: there is none, with those near it."""
        numbers = self.numbers()
        if not numbers:
            raise InputError(
                what="no version of this dataset is finished yet",
                where=self.place,
                next_step="wait for its build, or run it again: it goes on where it stopped",
            )
        if spec is None:
            return self._read(numbers[-1])
        return self._read(resolve(str(spec), numbers, self.tags(), self._created, self.path))

    def manifest_path(self, number: int) -> Path:
        return self.path / "versions" / f"{number:06d}.json"

    def marker_path(self, number: int) -> Path:
        """A file that says of a version that parts are merged in it, so that others need not be opened to look for them."""
        return self.path / "versions" / f"{number:06d}.compacted"

    def run_path(self, number: int) -> Path:
        return self.path / "runs" / f"{number:06d}.json"

    def tag(self, name: str, number: int) -> None:
        """Name a version. InputError: there is no such version, not a name, or it names another version already."""
        self.version(number)
        add_tag(self.path, name, number)

    def untag(self, name: str) -> int:
        """Take a tag away, and give the number of the version that it named, which stays. InputError: there is no such tag."""
        return remove_tag(self.path, name)

    def commit(self, draft: Manifest, run: Mapping[str, Any]) -> Version:
        """Make the draft the next version, or return the latest one where that says the same.

        run: how it was made, for runs/N.json; kept only for a version that has no such record yet.
        """
        while True:
            numbers = self.numbers()
            latest = self._read(numbers[-1]).manifest if numbers else None
            if latest is not None and not draft.compacted and latest.same_content(draft):
                manifest = latest
                break
            manifest = draft.model_copy(update={"number": numbers[-1] + 1 if numbers else 1})
            try:
                self.storage.create(self.manifest_path(manifest.number), manifest.content())
                break
            except FileExistsError:
                continue  # a rival on another machine, where the lock does not reach, took the number
        self._forget()
        version = Version(self.path, manifest)
        self._write_views(version)
        if self.storage.size(self.run_path(version.number)) is None:
            record = json.dumps({"number": version.number, **run}, ensure_ascii=False, indent=1) + "\n"
            self.storage.replace(self.run_path(version.number), record.encode("utf-8"))
        return version

    def _write_views(self, latest: Version) -> None:
        """views.sql of the latest version; of a rival's where that came while this one was written."""
        while True:
            content = views_file(latest)
            if not self._holds(self.path / "views.sql", content):
                self.storage.replace(self.path / "views.sql", content)
            if not self.storage.far or (number := self.numbers()[-1]) <= latest.number:
                return
            latest = self._read(number)

    # Parts

    def write_part(self, table: Table, key: str, frame: pl.DataFrame, rejects: pl.DataFrame, rows_in: int) -> Part:
        """Write a part: its rejects first, its rows last, so that the file of rows means the part is done.

        Where another machine made it meanwhile (in a bucket), its part is the one.
        """
        dropped = self.write_rejects(key, rejects)
        content = encode(table, frame, Note(rows_in=rows_in, rejects=dropped))
        path = part_path(self.path, table.name, key)
        try:
            self.storage.keep(path, content)
        except FileExistsError:
            return self._adopt(table.name, key)
        self._sizes.note(path, len(content))
        return _part(key, content, frame.height, rows_in, dropped)

    def write_rejects(self, key: str, rejects: pl.DataFrame) -> RejectFile | None:
        """Write the rejects of a part; None where there are none."""
        if rejects.is_empty():
            return None
        content = encode(TABLES["rejects"], rejects)
        sha256 = hashlib.sha256(content).hexdigest()
        try:
            if self.storage.far or not self._holds(reject_path(self.path, key), content):
                self.storage.keep(reject_path(self.path, key), content)
        except FileExistsError:  # another machine's, which go with rows of its own
            key = f"{key}{sha256[:8]}"
            self.storage.keep(reject_path(self.path, key), content)
        return RejectFile(
            key=key,
            rows=rejects.height,
            sha256=sha256,
            bytes=len(content),
            reasons=dict(sorted(rejects["reason"].value_counts().iter_rows())),
        )

    def find_part(self, table: str, key: str) -> Part | None:
        """A part that is done, or None. InputError: it is there, but altered.

        A part that a version lists is taken by its size (`check` and every reader verify the content); one that a killed
        build left in no version is hashed again; one whose rows lie merged in another is written anew.
        """
        path = part_path(self.path, table, key)
        size = self._sizes.of(path)
        if size is None:
            self._restorer = self._restorer or Restorer(self)
            return self._restorer.restored(table, key)
        known = self._known().part(table, key)
        if known is None:
            return self._adopt(table, key)
        StoredFile(path, known.rows, known.sha256, known.bytes).require_found(size)
        if known.rejects is not None:
            dropped = reject_file(self.path, table, key, known.rejects)
            dropped.require_found(self._sizes.of(dropped.path))
        return known

    # Models

    def begin_model(self, key: str) -> Path:
        """The folder in which a model is made; what an earlier try left there is kept, for the stage to go on from."""
        folder = model_path(self.path, f"{key}.partial")
        disk.make_folder(folder)
        return folder

    def finish_model(self, key: str) -> dict[str, ModelFile]:
        """Make the folder final; its files with their checksums."""
        folder = model_path(self.path, key)
        disk.finish_folder(model_path(self.path, f"{key}.partial"), folder)
        files = model_files(folder)
        self.storage.publish(folder, files)
        return files

    def model_rejects(self, key: str) -> RejectFile | None:
        """What a finished model was not trained on, as the stage left it in the folder; None where there is nothing."""
        file = model_path(self.path, key) / MODEL_REJECTS
        if not file.is_file():
            return None
        return self.write_rejects(key, decode(TABLES["rejects"], file.read_bytes(), where=str(file)))

    def find_model(self, key: str) -> dict[str, ModelFile] | None:
        """The files of a model that is done, or None. InputError: it is there, but altered."""
        folder = model_path(self.path, key)
        known = self._known().model(key) if self.storage.far or folder.is_dir() else None
        if not self.storage.children(folder) or not fetched(folder, known.files if known else None):
            if not folder.is_dir():
                return None
            self.storage.publish(folder, model_files(folder))  # it was finished on this machine, and the build killed then
        if known is None:
            return model_files(folder)
        for name, file in known.files.items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != file.bytes:
                raise InputError(
                    what="a file of a model is missing or was altered after it was written",
                    where=str(path),
                    next_step=f"delete the folder {folder} and run the build again: it makes the model anew",
                )
        return known.files

    def _adopt(self, table: str, key: str) -> Part:
        """A part that a killed build left, or another machine."""
        path = part_path(self.path, table, key)
        content = self.storage.read(path)
        try:
            rows, note = read_note(content)
        except ValueError as error:
            raise StoredFile(path, 0, "", 0).altered("a whole Parquet part", f"{len(content)} bytes: {error}") from error
        dropped = reject_file(self.path, table, key, note.rejects) if note.rejects else None
        rejects = dropped.content() if dropped else b""
        if self.storage.far:  # young again, so that `gc` on another machine spares what this build is about to list
            self.storage.replace(path, content)
            if dropped:
                self.storage.replace(dropped.path, rejects)
        return _part(key, content, rows, note.rows_in, note.rejects)

    def _known(self) -> Ledger:
        if self._ledger is None:
            self._ledger = Ledger(self._read(number).manifest for number in reversed(self.numbers()))
        return self._ledger

    def _read(self, number: int) -> Version:
        path = self.manifest_path(number)
        return Version(self.path, Manifest.parse(self.storage.read(path), where=shown(path), number=number))

    def _holds(self, path: Path, content: bytes) -> bool:
        try:
            return self.storage.read(path) == content
        except FileNotFoundError:
            return False

    def _forget(self) -> None:
        """Others may have changed the dataset: it is asked anew."""
        self._ledger = self._restorer = None
        self._sizes = Sizes(self.storage)

    def _clear_temp_files(self) -> None:
        folders = [self.path, *(self.path / name for name in ("versions", "runs", "tags", "models")), *self.path.glob("parts/*")]
        for folder in folders:
            disk.sweep(folder)

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        self._lock_depth += 1
        try:
            yield
        finally:
            self._lock_depth -= 1

    def _created(self, number: int) -> str | None:
        run = read_run(self.run_path(number))
        return run["created"] if run else None


def _part(key: str, content: bytes, rows: int, rows_in: int, rejects: RejectFile | None) -> Part:
    """The record of a part; the runner adds slice and parents, which only it knows."""
    return Part(
        key=key,
        slice=Slice(),
        rows=rows,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        parents=(),
        rows_in=rows_in,
        rejects=rejects,
    )
