"""Datasets in a bucket where several machines are at work, or one of them is killed."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest

from fullstep_data.check import check
from fullstep_data.query import sql
from fullstep_data.store import Store, Version, open_version
from fullstep_data.store.bucket import Bucket
from fullstep_data.store.storage import path_of, storage_of
from schemas import TABLES, InputError
from tests.fullstep_data.small_chain import STAGES, Recipe, build, calls
from tests.fullstep_data.store.buckets import NO_REJECTS, ONE_WHOLE_VERSION, PROBLEMS, in_bucket, in_folder, rows
from tests.kill import Forked, wait_for_lock
from tests.object_server import ObjectServer


def on_another_machine(environment: Mapping[str, str], call: str, *arguments: object) -> None:
    """Run a function of this module with a cache of its own."""
    os.environ.update(environment)
    globals()[call](*arguments)


@pytest.fixture
def dataset(address: str) -> Version:
    return build(path_of(address))


@pytest.fixture
def machines(address: str, object_server: ObjectServer, tmp_path: Path) -> list[dict[str, str]]:
    """The environments of two machines."""
    return [object_server.environment(tmp_path / name) for name in ("one", "two")]


# Rivals


def write_version(address: str, recipe: str, start: str) -> None:
    """Commit a version as soon as the file `start` is there."""
    store = Store.open(path_of(address))
    draft = store.version(1).manifest.model_copy(update={"recipe": recipe})
    while not Path(start).exists():
        time.sleep(0.001)
    store.commit(draft, {"created": "now"})


def test_rivals_for_a_number_get_one_each(dataset: Version, address: str, machines: list[dict[str, str]], tmp_path: Path) -> None:
    start = tmp_path / "start"
    rivals = [Forked(on_another_machine, machines[n % 2], "write_version", address, f"rival {n}", str(start)) for n in range(6)]
    time.sleep(1.0)
    start.touch()
    assert [one.wait() for one in rivals] == [0] * 6
    store = Store.open(dataset.path)
    assert store.numbers() == [1, 2, 3, 4, 5, 6, 7]
    assert sorted(str(store.version(n).manifest.recipe) for n in range(2, 8)) == [f"rival {n}" for n in range(6)]
    assert check(store.version(), STAGES) == []  # views.sql is of the latest, whoever wrote it last


def set_tag(address: str, number: int, log: str, start: str) -> None:
    store = Store.open(path_of(address))
    while not Path(start).exists():
        time.sleep(0.001)
    try:
        store.tag("best", number)
        Path(log).write_text("mine")
    except InputError as error:
        Path(log).write_text(error.what)


def test_of_rivals_for_a_tag_one_gets_it(dataset: Version, address: str, machines: list[dict[str, str]], tmp_path: Path) -> None:
    build(dataset.path, Recipe(samples=6))
    start, logs = tmp_path / "start", [tmp_path / "log-1", tmp_path / "log-2"]
    rivals = [
        Forked(on_another_machine, machine, "set_tag", address, number, str(log), str(start))
        for number, machine, log in zip((1, 2), machines, logs, strict=True)
    ]
    time.sleep(1.0)
    start.touch()
    assert [one.wait() for one in rivals] == [0, 0]
    told = [log.read_text() for log in logs]
    winner = told.index("mine") + 1
    assert sorted(told) == sorted(["mine", f"tag best names version {winner} already"])
    assert Store.open(dataset.path).tags() == {"best": winner}


def build_there(address: str, samples: int, words: int) -> None:
    build(path_of(address), Recipe(samples=samples, words=words, pause=0.02))


def test_two_recipes_on_one_prefix_at_once_do_not_hurt_each_other(
    address: str, machines: list[dict[str, str]], tmp_path: Path
) -> None:
    recipes = [(6, 4), (4, 7)]
    builds = [
        Forked(on_another_machine, machine, "build_there", address, *recipe)
        for machine, recipe in zip(machines, recipes, strict=True)
    ]
    assert [one.wait() for one in builds] == [0, 0]
    store = Store.open(path_of(address))
    assert store.numbers() == [1, 2]
    alone = [build(tmp_path / str(samples), Recipe(samples=samples, words=words)) for samples, words in recipes]
    for number in (1, 2):
        found = store.version(number)
        assert any(found.manifest.same_content(one.manifest) for one in alone)
        assert check(found, STAGES) == []


def test_the_same_recipe_on_two_machines_at_once_is_one_version(
    address: str, machines: list[dict[str, str]], tmp_path: Path
) -> None:
    builds = [Forked(on_another_machine, machine, "build_there", address, 6, 4) for machine in machines]
    assert [one.wait() for one in builds] == [0, 0]
    store = Store.open(path_of(address))
    assert store.numbers() == [1]
    assert in_bucket(store.path) == in_folder(build(tmp_path / "alone", Recipe(samples=6)).path)


def test_on_one_machine_one_build_at_a_time(address: str, tmp_path: Path) -> None:
    with Store.create(path_of(address)).locked(), pytest.raises(InputError, match="another build is running") as caught:
        build(path_of(address))
    assert caught.value.where == address


def test_where_a_rival_made_a_part_otherwise_his_is_taken(address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on GPUs, where the same seeds need not give the same samples."""
    dropped = TABLES["rejects"].frame([{"stage": "s", "table": "problems", "key": "k", "reason": "r", "detail": None}])
    mine, his = Store.create(path_of(address)), "k" * 8
    monkeypatch.setenv("FULLSTEP_CACHE", str(tmp_path / "his"))
    first = Store.create(path_of(address)).write_part(PROBLEMS, his, rows(3, "his"), dropped, rows_in=4)
    monkeypatch.setenv("FULLSTEP_CACHE", str(tmp_path / "cache"))
    other = dropped.with_columns(pl.lit("another reason").alias("reason"))
    assert mine.write_part(PROBLEMS, his, rows(2, "mine"), other, rows_in=3) == first
    assert mine.find_part("problems", his) == first
    assert mine.write_part(PROBLEMS, "m" * 8, rows(2), NO_REJECTS, rows_in=2).rows == 2


def test_an_answer_that_is_lost_makes_no_rival_of_oneself(address: str, object_server: ObjectServer) -> None:
    build(path_of(address))
    object_server.control(lose_answers=3)
    version = build(path_of(address), Recipe(samples=6))
    assert version.number == 2
    assert Store.open(version.path).numbers() == [1, 2]
    assert check(version, STAGES) == []


def test_a_store_that_overwrites_what_it_must_not_is_refused(address: str, object_server: ObjectServer) -> None:
    object_server.control(unconditional=True)
    with pytest.raises(InputError, match="overwrites what a conditional PUT must not") as caught:
        build(path_of(address))
    assert caught.value.where == address
    assert storage_of(path_of(address)).names(path_of(address)) == []


# Readers beside writers, and kills


def grow(address: str) -> None:
    for samples in (2, 4, 6, 8):
        build(path_of(address), Recipe(samples=samples))


def read(address: str, log: str, until: str) -> None:
    """Opens the latest version again and again, and dies of whatever is not whole."""
    with Path(log).open("w") as notes:
        while not Path(until).exists():
            version = open_version(address)
            assert sql(version, ONE_WHOLE_VERSION).row(0) == (version.frame("samples").height, 0)
            notes.write(f"{version.number} {version.frame('samples').height}\n")
            notes.flush()


def test_a_reader_beside_a_writer_sees_only_whole_versions(address: str, machines: list[dict[str, str]], tmp_path: Path) -> None:
    log, done = tmp_path / "log", tmp_path / "done"
    build(path_of(address), Recipe(samples=1))
    reader = Forked(on_another_machine, machines[0], "read", address, str(log), str(done))
    while not log.exists() or not log.read_text():
        assert reader.poll() is None
        time.sleep(0.01)
    writer = Forked(on_another_machine, machines[1], "grow", address)
    assert writer.wait() == 0
    seen_last = log.read_text()
    while log.read_text() == seen_last:
        assert reader.poll() is None
        time.sleep(0.01)
    done.touch()
    assert reader.wait() == 0
    seen = [tuple(map(int, line.split())) for line in log.read_text().splitlines()]
    samples = dict(enumerate((8, 16, 32, 48, 64), start=1))
    assert all(samples[number] == count for number, count in seen)
    assert [number for number, _ in seen] == sorted(number for number, _ in seen)
    assert len({number for number, _ in seen}) > 1, "the reader saw no version come"


def commit_and_stop(address: str, moment: str) -> None:
    """Build, and die in the middle of the commit: before the manifest goes up, or after."""
    real = Bucket.create

    def create(self: Bucket, path: Path, content: bytes) -> None:
        if path.parent.name == "versions":
            if moment == "after":
                real(self, path, content)
            os._exit(9)
        real(self, path, content)

    Bucket.create = create
    build(path_of(address), Recipe(samples=6))


@pytest.mark.parametrize(("moment", "versions"), [("before", [1]), ("after", [1, 2])])
def test_an_interrupted_commit_leaves_the_old_version_or_the_new_one(
    dataset: Version, address: str, machines: list[dict[str, str]], tmp_path: Path, moment: str, versions: list[int]
) -> None:
    assert Forked(on_another_machine, machines[0], "commit_and_stop", address, moment).wait() == 9
    store = Store.open(dataset.path)
    assert store.numbers() == versions
    assert store.version().frame("samples").height == (48 if moment == "after" else 32)
    build(dataset.path, Recipe(samples=6))
    build(tmp_path / "calm")
    build(tmp_path / "calm", Recipe(samples=6))
    assert in_bucket(dataset.path) == in_folder(tmp_path / "calm")


def build_noting(address: str, log: str) -> None:
    build(path_of(address), Recipe(problems=8, samples=4, log=log, pause=0.01))


@pytest.mark.parametrize("same_machine", [True, False])
def test_a_build_killed_at_any_moment_ends_the_same_and_makes_no_part_twice(
    address: str, object_server: ObjectServer, tmp_path: Path, same_machine: bool
) -> None:
    """Killed a little later each time, and gone on with: on the same machine, or on one whose cache knows nothing."""
    log = tmp_path / "log"
    whole = build(tmp_path / "whole", Recipe(problems=8, samples=4, log=str(tmp_path / "whole.log")))
    kills = 0
    while True:
        machine = object_server.environment(tmp_path / ("one" if same_machine else f"machine-{kills}"))
        process = Forked(on_another_machine, machine, "build_noting", address, str(log))
        if wait_for_lock(process, Path(machine["FULLSTEP_CACHE"], "objects", address.replace("://", "/"))):
            until = time.monotonic() + 0.05 * 1.6**kills
            while time.monotonic() < until and process.poll() is None:
                time.sleep(0.005)
            process.kill()
        if process.wait() == 0:
            break
        kills += 1
    assert kills > 2
    made = [line for line in calls(log) if not line.startswith("problems")]
    repeated = len(made) - len(set(made))
    assert repeated <= kills, "more was made again than what was in hand at a kill"
    assert in_bucket(path_of(address)) == in_folder(whole.path)
