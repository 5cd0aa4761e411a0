"""Fewer files, the same rows, and a build that goes on as if nothing had happened."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from fullstep_data.check import check
from fullstep_data.diff import diff
from fullstep_data.lineage import lineage
from fullstep_data.store import Store, Version
from fullstep_data.store.compact import compact
from fullstep_data.store.garbage import collect
from fullstep_data.store.history import run_record
from tests.fullstep_data.small_chain import STAGES, Recipe, build, calls, run_stages


def compacted(version: Version, most_bytes: int = 1 << 20) -> Version:
    found = compact(Store.open(version.path), run_record({}), most_bytes)
    assert found is not None
    return found


def test_the_rows_are_the_same_in_fewer_files(dataset: Version) -> None:
    after = compacted(dataset)
    assert after.number == 2
    assert check(after, STAGES) == []
    for name in dataset.tables:
        assert after.frame(name).equals(dataset.frame(name)), name
        assert len(after.tables[name].stored) == min(len(dataset.tables[name].stored), 1) or name == "rejects"
    assert diff(dataset, after).same
    assert check(Store.open(dataset.path).version(1), STAGES) == []
    assert lineage(after).nodes["training rows"] == lineage(dataset).nodes["training rows"]


def test_parts_are_merged_up_to_a_size(dataset: Version) -> None:
    sizes = [part.bytes for part in dataset.tables["samples"].parts]
    after = compacted(dataset, most_bytes=2 * max(sizes))
    merged = [part.merged for part in after.tables["samples"].parts]
    assert all(len(members) in (0, 2) for members in merged)
    assert sum(max(len(members), 1) for members in merged) == len(sizes)


def test_a_compacted_version_has_nothing_left_to_merge(dataset: Version) -> None:
    after = compacted(dataset)
    assert compact(Store.open(after.path), run_record({})) is None
    assert Store.open(after.path).numbers() == [1, 2]


def test_merged_parts_are_merged_again_when_the_dataset_has_grown(dataset: Version) -> None:
    compacted(dataset)
    build(dataset.path, Recipe(samples=6))
    after = compacted(Store.open(dataset.path).version())
    assert len(after.tables["samples"].stored) == 1
    assert check(after, STAGES) == []


@pytest.mark.parametrize("collected", [False, True])
def test_the_same_build_again_is_the_same_version(dataset: Version, collected: bool) -> None:
    after = compacted(dataset)
    if collected:
        collect(Store.open(dataset.path), keep=1, min_age=timedelta(0))
    again = build(dataset.path)
    assert again.number == after.number
    assert again.manifest == after.manifest


def test_growth_after_the_small_files_are_gone_computes_only_what_is_new(dataset: Version, tmp_path: Path) -> None:
    """The same calls, and parts of the same bytes, as growth of a dataset that was never compacted."""
    calm = tmp_path / "calm"
    shutil.copytree(dataset.path, calm)
    compacted(dataset)
    collect(Store.open(dataset.path), keep=1, min_age=timedelta(0))
    assert len(list(dataset.path.glob("parts/samples/*"))) == 1
    logs = {folder: tmp_path / f"{folder.name}.log" for folder in (calm, dataset.path)}
    versions = {folder: build(folder, Recipe(samples=6, log=str(log))) for folder, log in logs.items()}
    assert calls(logs[dataset.path]) == calls(logs[calm])
    one, two = versions.values()
    assert two.manifest.same_content(one.manifest)  # checksums of every part among it
    assert check(two, STAGES) == []


def test_manifests_without_merged_parts_are_what_they_were(dataset: Version) -> None:
    text = Store.open(dataset.path).manifest_path(1).read_text()
    assert "merged" not in text
    assert '"format": 1' in text
    after = compacted(dataset)
    assert '"format": 2' in Store.open(dataset.path).manifest_path(after.number).read_text()


def test_a_dataset_of_one_part_per_table_is_left_alone(tmp_path: Path) -> None:
    version = run_stages(tmp_path / "one", STAGES[:1], Recipe(problems=3))
    assert compact(Store.open(version.path), run_record({})) is None
    assert not list(version.path.glob("versions/*.compacted"))
