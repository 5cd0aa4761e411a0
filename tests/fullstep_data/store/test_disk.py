"""Durable writes, and what they say when the disk refuses."""

import errno
from pathlib import Path

import pytest

from fullstep_data.store import disk
from schemas import InputError
from tests.fullstep_data.store.mounts import remount, tmpfs


def test_replace_writes_and_overwrites_and_leaves_no_temp_file(tmp_path: Path) -> None:
    disk.replace(tmp_path / "a", b"one")
    disk.replace(tmp_path / "a", b"two")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"two"


def test_create_refuses_a_name_that_a_rival_took_and_keeps_the_rivals_content(tmp_path: Path) -> None:
    disk.create(tmp_path / "1.json", b"rival")
    with pytest.raises(FileExistsError):
        disk.create(tmp_path / "1.json", b"mine")
    assert (tmp_path / "1.json").read_bytes() == b"rival"
    assert [path.name for path in tmp_path.iterdir()] == ["1.json"]


def test_finish_folder_moves_nested_files(tmp_path: Path) -> None:
    (tmp_path / "m.partial" / "sub").mkdir(parents=True)
    (tmp_path / "m.partial" / "sub" / "w").write_bytes(b"1")
    disk.finish_folder(tmp_path / "m.partial", tmp_path / "m")
    assert (tmp_path / "m" / "sub" / "w").read_bytes() == b"1"
    assert not (tmp_path / "m.partial").exists()


def test_sweep_removes_only_temp_files(tmp_path: Path) -> None:
    (tmp_path / ".x.parquet.123.tmp").touch()
    (tmp_path / "x.parquet").touch()
    disk.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


def test_a_full_disk_is_explained_and_nothing_is_left_half_written(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", "64k") as folder:
        disk.replace(folder / "a", b"old")
        with pytest.raises(InputError, match="the disk is full") as caught:
            disk.replace(folder / "a", b"x" * 200_000)
        assert caught.value.next_step
        assert [path.name for path in folder.iterdir()] == ["a"]
        assert (folder / "a").read_bytes() == b"old"


def test_a_read_only_folder_is_explained(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "fixed", "64k") as folder:
        remount(folder, "ro")
        for write in (lambda: disk.replace(folder / "a", b"1"), lambda: disk.make_folder(folder / "sub" / "deeper")):
            with pytest.raises(InputError, match="cannot be written") as caught:
                write()
            assert str(folder) in caught.value.where


def test_errors_that_are_not_the_disks_are_not_explained_away() -> None:
    assert disk.write_error(Path("x"), OSError(errno.ENOENT, "no such file")) is None
    assert disk.write_error(Path("x"), ValueError("shape mismatch")) is None


def test_a_full_disk_met_by_a_rust_library_is_known_by_its_text() -> None:
    told = disk.write_error(Path("x"), RuntimeError("I/O error: No space left on device (os error 28)"))
    assert told is not None
    assert told.what == "the disk is full"


def test_remove_takes_files_and_folders_and_leaves_no_half(tmp_path: Path) -> None:
    (tmp_path / "model" / "layers").mkdir(parents=True)
    (tmp_path / "model" / "layers" / "a").touch()
    (tmp_path / "file").touch()
    for name in ("model", "file", "file"):
        disk.remove(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
