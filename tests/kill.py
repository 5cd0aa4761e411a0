"""Kill a build with SIGKILL again and again, and compare what it leaves in the end with an undisturbed build.

    for attempt in attempts(start, tmp_path, moments):      # start(folder) -> a process that builds into `folder`
        ...                                                 # attempt.before: what was finished when that process began
    assert content(attempt.folder) == content(undisturbed)

A `subprocess.Popen` can be handed in as it is: start = lambda folder: Popen(["fs-data", "build", "tiny", "--out", str(folder)]).
"""

import hashlib
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

# Not part of a version: times differ, and the lock names the last process.
_NOT_COMPARED = ("runs", "build.lock")


class Process(Protocol):
    """What is needed of a running build."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def kill(self) -> None: ...
    def wait(self) -> int: ...


# A process has one fork server, which takes these before its first fork: importing torch thirty times would take minutes.
PRELOADED = ["tests.fullstep_data.small_chain", "cli.data", "cli.train", "cli.build", "cli.run", "cli.tools"]
PRELOADED += ["fullstep_train.prm", "fullstep_train.policy"]


class Forked:
    """`call(*arguments)` in a process of its own, forked from a server that has the imports done."""

    def __init__(self, call: Callable[..., None], *arguments: Any) -> None:
        server = multiprocessing.get_context("forkserver")
        server.set_forkserver_preload(PRELOADED)
        self._process: BaseProcess = server.Process(target=call, args=arguments)
        self._process.start()
        self.pid = self._process.pid or 0
        self.kill = self._process.kill

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int:
        self._process.join()
        return self._process.exitcode or 0


@dataclass(frozen=True)
class Attempt:
    """One process of a build. before: finished parts and models when it began. killed: or did it reach its end first?"""

    folder: Path
    before: frozenset[str]
    killed: bool


def attempts(start: Callable[[Path], Process], root: Path, moments: Sequence[float]) -> Iterator[Attempt]:
    """Build into root/0 with one kill per moment (seconds after the process took the build lock), each time going on; when
    the build ends before its moment, go on in root/1 and so on, until every moment has killed. The last build runs to its end.

    After each attempt it is handed to the caller, who may look at what it left.
    """
    left = list(moments)
    number = 0
    while True:
        folder = root / str(number)
        before = finished(folder)
        process = start(folder)
        killed = bool(left) and _kill_at(process, folder, left[0])
        status = process.wait()
        if killed:
            left.pop(0)
        elif status != 0:
            raise AssertionError(f"an undisturbed attempt failed with status {status}")
        yield Attempt(folder, before, killed)
        if not killed and not left:
            return
        number += not killed


def finished(folder: Path) -> frozenset[str]:
    """The finished parts and models of a dataset folder."""
    parts = folder.glob("parts/*/[!.]*.parquet")
    models = (path for path in folder.glob("models/*") if path.suffix != ".partial")
    return frozenset(path.relative_to(folder).as_posix() for path in (*parts, *models))


def content(folder: Path) -> dict[str, str]:
    """Checksum by file name, of all that makes up a dataset: versions, parts, models, tags, views."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in _NOT_COMPARED
    }


def wait_for_lock(process: Process, folder: Path, seconds: float = 60.0) -> bool:
    """Wait until the process holds the build lock of the folder; False when it ended before that was seen."""
    lock = folder / "build.lock"
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if lock.exists() and lock.read_bytes().strip() == str(process.pid).encode("ascii"):
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.001)
    raise AssertionError(f"no build took the lock of {folder} within {seconds} s")


def _kill_at(process: Process, folder: Path, moment: float) -> bool:
    """SIGKILL this long after the lock was taken. False when the process ended by itself before."""
    if not wait_for_lock(process, folder):
        return False
    until = time.monotonic() + moment
    while time.monotonic() < until:
        if process.poll() is not None:
            return False
        time.sleep(0.001)
    process.kill()
    return process.wait() != 0
