"""Builds and `gc` of several machines at one dataset."""

from datetime import timedelta
from pathlib import Path

import pytest

from fullstep_data.store import Store
from fullstep_data.store.flight import in_flight
from fullstep_data.store.garbage import collect
from fullstep_data.store.storage import path_of, storage_of
from schemas import InputError
from tests.fullstep_data.small_chain import Recipe, build

DAY = timedelta(days=1)


@pytest.fixture
def folder(address: str) -> Path:
    return build(path_of(address)).path


def at_work(folder: Path) -> list[str]:
    return storage_of(folder).names(folder / "builds")


def test_builds_go_on_beside_each_other_and_leave_nothing(folder: Path) -> None:
    with in_flight(folder), in_flight(folder):
        assert len(at_work(folder)) == 2
        assert build(folder, Recipe(samples=6)).number == 2
    assert at_work(folder) == []


def test_garbage_is_not_removed_beside_a_build(folder: Path, address: str) -> None:
    store = Store.open(folder)
    build(folder, Recipe(samples=6))
    with in_flight(folder), pytest.raises(InputError, match="builds are running in this dataset") as caught:
        collect(store, keep=1, min_age=DAY)
    (mark,) = caught.value.examples
    assert str(mark).startswith(f"{address}/builds/")
    assert caught.value.where == address
    assert "--older-than" in caught.value.next_step
    assert store.numbers() == [1, 2]
    collect(store, keep=1, min_age=DAY)
    assert store.numbers() == [2]


def test_a_build_does_not_start_beside_gc(folder: Path) -> None:
    with in_flight(folder, clearing=DAY), pytest.raises(InputError, match="garbage is being removed"):
        build(folder)
    assert at_work(folder) == []
    assert build(folder).number == 1


def test_what_was_killed_counts_for_the_hours_that_gc_spares(folder: Path) -> None:
    storage_of(folder).replace(folder / "builds" / "killed", b"")
    assert build(folder).number == 1
    with pytest.raises(InputError, match="builds are running"):
        collect(Store.open(folder), min_age=DAY)
    assert [piece.kind for piece in collect(Store.open(folder), min_age=timedelta(0)).removed] == ["marks of killed builds"]
    assert at_work(folder) == []


def test_a_folder_of_this_machine_needs_none_of_it(tmp_path: Path) -> None:
    build(tmp_path / "local")
    assert not (tmp_path / "local" / "builds").exists()
