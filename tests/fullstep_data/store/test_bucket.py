"""Datasets in a bucket: the same as in a folder, whatever rivals, kills and a cache that is gone."""

import json
import os
import shutil
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from fullstep_data.check import check
from fullstep_data.diff import diff
from fullstep_data.query import sql
from fullstep_data.store import Store, Version, open_version
from fullstep_data.store.bucket import Bucket
from fullstep_data.store.compact import compact
from fullstep_data.store.garbage import collect, garbage
from fullstep_data.store.history import history
from fullstep_data.store.storage import path_of, storage_of
from schemas import TABLES, InputError
from tests.fullstep_data.small_chain import STAGES, Recipe, build, calls
from tests.kill import Forked, content, wait_for_lock
from tests.object_server import ObjectServer

PROBLEMS = TABLES["problems"]
NO_REJECTS = TABLES["rejects"].empty()
ONE_WHOLE_VERSION = """
SELECT (SELECT count(*) FROM samples), (SELECT count(*) FROM pairs ANTI JOIN solutions ON chosen_id = solution_id)"""
LAYOUT = ("versions", "parts", "views.sql", "tags")


def in_bucket(folder: Path) -> dict[str, bytes]:
    """Objects by name, of what a dataset has in a bucket as in a folder."""
    storage = storage_of(folder)
    assert isinstance(storage, Bucket)
    paths = {entry.path.relative_to(folder).as_posix(): entry.path for entry in storage._below(folder)}
    return {name: storage.read(path) for name, path in paths.items() if name.split("/")[0] in LAYOUT}


def in_folder(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in content(folder) if name.split("/")[0] in LAYOUT}


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


def rows(count: int, question: str = "?") -> pl.DataFrame:
    fixed = {"question": question, "answer": "1", "source": "s", "split": "train", "domain": "math"}
    return PROBLEMS.frame([{"problem_id": f"{index:04d}", **fixed} for index in range(count)])


def forget(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "cache")


# The same as in a folder


def test_a_build_leaves_in_a_bucket_what_it_leaves_in_a_folder(dataset: Version, tmp_path: Path) -> None:
    local = build(tmp_path / "local")
    assert in_bucket(dataset.path) == in_folder(tmp_path / "local")
    assert dataset.manifest == local.manifest
    assert dataset.model_file("prm", "mean.txt") == (local.model("prm") / "mean.txt").read_bytes()
    assert dataset.model_file("prm", "nothing") is None
    assert check(dataset, STAGES) == []


def test_a_machine_that_has_nothing_reads_all_of_it(dataset: Version, address: str, tmp_path: Path) -> None:
    forget(tmp_path)
    version = open_version(address)
    assert version.place == address
    assert sql(version, "SELECT count(*) FROM preferences").item() == 7
    assert version.frame("pairs").height == 7
    assert (version.model("prm") / "mean.txt").is_file()
    assert check(version, STAGES) == []


def test_a_query_fetches_the_tables_it_asks_for(dataset: Version, address: str, tmp_path: Path) -> None:
    forget(tmp_path)
    version = open_version(address)
    assert sql(version, "SELECT count(*) FROM samples").item() == 32
    fetched = {path.parent.name for path in (tmp_path / "cache").rglob("*.parquet")}
    assert {len(list((version.path / "parts" / name).glob("*.parquet"))) for name in fetched - {"samples"}} == {1}  # the columns
    assert sorted(version.files("samples")) == sorted((version.path / "parts" / "samples").iterdir())


def test_a_second_build_finds_everything_and_growth_reuses_parts(address: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    build(path_of(address), Recipe(log=str(log)))
    first = len(calls(log))
    forget(tmp_path)
    assert build(path_of(address), Recipe(log=str(log))).number == 1
    assert len(calls(log)) == first
    grown = build(path_of(address), Recipe(samples=6, log=str(log)))
    build(tmp_path / "local", Recipe())
    local = build(tmp_path / "local", Recipe(samples=6))
    assert grown.manifest == local.manifest
    assert in_bucket(grown.path) == in_folder(tmp_path / "local")


def test_opening_costs_few_requests_whatever_was_built(dataset: Version, address: str, object_server: ObjectServer) -> None:
    object_server.requests()
    open_version(address)
    few = len(object_server.requests())
    for samples in (6, 8, 10):
        build(dataset.path, Recipe(samples=samples))
    object_server.requests()
    open_version(address)
    assert len(object_server.requests()) == few <= 4


def test_history_and_difference_and_tags(dataset: Version, address: str, tmp_path: Path) -> None:
    store = Store.open(dataset.path)
    store.tag("v1", 1)
    store.tag("v1", 1)
    build(dataset.path, Recipe(samples=6))
    forget(tmp_path)
    assert [(entry.number, entry.tags) for entry in history(store)] == [(1, ("v1",)), (2, ())]
    assert [open_version(f"{address}{at}").number for at in ("", "@1", "@v1", "@2")] == [2, 1, 1, 2]
    assert diff(open_version(f"{address}@v1"), open_version(address)).tables["samples"].added == 16
    with pytest.raises(InputError, match="names version 1 already") as caught:
        store.tag("v1", 2)
    assert caught.value.where == address
    assert store.untag("v1") == 1
    with pytest.raises(InputError, match="has no version 'v1'") as caught:
        open_version(f"{address}@v1")
    assert caught.value.where == address


def test_compaction(address: str, tmp_path: Path) -> None:
    build(path_of(address), Recipe(samples=6))
    version = compact(Store.open(path_of(address)), {"created": "now"})
    assert version is not None
    build(tmp_path / "local", Recipe(samples=6))
    local = compact(Store.open(tmp_path / "local"), {"created": "now"})
    assert local is not None
    assert version.manifest == local.manifest
    assert collect(Store.open(version.path), keep=1, min_age=timedelta(0)).versions == (1,)
    forget(tmp_path)
    grown = build(version.path, Recipe(samples=8))  # parts that lie merged are written anew
    assert grown.manifest.same_content(build(tmp_path / "whole", Recipe(samples=8)).manifest)
    assert check(grown, STAGES) == []


def test_garbage_is_told_by_kind_and_age_and_removed(dataset: Version, tmp_path: Path) -> None:
    storage, store = storage_of(dataset.path), Store.open(dataset.path)
    build(dataset.path, Recipe(words=5))
    storage.replace(dataset.path / "parts" / "samples" / f"{'0' * 32}.parquet", b"12345")
    storage.replace(dataset.path / "models" / ("0" * 32) / "hash" / "weights", b"123")
    before = in_bucket(dataset.path)
    young = garbage(store, keep=1)
    assert young.removed == ()
    assert {piece.kind for piece in young.spared} >= {"samples", "models"}
    found = garbage(store, keep=1, min_age=timedelta(0))
    assert {piece.kind: piece.bytes for piece in garbage(store, min_age=timedelta(0)).removed} == {"samples": 5, "models": 3}
    assert in_bucket(dataset.path) == before
    assert collect(store, keep=1, min_age=timedelta(0)) == found
    assert store.numbers() == [2]
    forget(tmp_path)
    assert check(store.version(), STAGES) == []
    assert garbage(store, min_age=timedelta(0)).pieces == ()


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


# Damage


def test_a_damaged_or_missing_object_is_told_by_its_address(dataset: Version, address: str, tmp_path: Path) -> None:
    storage, (path, *_) = storage_of(dataset.path), dataset.files("steps")
    good = storage.read(path)
    storage.replace(path, good[:-1] + b"x")
    where = f"{address}/parts/steps/{path.name}"
    (finding,) = [one for one in check(dataset, STAGES) if "altered" in one.what and one.where == "table steps"]
    assert finding.examples[0].startswith(where)
    forget(tmp_path)
    for call in (lambda: dataset.frame("steps"), dataset.table("steps").stored[0].fetch):
        with pytest.raises(InputError, match="truncated or altered") as caught:
            call()
        assert caught.value.where == where
    assert not path.exists(), "a damaged part was kept"
    storage.remove(path)
    with pytest.raises(InputError, match="part of the dataset is missing") as caught:
        dataset.frame("steps")
    assert caught.value.where == where
    with pytest.raises(InputError, match="part of the dataset is missing"):
        sql(dataset, "SELECT count(*) FROM steps")
    assert build(dataset.path).number == 1
    assert storage.read(path) == good


def test_a_damaged_copy_in_the_cache_is_fetched_again(dataset: Version) -> None:
    path = dataset.files("steps")[0]
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"x")
    assert dataset.frame("steps").height
    assert path.read_bytes() == good


def test_a_damaged_model_is_told_and_never_taken_for_whole(dataset: Version, address: str, tmp_path: Path) -> None:
    storage, folder = storage_of(dataset.path), dataset.model_folder("prm")
    file = storage.placed(folder, "mean.txt", dataset.manifest.models["prm"].files["mean.txt"].sha256)
    storage.replace(file, b"altered")
    assert any(one.where == "model prm" for one in check(dataset, STAGES))
    forget(tmp_path)
    with pytest.raises(InputError, match="file of a model is missing or was altered") as caught:
        open_version(address).model("prm")
    assert caught.value.where == f"{address}/models/{folder.name}"
    assert not folder.exists()
    storage.remove(folder)
    assert build(dataset.path).number == 1
    assert check(open_version(address), STAGES) == []


def test_a_model_that_was_finished_and_not_yet_uploaded_is_not_trained_again(address: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    version = build(path_of(address), Recipe(log=str(log)))
    folder = version.model_folder("prm")
    storage = storage_of(folder)
    finished = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    storage.remove(folder)
    for path, kept in finished.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(kept)
    trained = [line for line in calls(log) if line.startswith("prm")]
    build(path_of(address), Recipe(log=str(log)))
    assert [line for line in calls(log) if line.startswith("prm")] == trained
    assert check(version, STAGES) == []


def test_a_folder_copied_into_a_bucket_is_a_dataset_there(address: str, tmp_path: Path) -> None:
    local = build(tmp_path / "local")
    storage, folder = storage_of(path_of(address)), path_of(address)
    for name in content(local.path):
        storage.replace(folder / name, (local.path / name).read_bytes())
    version = open_version(address)
    assert version.manifest == local.manifest
    assert (version.model("prm") / "mean.txt").is_file()
    assert check(version, STAGES) == []
    assert build(folder).number == 1


@pytest.mark.parametrize("name", ["../../../../escaped", "/tmp/escaped"])
def test_nobodys_dataset_writes_outside_of_the_cache(dataset: Version, address: str, tmp_path: Path, name: str) -> None:
    storage, record = storage_of(dataset.path), dataset.manifest.models["prm"]
    file = record.files["mean.txt"]
    evil = dataset.manifest.model_copy(update={"models": {"prm": record.model_copy(update={"files": {name: file}})}})
    storage.replace(Store.open(dataset.path).manifest_path(1), evil.content())
    forget(tmp_path)
    with pytest.raises(InputError, match="file of a model"):
        open_version(address).model("prm")
    assert not list(tmp_path.rglob("escaped"))
    assert not Path("/tmp/escaped").exists()


def test_a_prefix_of_other_things_is_no_dataset(address: str) -> None:
    storage, folder = storage_of(path_of(address)), path_of(address)
    with pytest.raises(InputError, match="no such folder") as caught:
        open_version(address)
    assert caught.value.where == address
    storage.replace(folder / "thesis.txt", b"x")
    with pytest.raises(InputError, match="no `versions`"):
        open_version(address)
    with pytest.raises(InputError, match="other files") as caught:
        Store.create(folder)
    assert caught.value.examples == ["thesis.txt"]


def test_the_list_of_a_models_files_is_json_with_their_hashes(dataset: Version) -> None:
    folder = dataset.model_folder("prm")
    listed = json.loads(storage_of(folder).read(folder.with_name(f"{folder.name}.json")))
    assert listed == {"files": {name: file.model_dump() for name, file in dataset.manifest.models["prm"].files.items()}}
