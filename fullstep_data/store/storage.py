"""Where the files of a dataset are: on this machine's disk, or objects in a bucket.

    path = path_of("s3://bucket/sums")                      # <cache>/objects/s3/bucket/sums
    storage_of(path).read(path / "versions" / "000001.json")
    shown(path)                                             # s3://bucket/sums

Whoever uses the store knows paths only. The path of an object is its place in this machine's cache, where it is kept once it was
read; what is in the bucket, `storage_of` asks the bucket. So one store serves both, and every reader of files works on either.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from fullstep_data.store import disk
from schemas import InputError

SCHEMES = ("s3", "gs")
"""Amazon S3 and whatever speaks like it; Google Cloud Storage."""
PROOF = "conditional-put"
"""An object of every dataset in a bucket: its second PUT was refused, so those of versions will be."""
LIST = ".json"
"""models/<key>.json lists the files of a model in a bucket."""
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Entry:
    """A file, or a folder with all that is in it. modified: the latest change, in seconds since 1970."""

    path: Path
    bytes: int
    modified: float


class Sums(Protocol):
    """What a manifest says of a file of a model."""

    @property
    def sha256(self) -> str: ...
    @property
    def bytes(self) -> int: ...


class Storage(Protocol):
    """What the store asks of the place where its files are. A file stands whole under its name or is not there."""

    far: bool
    """Is each call a request to another machine? Then folders are asked for as a whole, and there is no lock on them."""

    def is_dataset(self, folder: Path) -> bool:
        """Has a dataset been begun there?"""
        ...

    def read(self, path: Path) -> bytes:
        """The content of a file, as it is now. FileNotFoundError."""
        ...

    def size(self, path: Path) -> int | None:
        """In bytes; None where there is no such file."""
        ...

    def names(self, folder: Path) -> list[str]:
        """Of the files and folders directly in a folder; none where it is not there."""
        ...

    def children(self, folder: Path) -> list[Entry]:
        """The files and folders directly in a folder, sorted by path."""
        ...

    def replace(self, path: Path, content: bytes) -> None:
        """Write a file, taking the place of one that is there."""
        ...

    def create(self, path: Path, content: bytes) -> None:
        """Write a file that must not be there yet. FileExistsError: a rival wrote it first."""
        ...

    def keep(self, path: Path, content: bytes) -> None:
        """Write a file that is never changed again. FileExistsError: a machine that no lock keeps out wrote another there."""
        ...

    def remove(self, path: Path) -> None:
        """Take a file or a folder away; one that is gone already is no error."""
        ...

    def content(self, path: Path, sha256: str) -> bytes:
        """The content of a file that never changes; the caller verifies it. FileNotFoundError."""
        ...

    def fetch(self, path: Path, sha256: str, size: int) -> None:
        """See that a file that never changes is on this machine. FileNotFoundError; ValueError: it is another file."""
        ...

    def fetch_folder(self, folder: Path, files: Mapping[str, Sums] | None = None) -> bool:
        """See that a finished model is on this machine; False where there is none. files: as a manifest lists them."""
        ...

    def placed(self, folder: Path, name: str, sha256: str) -> Path:
        """Where a file of a finished model is."""
        ...

    def sha256(self, path: Path) -> str:
        """Of the content of a file, as it is now. FileNotFoundError."""
        ...

    def publish(self, folder: Path, files: Mapping[str, Sums]) -> None:
        """Put a finished folder of this machine where the dataset is."""
        ...

    def begin(self, folder: Path) -> None:
        """See that a dataset can be written there. InputError: it cannot."""
        ...


class Disk:
    """Folders of this machine: `store.disk`. Nothing has to be fetched."""

    far = False

    def is_dataset(self, folder: Path) -> bool:
        with disk.possible(folder):
            return (folder / "versions").is_dir()

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def size(self, path: Path) -> int | None:
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return None

    def names(self, folder: Path) -> list[str]:
        try:
            return [path.name for path in folder.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def children(self, folder: Path) -> list[Entry]:
        return [_entry(folder / name) for name in sorted(self.names(folder))]

    def replace(self, path: Path, content: bytes) -> None:
        _make_parent(path)
        disk.replace(path, content)

    def create(self, path: Path, content: bytes) -> None:
        _make_parent(path)
        disk.create(path, content)

    def keep(self, path: Path, content: bytes) -> None:
        self.replace(path, content)

    def remove(self, path: Path) -> None:
        disk.remove(path)

    def content(self, path: Path, sha256: str) -> bytes:
        return path.read_bytes()

    def fetch(self, path: Path, sha256: str, size: int) -> None: ...

    def fetch_folder(self, folder: Path, files: Mapping[str, Sums] | None = None) -> bool:
        return folder.is_dir()

    def placed(self, folder: Path, name: str, sha256: str) -> Path:
        return folder / name

    def sha256(self, path: Path) -> str:
        return disk.sha256_of(path)

    def publish(self, folder: Path, files: Mapping[str, Sums]) -> None: ...

    def begin(self, folder: Path) -> None:
        disk.make_folder(folder)  # first, so that an error names what the user typed
        disk.make_folder(folder / "versions")


class Sizes:
    """Of parts, for one who asks for many: a bucket is asked once for a whole folder."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._known: dict[Path, dict[Path, int]] = {}

    def of(self, path: Path) -> int | None:
        """The size of a file; None where it is not there."""
        if not self._storage.far:
            return self._storage.size(path)
        if path.parent not in self._known:
            self._known[path.parent] = {entry.path: entry.bytes for entry in self._storage.children(path.parent)}
        return self._known[path.parent].get(path)

    def note(self, path: Path, size: int) -> None:
        """It has been written."""
        if path.parent in self._known:
            self._known[path.parent][path] = size


DISK = Disk()


def cache_folder() -> Path:
    """What may be deleted at any time: $FULLSTEP_CACHE, or ~/.cache/fullstep."""
    return Path(os.environ.get("FULLSTEP_CACHE") or Path.home() / ".cache" / "fullstep")


def is_bucket(text: str) -> bool:
    """Is it the address of objects in a bucket?"""
    found = _ADDRESS.fullmatch(text)
    return found is not None and found[1] in SCHEMES


def path_of(text: str) -> Path:
    """The path of what a user names: an address in a bucket, or a path. InputError: another address, or no bucket is named."""
    found = _ADDRESS.fullmatch(text)
    if found is None or found[1] == "hf":
        return Path(text)
    scheme, (bucket, *prefix) = found[1], found[2].rstrip("/").split("/")
    if scheme not in SCHEMES:
        known = " and ".join(f"{one}://BUCKET/PREFIX" for one in SCHEMES)
        raise InputError(
            f"addresses that begin with {scheme}:// are not known", next_step=f"name a folder, or an address: {known}"
        )
    if not _BUCKET.fullmatch(bucket) or any(part in ("", ".", "..") for part in prefix):
        raise InputError(  # what was typed is not shown: some write keys before the bucket
            f"this is no address of objects: {scheme}://BUCKET/PREFIX",
            next_step="name bucket and prefix only; keys are taken from the environment (AWS_ACCESS_KEY_ID, AWS_PROFILE, "
            "GOOGLE_APPLICATION_CREDENTIALS)",
        )
    return Path(_objects(), scheme, bucket, *prefix)


def shown(path: Path) -> str:
    """What a user calls a path: an address for what is in a bucket."""
    place = _in_bucket(path)
    return str(path) if place is None else f"{place[0]}://{place[1]}"


def storage_of(path: Path) -> Storage:
    """Who keeps a file. InputError: it is in a bucket, and the package for that is not installed."""
    place = _in_bucket(path)
    if place is None:
        return DISK
    scheme, rest = place
    return _bucket(_objects(), scheme, rest.split("/", 1)[0])


def _objects() -> str:
    return _below_cache(os.environ.get("FULLSTEP_CACHE"), os.environ.get("HOME"))


@lru_cache(maxsize=8)
def _below_cache(cache: str | None, home: str | None) -> str:
    """Of these variables, so that it is worked out once and not for every part."""
    return str(cache_folder().absolute() / "objects")


def _in_bucket(path: Path) -> tuple[str, str] | None:
    """Scheme, and bucket with key, of a path in the cache of objects."""
    text, root = str(path), _objects()
    if not text.startswith(root + os.sep):
        return None
    scheme, _, rest = text[len(root) + 1 :].partition(os.sep)
    return (scheme, rest) if rest else None


@lru_cache(maxsize=8)
def _bucket(root: str, scheme: str, name: str) -> Storage:
    from fullstep_data.store.bucket import Bucket  # its client is an extra

    return Bucket(Path(root, scheme, name), scheme, name)


def _make_parent(path: Path) -> None:
    if not path.parent.is_dir():
        disk.make_folder(path.parent)


def _entry(path: Path) -> Entry:
    stat = path.stat()
    if not path.is_dir():
        return Entry(path, stat.st_size, stat.st_mtime)
    stats = [inner.stat() for inner in path.rglob("*") if inner.is_file()]
    return Entry(path, sum(one.st_size for one in stats), max([stat.st_mtime, *(one.st_mtime for one in stats)]))
