"""One build at a time in a dataset folder: flock(2) on `build.lock`, let go by the system when the process dies.

with build_lock(folder / "build.lock"): ...     # InputError where another build holds it, naming its process id
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fullstep_data.store.disk import explained
from fullstep_data.store.storage import shown
from schemas import InputError

_held: set[int] = set()


def _close_in_child() -> None:
    """A forked worker would keep the lock of a killed build for as long as it lives."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)


@contextmanager
def build_lock(path: Path) -> Iterator[None]:
    """Hold the lock; the file says which process does."""
    with explained(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    _held.add(descriptor)
    try:
        _take(descriptor, path)
        yield
    finally:
        if descriptor in _held:  # else this is a forked child, which has closed it already
            _held.discard(descriptor)
            os.close(descriptor)


def _take(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        raise InputError(
            what=f"another build is running in this folder (process {holder})",
            where=shown(path.parent),
            next_step="wait until it ends or stop it, then run the same command again; or build into another folder",
        ) from None
    with explained(path):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
