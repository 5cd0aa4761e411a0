"""Objects of a bucket as the files of a dataset: Amazon S3, whatever speaks like it, Google Cloud Storage. The extra `object`.

A PUT of an object is whole or nothing. A version gets its number by a conditional PUT (If-None-Match: *, on Google
x-goog-if-generation-match: 0), which the bucket refuses where a rival has the number; so two machines may build on one prefix.
A part is put the same way: where a rival made it first, his is taken. What was read is kept in the cache, under the path that
stands for the object, and taken from there as long as its SHA-256 is the one that the version lists.

A model is put file by file, each under its SHA-256 (models/<key>/<sha256>/<name>), then models/<key>.json, which lists the files:
without it the model is not there. A folder that was copied into a bucket as it is has the files of its models under their names.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fullstep_data.store import disk
from fullstep_data.store.bucket_client import bucket_client, fault
from fullstep_data.store.storage import LIST, PROOF, Entry, Sums
from schemas import InputError

_PROOF_SAYS = b"fullstep puts this object twice; the second must be refused, else two builds could overwrite each other\n"
_BEGUN = frozenset((PROOF, "versions", "parts", "models", "runs", "tags", "builds", "views.sql"))


@dataclass(frozen=True)
class Bucket:
    """The objects of a bucket; `root` stands for it in the cache."""

    root: Path
    scheme: str
    name: str
    far = True

    def is_dataset(self, folder: Path) -> bool:
        return not _BEGUN.isdisjoint(self.names(folder))

    def read(self, path: Path) -> bytes:
        with self._explained(path) as client:
            return bytes(client.get(self._key(path)).bytes())

    def size(self, path: Path) -> int | None:
        try:
            with self._explained(path) as client:
                return client.head(self._key(path))["size"]
        except FileNotFoundError:
            return None

    def names(self, folder: Path) -> list[str]:
        own = self._key(folder)
        with self._explained(folder) as client:
            found = client.list_with_delimiter(own or None)
        objects = [one["path"] for one in found["objects"] if one["path"] != own]  # see `_below`
        return [key.rsplit("/", 1)[-1] for key in (*found["common_prefixes"], *objects)]

    def children(self, folder: Path) -> list[Entry]:
        found: dict[Path, Entry] = {}
        for one in self._below(folder):
            child = folder / one.path.relative_to(folder).parts[0]
            known = found.get(child, Entry(child, 0, 0.0))
            found[child] = Entry(child, known.bytes + one.bytes, max(known.modified, one.modified))
        return [found[path] for path in sorted(found)]

    def replace(self, path: Path, content: bytes) -> None:
        with self._explained(path) as client:
            client.put(self._key(path), content, use_multipart=False)

    def create(self, path: Path, content: bytes) -> None:
        """An answer that is lost is asked for again, and then our own object is there: the same content is no rival's."""
        if not self._put_new(path, content) and self.read(path) != content:
            raise FileExistsError(str(path))

    def keep(self, path: Path, content: bytes) -> None:
        self.create(path, content)
        self._store(path, content)

    def remove(self, path: Path) -> None:
        """What lists a model goes first, so that no half of it can be taken for whole."""
        if path.exists():
            disk.remove(path)
        first = [_list_of(path)] if path.parent.name == "models" else []
        for one in (*first, path, *(entry.path for entry in self._below(path))):
            with suppress(FileNotFoundError), self._explained(one) as client:
                client.delete(self._key(one))

    def content(self, path: Path, sha256: str) -> bytes:
        if path.is_file() and _is(content := path.read_bytes(), sha256):
            return content
        content = self.read(path)
        if _is(content, sha256):
            self._store(path, content)
        return content

    def fetch(self, path: Path, sha256: str, size: int) -> None:
        if path.is_file() and path.stat().st_size == size:
            return
        if not _is(self.content(path, sha256), sha256):
            raise ValueError(f"sha256 is not {sha256}")

    def fetch_folder(self, folder: Path, files: Mapping[str, Sums] | None = None) -> bool:
        here = _list_of(folder).read_bytes() if folder.is_dir() and _list_of(folder).is_file() else None
        try:
            listed = _list(files) if files else self.read(_list_of(folder))
        except FileNotFoundError:
            return False
        if here is not None and (files is None or here == listed):
            return True  # made here, or fetched
        partial = folder.with_name(f".{folder.name}.{os.getpid()}.fetched.tmp")  # another name than `disk.remove` gives
        for name, file in json.loads(listed)["files"].items():
            self._fetch_file(self.placed(folder, name, file["sha256"]), partial / name, file["sha256"])
        if folder.exists():
            disk.remove(folder)
        try:
            partial.rename(folder)
        except OSError:  # another process of this machine has fetched it too
            disk.remove(partial)
        self._store(_list_of(folder), listed)
        return True

    def placed(self, folder: Path, name: str, sha256: str) -> Path:
        path = folder / sha256 / name
        return folder / name if self.size(path) is None else path

    def sha256(self, path: Path) -> str:
        digest = hashlib.sha256()
        for block in self._blocks(path):
            digest.update(block)
        return digest.hexdigest()

    def publish(self, folder: Path, files: Mapping[str, Sums]) -> None:
        """Another machine may have made another model under the same key: its files have other names, and its list stays."""
        for name, file in files.items():
            with self._explained(folder / name) as client:
                client.put(self._key(folder / file.sha256 / name), folder / name)
        try:
            self.keep(_list_of(folder), _list(files))
        except FileExistsError:
            self._store(_list_of(folder), _list(files))

    def begin(self, folder: Path) -> None:
        disk.make_folder(folder)
        proof = folder / PROOF
        if self._put_new(proof, _PROOF_SAYS) and self._put_new(proof, _PROOF_SAYS):
            self.remove(proof)
            raise InputError(
                "this object store overwrites what a conditional PUT must not (If-None-Match: *)",
                where=self._told(folder),
                next_step="two builds could overwrite each other's versions here: name a bucket of another server, or build "
                "into a folder and copy that",
            )

    # Pieces

    def _key(self, path: Path) -> str:
        if ".." in path.parts:
            raise ValueError(f"there can be no such object: {path}")
        return "" if path == self.root else path.relative_to(self.root).as_posix()

    def _told(self, path: Path) -> str:
        return f"{self.scheme}://{self.name}/{self._key(path)}".rstrip("/")

    def _put_new(self, path: Path, content: bytes) -> bool:
        """Put an object unless there is one; False where there is."""
        from obstore.exceptions import AlreadyExistsError

        with self._explained(path) as client:
            try:
                client.put(self._key(path), content, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def _below(self, folder: Path) -> Iterator[Entry]:
        """All objects below a folder, without one that stands for the folder itself (`tags/`): consoles make such."""
        own = self._key(folder)
        with self._explained(folder) as client:
            for page in client.list(own or None):
                for one in (one for one in page if one["path"] != own):
                    yield Entry(self.root / one["path"], one["size"], one["last_modified"].timestamp())

    def _store(self, path: Path, content: bytes) -> None:
        disk.make_folder(path.parent)
        disk.replace(path, content)

    def _blocks(self, path: Path) -> Iterator[bytes]:
        with self._explained(path) as client:
            yield from map(bytes, client.get(self._key(path)).stream())

    def _fetch_file(self, source: Path, target: Path, sha256: str) -> None:
        """Block by block, for a model may be larger than the memory. FileNotFoundError; ValueError: it is another file."""
        digest = hashlib.sha256()
        disk.make_folder(target.parent)
        with disk.explained(target), target.open("wb") as file:
            for block in self._blocks(source):
                digest.update(block)
                file.write(block)
        if digest.hexdigest() != sha256:
            raise ValueError(f"sha256 of {target.name} is {digest.hexdigest()}, not {sha256}")

    @contextmanager
    def _explained(self, path: Path) -> Iterator[Any]:
        """The client, whose errors become InputErrors; that an object is not there stays a FileNotFoundError."""
        client = bucket_client(self.scheme, self.name)
        from obstore.exceptions import BaseError

        try:
            yield client
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise fault(self.scheme, self._told(path), error) from None
            raise FileNotFoundError(self._told(path)) from None
        except BaseError as error:
            raise fault(self.scheme, self._told(path), error) from None


def _list_of(folder: Path) -> Path:
    """What lists the files of a finished model."""
    return folder.with_name(f"{folder.name}{LIST}")


def _list(files: Mapping[str, Sums]) -> bytes:
    listed = {name: {"sha256": file.sha256, "bytes": file.bytes} for name, file in files.items()}
    return (json.dumps({"files": listed}, indent=1) + "\n").encode("utf-8")


def _is(content: bytes, sha256: str) -> bool:
    return hashlib.sha256(content).hexdigest() == sha256
