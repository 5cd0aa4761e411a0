"""Datasets in a bucket: the same as in a folder, whatever rivals, kills and a cache that is gone."""

import json
import os
from datetime import timedelta
from pathlib import Path

import boto3
import pytest

from fullstep_data.check import check
from fullstep_data.diff import diff
from fullstep_data.query import sql
from fullstep_data.store import Store, Version, open_version
from fullstep_data.store.compact import compact
from fullstep_data.store.garbage import collect, garbage
from fullstep_data.store.history import history
from fullstep_data.store.storage import path_of, storage_of
from schemas import InputError
from tests.fullstep_data.small_chain import STAGES, Recipe, build, calls
from tests.fullstep_data.store.buckets import forget, in_bucket, in_folder
from tests.kill import content
from tests.object_server import BUCKET, ObjectServer


@pytest.fixture
def dataset(address: str) -> Version:
    return build(path_of(address))


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


def test_objects_that_stand_for_folders_are_no_files(dataset: Version, address: str, tmp_path: Path) -> None:
    """A console's "create folder" makes an object with a slash at its end; SeaweedFS shows such for folders that were emptied."""
    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name="us-east-1")
    model = f"models/{dataset.model_folder('prm').name}"
    for folder in ("", "tags", "versions", "runs", "builds", "parts", "parts/steps", "parts/none", "models", model):
        client.put_object(Bucket=BUCKET, Key=f"{address.removeprefix(f's3://{BUCKET}/')}/{folder}/".replace("//", "/"), Body=b"")
    client.close()
    forget(tmp_path)
    store = Store.open(dataset.path)
    assert (store.tags(), store.numbers()) == ({}, [1])
    assert check(open_version(address), STAGES) == []
    assert build(dataset.path, Recipe(samples=6)).number == 2
    assert garbage(store, min_age=timedelta(0)).removed == ()
    assert collect(store, keep=1, min_age=timedelta(0)).versions == (1,)
    assert check(store.version(), STAGES) == []


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


def test_a_model_whose_fetch_was_killed_at_its_end_is_fetched_again(dataset: Version, address: str) -> None:
    """The folder is there, and not yet what says that it is whole."""
    folder = dataset.model_folder("prm")
    good = (folder / "mean.txt").read_bytes()
    folder.with_name(f"{folder.name}.json").unlink()
    (folder / "mean.txt").write_bytes(b"half")
    assert (open_version(address).model("prm") / "mean.txt").read_bytes() == good
    assert [path for path in folder.parent.iterdir() if path.name.startswith(".")] == []


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
    with pytest.raises(InputError, match="there is nothing at this address") as caught:
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
