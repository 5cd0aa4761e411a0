"""A process under the kernel's own limit on memory: a control group, where one can be made.

    with limited(10**9) as group:                         # None where none can be made
        subprocess.run(group.entered(command) if group else command)
        group.killed(), group.most()

Page cache counts in a control group, and is given back before a process is killed; what is killed did need more of its own. So
`most` may be the limit itself where much was read. Control groups v1 (controller `memory`: the group is made below that of this
process) and v2 (`memory.max`: below it where its children may have the controller, else beside it, for a group with processes of
its own may not give the controller on). v2 was written from the kernel's documentation (admin-guide/cgroup-v2) and has never run.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_ENTER = 'echo $$ > "$0" && exec "$@"'
_V1 = {"limit": "memory.limit_in_bytes", "with_swap": "memory.memsw.limit_in_bytes", "most": "memory.max_usage_in_bytes"}
_V2 = {"limit": "memory.max", "swap": "memory.swap.max", "most": "memory.peak"}


@dataclass(frozen=True)
class Group:
    """A control group with a limit. version: 1 or 2, of the control groups."""

    folder: Path
    version: int

    def entered(self, command: Sequence[str]) -> list[str]:
        """The command, which enters the group before it begins."""
        return ["/bin/sh", "-c", _ENTER, str(self.folder / "cgroup.procs"), *command]

    def killed(self) -> int:
        """How many processes the kernel has killed for the limit."""
        events = self.folder / ("memory.oom_control" if self.version == 1 else "memory.events")
        counts = dict(line.split() for line in events.read_text().splitlines())
        return int(counts.get("oom_kill", 0))

    def most(self) -> int | None:
        """Bytes that the group held at most, page cache included; None where the kernel does not say."""
        found = self.folder / (_V1 if self.version == 1 else _V2)["most"]
        return int(found.read_text()) if found.exists() else None


@contextmanager
def limited(limit: int) -> Iterator[Group | None]:
    """A group of `limit` bytes, swap included, which is removed at the end; None where this process may make none."""
    made: Group | None = None
    for version, place in places(Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text()):
        with suppress(OSError):
            made = _made(place / f"fullstep-{os.getpid()}", version, limit)
            break
    try:
        yield made
    finally:
        if made is not None:
            made.folder.rmdir()


def places(groups: str, mounts: str) -> Iterator[tuple[int, Path]]:
    """Where a group may be made, by the kernel's lists of this process's groups and of what is mounted: version and folder."""
    mine = {controllers: path for _, controllers, path in (line.split(":", 2) for line in groups.splitlines())}
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        root, point = left.split()[3:5]
        kind, _, options = right.split()[:3]
        if kind == "cgroup" and "memory" in options.split(","):
            own = next((path for controllers, path in mine.items() if "memory" in controllers.split(",")), None)
            if own is not None:
                yield 1, _below(Path(point), root, own)
        elif kind == "cgroup2" and "" in mine:
            own_folder = _below(Path(point), root, mine[""])
            yield 2, own_folder
            if own_folder != Path(point):
                yield 2, own_folder.parent


def _below(point: Path, root: str, own: str) -> Path:
    """The folder of a group. root: which group is mounted at `point`."""
    return point / os.path.relpath(own, root) if own != root else point


def _made(folder: Path, version: int, limit: int) -> Group:
    """OSError: the kernel does not let us, or the controller `memory` is not given to groups there."""
    folder.mkdir()
    try:
        if version == 1:
            (folder / _V1["limit"]).write_text(str(limit))
            if (folder / _V1["with_swap"]).exists():
                (folder / _V1["with_swap"]).write_text(str(limit))
        else:
            (folder / _V2["limit"]).write_text(str(limit))
            if (folder / _V2["swap"]).exists():
                (folder / _V2["swap"]).write_text("0")
        with (folder / "cgroup.procs").open("a"):
            return Group(folder, version)
    except OSError:
        folder.rmdir()
        raise
