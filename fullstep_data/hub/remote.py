"""A published version asked in place: SQL over its parts on the Hub, of which only the ranges are read that a query needs.

    version, parts = open_remote(parse("hf://ann/sums@v1"))
    sql(version, "SELECT count(*) FROM pairs", parts)

The walls of `fullstep_data.query` stand here too: a query reads the parts that the manifest lists, at one commit, and no more.
A part is not checked against its checksum, since it is not read whole; `pull` does that.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub import HfFileSystem

from fullstep_data.hub.address import Address
from fullstep_data.hub.pull import Remote, find
from fullstep_data.query import SCHEME, Parts
from fullstep_data.store import Version

BLOCK = 1 << 20
_KEPT_BLOCKS = 256


def open_remote(address: Address) -> tuple[Version, Parts]:
    """The version on the Hub and its files. InputError: as `pull.find`."""
    remote = find(address)
    # No such folder is ever looked into: parts are found by the names that the version gives them.
    version = Version(Path(f"{remote.hub.repo}@{address.revision or remote.commit}"), remote.manifest)
    return version, RemoteParts(version, remote)


class RemoteParts(Parts):
    """The files of a version on the Hub under the names that `query` gives them."""

    def __init__(self, version: Version, remote: Remote) -> None:
        stored = [file for table in version.tables.values() for file in table.stored]
        super().__init__(version.path, stored)
        self._remote = remote
        self._hub = HfFileSystem()
        self._blocks = Blocks(self._fetch)

    def open(self, path: str, mode: str = "rb", *args: Any, **kwargs: Any) -> Any:
        if mode != "rb":
            raise PermissionError(f"the dataset is read-only: {path}")
        return RangeFile(self._blocks, path, self._local(path).size)

    def _fetch(self, path: str, start: int, stop: int) -> bytes:
        name = path.removeprefix(f"{SCHEME}://")
        place = f"datasets/{self._remote.hub.repo}@{self._remote.commit}/{name}"
        content = self._remote.hub.ask(lambda: self._hub.cat_file(place, start=start, end=stop))
        assert isinstance(content, bytes)  # text only where an encoding was asked for
        return content


class Blocks:
    """Ranges of files, fetched in blocks of which the latest are kept: DuckDB reads a footer in several small bites."""

    def __init__(self, fetch: Callable[[str, int, int], bytes]) -> None:
        self._fetch = fetch
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: str, start: int, stop: int, size: int) -> bytes:
        """The bytes from `start` up to `stop` of a file of this size."""
        first = start // BLOCK
        blocks = [self._block(path, number, size) for number in range(first, -(-stop // BLOCK))]
        return b"".join(blocks)[start - first * BLOCK : stop - first * BLOCK]

    def _block(self, path: str, number: int, size: int) -> bytes:
        with self._lock:
            if (path, number) in self._kept:
                self._kept.move_to_end((path, number))
                return self._kept[path, number]
        block = self._fetch(path, number * BLOCK, min((number + 1) * BLOCK, size))
        with self._lock:
            self._kept[path, number] = block
            while len(self._kept) > _KEPT_BLOCKS:
                self._kept.popitem(last=False)
        return block


class RangeFile:
    """A file for DuckDB, which seeks and then reads in one thread while other threads do the same on the same object: every
    thread has a position of its own.
    """

    def __init__(self, blocks: Blocks, path: str, size: int) -> None:
        self._blocks, self._path, self._size = blocks, path, size
        self._at = threading.local()

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self.tell(), self._size)[whence]
        self._at.position = base + offset
        return self._at.position

    def tell(self) -> int:
        return getattr(self._at, "position", 0)

    def read(self, count: int = -1) -> bytes:
        start = min(self.tell(), self._size)
        stop = self._size if count < 0 else min(start + count, self._size)
        self._at.position = stop
        return self._blocks.read(self._path, start, stop, self._size) if stop > start else b""

    def close(self) -> None: ...
