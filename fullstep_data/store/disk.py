"""Durable writes: a file either stands whole under its name or is not there, whatever moment the process or the machine dies.

    replace(path, content)       # temp file, fsync, rename, fsync the folder
    create(path, content)        # the same by link(2): FileExistsError where a rival was first

The only module that changes files of a dataset folder; `bucket` offers the same for objects, by conditional PUT.
"""

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas import InputError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
_IMPOSSIBLE = (errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
_TEMP_SUFFIX = ".tmp"
_BLOCK = 1 << 20


def replace(path: Path, content: bytes) -> None:
    """Write a file, taking the place of one that is there."""
    with explained(path), _temp(path, content) as temp:
        temp.rename(path)
        sync_folder(path.parent)


def create(path: Path, content: bytes) -> None:
    """Write a file that must not be there yet. FileExistsError: a rival wrote it first."""
    with explained(path), _temp(path, content) as temp:
        os.link(temp, path)
        sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder and its parents, each of them durable. InputError: it cannot be made, whatever the reason."""
    with explained(path), possible(path):
        missing = [folder for folder in (path, *path.parents) if not folder.is_dir()]
        path.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            sync_folder(folder.parent)


def finish_folder(partial: Path, final: Path) -> None:
    """Make all files of a folder durable, then give the folder its final name."""
    with explained(final):
        for path in (*partial.rglob("*"), partial):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        partial.rename(final)
        sync_folder(final.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Take a file or a folder away; one that is gone already is no error."""
    with explained(path):
        if path.is_dir():
            gone = path.with_name(f".{path.name}.{os.getpid()}{_TEMP_SUFFIX}")
            path.rename(gone)  # first, so that no half of it stands under its name
            shutil.rmtree(gone)
        else:
            path.unlink(missing_ok=True)
        sync_folder(path.parent)


def sweep(folder: Path) -> None:
    """Remove temp files and folders that a killed process left. Only for the holder of the build lock."""
    with explained(folder):
        for path in folder.glob(f".*{_TEMP_SUFFIX}"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn a full disk and a folder that cannot be written into an InputError; other errors pass."""
    try:
        yield
    except OSError as error:
        told = write_error(path, error)
        if told is None:
            raise
        raise told from error


@contextmanager
def possible(path: Path) -> Iterator[None]:
    """Turn a path that can be no folder (a file on its way, too long a name, a place like /proc) into an InputError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _IMPOSSIBLE:
            raise
        raise InputError(
            what=f"there can be no such folder: {os.strerror(error.errno or 0)}", where=str(path), next_step="name another folder"
        ) from error


def write_error(path: Path, error: Exception) -> InputError | None:
    """What to tell about an error met while writing under `path`; None where the disk is not to blame.

    Libraries written in Rust (safetensors) wrap the system's error in a class of their own: only its text is left.
    """
    code = error.errno if isinstance(error, OSError) else None
    if code in _FULL or "No space left on device" in str(error):
        return InputError(
            what="the disk is full",
            where=str(path),
            next_step="free some space and run the same command again: finished parts are kept",
        )
    if code in _FORBIDDEN:
        return InputError(
            what=f"the folder cannot be written: {os.strerror(code or 0)}",
            where=str(path),
            next_step="choose another folder, or make this one writable and run the same command again",
        )
    return None


@contextmanager
def _temp(path: Path, content: bytes) -> Iterator[Path]:
    """A durable temp file in the same folder; gone afterwards, whatever happened."""
    # Random, for on storage that machines share two processes may have one number.
    temp = path.parent / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{_TEMP_SUFFIX}"
    try:
        with temp.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temp
    finally:
        temp.unlink(missing_ok=True)
