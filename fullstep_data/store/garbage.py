"""What a dataset folder holds that no version needs, and taking it away.

    found = garbage(store, keep=2)      # looks only
    collect(store, keep=2)              # takes the build lock, looks again, removes

Of no version: parts, rejects and models that no kept version lists (left by a killed build, or by versions given up), half-made
models and temp files. Files younger than `min_age` stay, whoever they belong to: a build on another machine, where the lock does
not reach, may be about to list them. Versions stay unless `keep` gives the older ones up; those with a tag always stay.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from fullstep_data.store import disk
from fullstep_data.store.folder import Store
from fullstep_data.store.manifest import Manifest
from fullstep_data.store.version import model_path, part_path, reject_path

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Piece:
    """A file or folder that no kept version needs. kind: a table, `models`, `half-made models` or `temp files`."""

    kind: str
    path: Path
    bytes: int
    young: bool


@dataclass(frozen=True)
class Garbage:
    """versions: those to be given up. pieces: what may be removed; those that are young are spared."""

    versions: tuple[int, ...]
    pieces: tuple[Piece, ...]

    @property
    def removed(self) -> tuple[Piece, ...]:
        return tuple(piece for piece in self.pieces if not piece.young)

    @property
    def spared(self) -> tuple[Piece, ...]:
        return tuple(piece for piece in self.pieces if piece.young)


def garbage(store: Store, keep: int | None = None, min_age: timedelta = DAY) -> Garbage:
    """What `collect` would remove now. keep: how many of the newest versions stay beside those with a tag; None: all."""
    numbers = store.numbers()
    tagged = set(store.tags().values())
    given_up = () if keep is None else tuple(number for number in numbers[: max(len(numbers) - keep, 0)] if number not in tagged)
    kept = [store.version(number).manifest for number in numbers if number not in given_up]
    latest = time.time() - min_age.total_seconds()
    pieces = (Piece(kind, path, _size(path), _changed(path) > latest) for kind, path in _unneeded(store.path, kept))
    return Garbage(given_up, tuple(pieces))


def collect(store: Store, keep: int | None = None, min_age: timedelta = DAY) -> Garbage:
    """Remove it and say what that was. InputError: a build is running in the folder.

    Manifests go first: whatever is cut short, no version is left that lists a part which is gone.
    """
    with store.locked():
        found = garbage(store, keep, min_age)
        for number in found.versions:
            disk.remove(store.manifest_path(number))
            disk.remove(store.run_path(number))
            disk.remove(store.marker_path(number))
        for piece in found.removed:
            disk.remove(piece.path)
    return found


def _unneeded(root: Path, kept: Sequence[Manifest]) -> Iterator[tuple[str, Path]]:
    """Everything under parts/ and models/ that no kept manifest names, with its kind."""
    needed = set(_needed(root, kept))
    for path in sorted(root.glob("parts/*/*")):
        if path not in needed:
            yield ("temp files" if path.name.startswith(".") else path.parent.name), path
    for path in sorted(root.glob("models/*")):
        if path not in needed:
            yield ("temp files" if path.name.startswith(".") else "half-made models" if path.suffix else "models"), path


def _needed(root: Path, kept: Iterable[Manifest]) -> Iterator[Path]:
    for manifest in kept:
        for name, table in manifest.tables.items():
            for part in table.parts:
                yield part_path(root, name, part.key)
                if part.rejects is not None:
                    yield reject_path(root, part.rejects.key)
        for model in manifest.models.values():
            yield model_path(root, model.key)
            if model.rejects is not None:
                yield reject_path(root, model.rejects.key)


def _files(path: Path) -> list[Path]:
    return [inner for inner in path.rglob("*") if inner.is_file()] if path.is_dir() else [path]


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in _files(path))


def _changed(path: Path) -> float:
    """When a file, or anything in a folder, was last written."""
    return max([path.stat().st_mtime, *(file.stat().st_mtime for file in _files(path))])
