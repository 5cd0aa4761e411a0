"""Xet storage for our Hub: the clients' own hf_xet writes to a folder (`casUrl` local://…), and this reads what it wrote.

A client names a large file by its sha256, Xet by a hash of its chunks; the shards in the folder say which belong together. Their
form (mdb_shard of xet-core): 48 bytes of header, then for each file a record of 48 bytes (hash, flags, number of segments), its
segments, as many verification records where bit 31 of the flags is set, and where bit 30 is set one record with the sha256.
"""

import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

RECORD = 48
_END = b"\xff" * 32
_VERIFIED, _EXTENDED = 1 << 31, 1 << 30


def hashes(folder: Path) -> dict[str, str]:
    """Xet's hash by sha256 of every file in the folder."""
    return {sha256: name for shard in folder.rglob("*.mdb") for sha256, name in _files(shard.read_bytes())}


def content(folder: Path, name: str, size: int) -> bytes:
    """The file of this hash, put together by hf_xet."""
    import hf_xet

    with tempfile.TemporaryDirectory() as place:
        target = Path(place) / "file"
        with hf_xet.XetSession().new_file_download_group(endpoint=f"local://{folder}") as group:
            group.start_download_file(hf_xet.XetFileInfo(name, size), str(target))
        return target.read_bytes()


def _files(shard: bytes) -> Iterator[tuple[str, str]]:
    at = RECORD
    while shard[at : at + 32] != _END and at + RECORD <= len(shard):
        name = _hex(shard[at : at + 32])
        flags, segments = struct.unpack_from("<II", shard, at + 32)
        at += RECORD * (1 + segments * (2 if flags & _VERIFIED else 1))
        if flags & _EXTENDED:
            yield _hex(shard[at : at + 32]), name
            at += RECORD


def _hex(record: bytes) -> str:
    """xet-core prints a hash as four little-endian numbers."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", record))
