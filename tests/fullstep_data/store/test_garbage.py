"""What no version needs, and what stays."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from fullstep_data.check import check
from fullstep_data.store import Store, Version
from fullstep_data.store.garbage import collect, garbage
from fullstep_data.store.lock import build_lock
from schemas import InputError
from tests.fullstep_data.small_chain import Recipe, build
from tests.kill import content

NONE_YOUNG = timedelta(0)


def aged(folder: Path, hours: float) -> None:
    """Make every file of a folder look as if it had been written that long ago."""
    then = time.time() - hours * 3600
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (then, then))


@pytest.fixture
def grown(dataset: Version) -> Store:
    """Three versions: 4 samples per problem, 6, then other words, which share no sample with the first two."""
    build(dataset.path, Recipe(samples=6))
    build(dataset.path, Recipe(words=5))
    aged(dataset.path, 48)
    return Store.open(dataset.path)


def test_a_whole_dataset_has_nothing_to_remove(grown: Store) -> None:
    before = content(grown.path)
    found = collect(grown)
    assert (found.versions, found.pieces) == ((), ())
    assert content(grown.path) == before


def test_looking_removes_nothing(grown: Store) -> None:
    before = content(grown.path)
    assert garbage(grown, keep=1).removed
    assert content(grown.path) == before


def test_giving_up_old_versions_frees_what_only_they_need(grown: Store) -> None:
    found = collect(grown, keep=1)
    assert found.versions == (1, 2)
    assert grown.numbers() == [3]
    assert {piece.kind for piece in found.removed} >= {"samples", "solutions", "models"}
    assert check(grown.version()) == []
    listed = {path for name in grown.version().tables for path in grown.version().files(name)}
    assert set(grown.path.glob("parts/*/*.parquet")) == listed
    assert not grown.run_path(1).exists()
    assert garbage(grown).pieces == ()


def test_a_tag_keeps_its_version_whole(grown: Store) -> None:
    grown.tag("paper", 1)
    rows = {name: grown.version(1).frame(name) for name in grown.version(1).tables}
    assert collect(grown, keep=1).versions == (2,)
    assert grown.numbers() == [1, 3]
    assert {name: grown.version("paper").frame(name).equals(frame) for name, frame in rows.items()} == dict.fromkeys(rows, True)
    assert check(grown.version(1)) == []


def test_the_next_version_has_a_new_number(grown: Store) -> None:
    collect(grown, keep=1)
    assert build(grown.path, Recipe(samples=6)).number == 4


def test_what_a_killed_build_left_is_found_by_kind(grown: Store) -> None:
    leftovers = {
        "samples": grown.path / "parts" / "samples" / f"{'0' * 32}.parquet",
        "rejects": grown.path / "parts" / "rejects" / f"{'0' * 32}.parquet",
        "models": grown.path / "models" / ("0" * 32) / "weights",
        "half-made models": grown.path / "models" / f"{'1' * 32}.partial" / "checkpoint" / "weights",
    }
    for path in leftovers.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    aged(grown.path, 30)
    found = collect(grown)
    assert {piece.kind: piece.bytes for piece in found.removed} == dict.fromkeys(leftovers, 5)
    assert not any(path.exists() for path in leftovers.values())
    assert check(grown.version()) == []


def test_young_files_are_spared_and_one_young_file_spares_its_model(grown: Store) -> None:
    for name in ("old", "young"):
        (grown.path / "parts" / "samples" / f"{name}.parquet").write_bytes(b"x")
        (grown.path / "models" / f"{name}.partial").mkdir()
        (grown.path / "models" / f"{name}.partial" / "weights").write_bytes(b"x")
    aged(grown.path, 25)
    (grown.path / "parts" / "samples" / "young.parquet").touch()
    (grown.path / "models" / "young.partial" / "weights").touch()
    found = collect(grown)
    assert {piece.path.stem for piece in found.removed} == {"old"}
    assert {piece.path.stem for piece in found.spared} == {"young"}
    assert (grown.path / "models" / "young.partial" / "weights").exists()
    assert {piece.path.stem for piece in collect(grown, min_age=NONE_YOUNG).removed} == {"young"}


def test_while_a_build_runs_nothing_is_removed(grown: Store) -> None:
    before = content(grown.path)
    with build_lock(grown.path / "build.lock"), pytest.raises(InputError, match="another build is running"):
        collect(grown, keep=1)
    assert content(grown.path) == before


def test_a_collection_that_was_cut_short_leaves_whole_versions(grown: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before each removal in turn: what versions are left are whole, and the next collection ends it."""
    from fullstep_data.store import disk

    real, left = disk.remove, [0]

    def cut(path: Path) -> None:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        real(path)

    monkeypatch.setattr(disk, "remove", cut)
    for allowed in (0, 1, 2, 5, 9):
        left[0] = allowed
        with pytest.raises(KeyboardInterrupt):
            collect(grown, keep=1)
        assert all(check(grown.version(number)) == [] for number in grown.numbers())
    monkeypatch.undo()
    collect(grown, keep=1)
    assert garbage(grown).pieces == ()
