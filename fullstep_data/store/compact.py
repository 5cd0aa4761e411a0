"""Many small parts of a table in few larger files: a new version with the same rows, which opens faster.

    version = compact(store)        # None where there is nothing to merge

What a build needs to go on is kept: each merged part remembers the parts whose rows lie in it, and where a later build asks for
one of those whose own file is gone, it is written anew from there (`Restorer`), to the same bytes. So growth costs no more than
before. A training on the new version is a new training, for its input files are others.
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from fullstep_data.store.manifest import FORMAT, Part, Slice, StageRecord
from fullstep_data.store.parquet import decode
from fullstep_data.store.storage import shown
from fullstep_data.store.version import StoredFile, Version, part_path, reject_file
from schemas import TABLES

if TYPE_CHECKING:
    from fullstep_data.store.folder import Store

MOST_BYTES = 128 << 20
"""Parts are put together up to this size: large enough to read fast, small enough to hold in memory while it is written."""


def compact(store: "Store", run: dict[str, object], most_bytes: int = MOST_BYTES) -> Version | None:
    """Merge neighbouring parts of each table and commit; None where no two fit together. run: for runs/N.json.

    InputError: another build runs, a part was altered, the disk is full. The versions that are there stay as they are.
    """
    with store.locked():
        version = store.version()
        tables = {
            name: record.model_copy(
                update={"stages": tuple(_compacted(store, name, stage, most_bytes) for stage in record.stages)}
            )
            for name, record in version.manifest.tables.items()
        }
        draft = version.manifest.model_copy(update={"tables": tables, "format": FORMAT})
        if draft.tables == version.manifest.tables:
            return None
        store.storage.replace(store.marker_path(version.number + 1), b"")  # before the version, so that none is without it
        return store.commit(draft, run)


class Restorer:
    """Writes anew the parts whose rows lie merged in another. The last merged part that was read is kept in memory, for its
    members are asked for one after the other.
    """

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._last: tuple[str, pl.DataFrame, pl.DataFrame] | None = None

    def restored(self, table: str, key: str) -> Part | None:
        """The part `key`, written anew; None where no version holds its rows merged."""
        found = self._holders.get((table, key))
        if found is None:
            return None
        holder, place = found
        rows, rejects = self._read(table, holder)
        before, member = holder.merged[:place], holder.merged[place]
        mine = rows.slice(sum(part.rows for part in before), member.rows)
        dropped = TABLES["rejects"].empty()
        if member.rejects is not None and member.rejects.key.startswith(
            member.key
        ):  # those of a source are written by the source itself
            dropped = rejects.slice(sum(part.rejects.rows for part in before if part.rejects), member.rejects.rows)
        return self._store.write_part(TABLES[table], member.key, mine, dropped, member.rows_in)

    @cached_property
    def _holders(self) -> dict[tuple[str, str], tuple[Part, int]]:
        """By table and key of a member: the newest merged part that holds it, and its place. Only marked versions are read."""
        found: dict[tuple[str, str], tuple[Part, int]] = {}
        marked = set(self._store.storage.names(self._store.path / "versions"))
        for number in reversed(self._store.numbers()):
            if self._store.marker_path(number).name in marked:
                for table, record in self._store.version(number).manifest.tables.items():
                    for part in record.parts:
                        for place, member in enumerate(part.merged):
                            found.setdefault((table, member.key), (part, place))
        return found

    def _read(self, table: str, holder: Part) -> tuple[pl.DataFrame, pl.DataFrame]:
        if self._last is None or self._last[0] != holder.key:
            self._last = holder.key, _rows(self._store, table, holder), _rejects(self._store, table, holder)
        return self._last[1:]


def _compacted(store: "Store", table: str, stage: StageRecord, most_bytes: int) -> StageRecord:
    parts = (_merged(store, table, group) if len(group) > 1 else group[0] for group in _groups(stage.parts, most_bytes))
    return stage.model_copy(update={"parts": tuple(parts)})


def _groups(parts: Sequence[Part], most_bytes: int) -> Iterator[list[Part]]:
    """Neighbours that are together no larger than `most_bytes`; a part that is larger is alone."""
    group: list[Part] = []
    for part in parts:
        if group and sum(one.bytes for one in group) + part.bytes > most_bytes:
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def _merged(store: "Store", table: str, group: Sequence[Part]) -> Part:
    """One part with the rows of all, in order, and their rejects."""
    members = tuple(member for part in group for member in part.members)
    key = hashlib.sha256("/".join(("merged", *(member.key for member in members))).encode("ascii")).hexdigest()[
        : len(group[0].key)
    ]
    rows = pl.concat([_rows(store, table, part) for part in group])
    rejects = pl.concat([_rejects(store, table, part) for part in group])
    part = store.write_part(TABLES[table], key, rows, rejects, sum(member.rows_in for member in members))
    chunks, blocks = ({getattr(member.slice, name) for member in members} for name in ("chunk", "block"))
    return part.model_copy(
        update={
            "slice": Slice(chunk=chunks.pop() if len(chunks) == 1 else None, block=blocks.pop() if len(blocks) == 1 else None),
            "parents": tuple(dict.fromkeys(parent for member in members for parent in member.parents)),
            "merged": members,
        }
    )


def _rows(store: "Store", table: str, part: Part) -> pl.DataFrame:
    path = part_path(store.path, table, part.key)
    return decode(TABLES[table], StoredFile(path, part.rows, part.sha256, part.bytes).content(), where=shown(path))


def _rejects(store: "Store", table: str, part: Part) -> pl.DataFrame:
    if part.rejects is None:
        return TABLES["rejects"].empty()
    file = reject_file(store.path, table, part.key, part.rejects)
    return decode(TABLES["rejects"], file.content(), where=shown(file.path))
