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

from fullstep_data.store.flight import killed
from fullstep_data.store.folder import Store
from fullstep_data.store.manifest import Manifest
from fullstep_data.store.storage import LIST, Entry
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
    pieces = (Piece(kind, entry.path, entry.bytes, entry.modified > latest) for kind, entry in _unneeded(store, kept))
    return Garbage(given_up, tuple(pieces))


def collect(store: Store, keep: int | None = None, min_age: timedelta = DAY) -> Garbage:
    """Remove it and say what that was. InputError: a build is running in the folder.

    Manifests go first: whatever is cut short, no version is left that lists a part which is gone.
    """
    with store.locked(clearing=min_age):
        found = garbage(store, keep, min_age)
        for number in found.versions:
            for path in (store.manifest_path(number), store.run_path(number), store.marker_path(number)):
                store.storage.remove(path)
        for piece in found.removed:
            store.storage.remove(piece.path)
    return found


def _unneeded(store: Store, kept: Sequence[Manifest]) -> Iterator[tuple[str, Entry]]:
    """Everything under parts/ and models/ that no kept manifest names, with its kind."""
    needed = set(_needed(store.path, kept))
    for table in sorted(store.storage.names(store.path / "parts")):
        for entry in store.storage.children(store.path / "parts" / table):
            if entry.path not in needed:
                yield ("temp files" if entry.path.name.startswith(".") else table), entry
    for entry in store.storage.children(store.path / "models"):
        path = entry.path.with_suffix("") if entry.path.suffix == LIST else entry.path
        if path not in needed:
            yield ("temp files" if path.name.startswith(".") else "half-made models" if path.suffix else "models"), entry
    yield from (("marks of killed builds", entry) for entry in killed(store.path))


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
