"""Readers and writers in processes of their own, at one folder at once."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fullstep_data.check import check
from fullstep_data.query import sql
from fullstep_data.store import Store
from schemas import InputError
from tests.fullstep_data.small_chain import STAGES, Recipe, build
from tests.kill import Forked, content

GROWTH = (2, 4, 6, 8, 10)
TRAINING_PROBLEMS = 8  # of ten; the others are held out
ONE_WHOLE_VERSION = """
SELECT (SELECT count(*) FROM samples),
       (SELECT count(*) FROM solutions) + (SELECT count(*) FROM rejects WHERE stage = 'solutions'),
       (SELECT count(*) FROM pairs ANTI JOIN solutions ON chosen_id = solution_id),
       (SELECT count(*) FROM step_scores) - 2 * (SELECT count(*) FROM solutions)"""


def grow(folder: Path) -> None:
    """The writer: one version per number of samples."""
    for samples in GROWTH:
        build(folder, Recipe(samples=samples))


def read(folder: Path, log: Path, until: Path) -> None:
    """The reader: opens the latest version again and again, each way, and notes what it saw. It dies of whatever is not whole."""
    with log.open("w") as notes:
        while not until.exists():
            version = Store.open(folder).version()
            samples, graded, orphans, unscored = sql(version, ONE_WHOLE_VERSION).row(0)
            frames = version.frame("samples").height
            assert (samples, graded, orphans, unscored, frames) == (*[samples] * 2, 0, 0, samples)
            notes.write(f"{version.number} {samples}\n")
            notes.flush()


def test_a_reader_beside_a_writer_sees_only_whole_versions(tmp_path: Path) -> None:
    folder, log, done = tmp_path / "dataset", tmp_path / "log", tmp_path / "done"
    build(folder, Recipe(samples=1))
    reader = Forked(read, folder, log, done)
    while not log.exists() or not log.read_text():
        assert reader.poll() is None
        time.sleep(0.01)
    writer = Forked(grow, folder)
    assert writer.wait() == 0
    done.touch()
    assert reader.wait() == 0
    seen = [tuple(map(int, line.split())) for line in log.read_text().splitlines()]
    rows = {number: samples * TRAINING_PROBLEMS for number, samples in enumerate((1, *GROWTH), start=1)}
    assert all(rows[number] == samples for number, samples in seen)
    assert [number for number, _ in seen] == sorted(number for number, _ in seen)
    assert len({number for number, _ in seen}) > 1, "the reader saw no version come"


def build_with(folder: Path, recipe: Recipe) -> None:
    """Build as soon as no other build holds the folder."""
    while True:
        try:
            build(folder, recipe)
            return
        except InputError as error:
            assert "another build is running" in error.what  # noqa: PT017 - any other error is the test's failure
            time.sleep(0.01)


def test_two_builds_of_different_recipes_on_one_folder_do_not_hurt_each_other(tmp_path: Path) -> None:
    recipes = [Recipe(samples=6), Recipe(words=7, samples=4, problems=13)]
    builds = [Forked(build_with, tmp_path / "shared", recipe) for recipe in recipes]
    assert [one.wait() for one in builds] == [0, 0]
    store = Store.open(tmp_path / "shared")
    assert store.numbers() == [1, 2]
    for number, recipe in enumerate(recipes):
        alone = build(tmp_path / f"alone-{number}", recipe)
        (found,) = [v for v in map(store.version, (1, 2)) if v.manifest.recipe == alone.manifest.recipe]
        assert found.manifest.same_content(alone.manifest)
        assert check(found, STAGES) == []


def commit_and_stop(folder: Path, moment: str) -> None:
    """Build, and die in the middle of the commit: as the manifest gets its name, before or after."""
    real: Callable[..., None] = os.link

    def link(source: Path, target: Path) -> None:
        if moment == "after":
            real(source, target)
        os._exit(9)

    os.link = link  # type: ignore[assignment]
    build(folder, Recipe(samples=6))


@pytest.mark.parametrize(("moment", "versions"), [("before", [1]), ("after", [1, 2])])
def test_an_interrupted_commit_leaves_the_old_version_or_the_new_one(tmp_path: Path, moment: str, versions: list[int]) -> None:
    build(tmp_path / "dataset", Recipe(samples=4))
    assert Forked(commit_and_stop, tmp_path / "dataset", moment).wait() == 9
    store = Store.open(tmp_path / "dataset")
    assert store.numbers() == versions
    assert store.version().frame("samples").height == (48 if moment == "after" else 32)
    build(tmp_path / "dataset", Recipe(samples=6))
    build(tmp_path / "calm", Recipe(samples=4))
    build(tmp_path / "calm", Recipe(samples=6))
    assert content(tmp_path / "dataset") == content(tmp_path / "calm")
