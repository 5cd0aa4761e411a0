"""Who is at work on a dataset in a bucket, where no lock reaches: an object in `builds/` for each, as long as it lasts.

    with in_flight(folder): ...                             # a build; others may go on beside it
    with in_flight(folder, clearing=timedelta(hours=24)):   # garbage is removed: no build may be about to use it

Each puts its object first and looks for those of others then, so of two that must not meet at least one sees the other. What was
killed leaves its object: it counts for as long as `gc` spares young files, and that of a killed `gc` for an hour.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from fullstep_data.store.storage import Entry, shown, storage_of
from schemas import InputError

FOLDER = "builds"
_CLEARING = "gc-"
_CLEARING_LASTS = timedelta(hours=1)


@contextmanager
def in_flight(folder: Path, clearing: timedelta | None = None) -> Iterator[None]:
    """Be at work in a dataset. clearing: garbage older than this is removed. InputError: somebody is whom that would hurt."""
    storage = storage_of(folder)
    mine = folder / FOLDER / f"{_CLEARING if clearing is not None else ''}{secrets.token_hex(8)}"
    storage.replace(mine, b"")
    try:
        others = [entry for entry in storage.children(folder / FOLDER) if entry.path != mine]
        if clearing is None:
            others = [entry for entry in others if entry.path.name.startswith(_CLEARING)]
        oldest = time.time() - (_CLEARING_LASTS if clearing is None else clearing).total_seconds()
        young = [shown(entry.path) for entry in others if entry.modified > oldest]
        if young:
            raise _busy(folder, young, building=clearing is None)
        yield
    finally:
        storage.remove(mine)


def killed(folder: Path) -> list[Entry]:
    """The objects of builds that are at work or were killed: once they are old, it is the latter."""
    entries = storage_of(folder).children(folder / FOLDER)
    return [entry for entry in entries if not entry.path.name.startswith(_CLEARING)]


def _busy(folder: Path, young: list[str], building: bool) -> InputError:
    if building:
        what = "garbage is being removed from this dataset, or was within the last hour by a process that was killed"
        step = "wait and run the same command again; if you know that none runs, delete the object"
    else:
        what = "builds are running in this dataset, or were killed within the hours that `gc` spares"
        step = "wait until they end; if you know that none runs, delete these objects, or give fewer hours: --older-than"
    return InputError(what, where=shown(folder), count=len(young), examples=young, next_step=step)
