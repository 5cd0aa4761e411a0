"""The log of a dataset."""

import subprocess
from pathlib import Path

import pytest

from fullstep_data.store import Store, Version
from fullstep_data.store.compact import compact
from fullstep_data.store.history import git_state, history, run_record
from schemas import InputError
from tests.fullstep_data.small_chain import Recipe, build


def test_each_version_says_what_changed_in_recipe_and_tables(dataset: Version) -> None:
    build(dataset.path, Recipe(samples=6))
    store = Store.open(dataset.path)
    store.tag("v1", 1)
    first, second = history(store)
    assert (first.number, first.tags, first.changes, first.before) == (1, ("v1",), (), None)
    assert (second.before, second.merged) == (1, False)
    assert (second.number, second.tags, second.changes) == (2, (), ("samples: 4 → 6",))
    samples = second.tables["samples"]
    assert (samples.rows, samples.rows_before, samples.parts, samples.parts_new) == (48, 32, 9, 3)
    assert first.tables["samples"].rows_before is None
    assert first.tables["problems"].rejected == {"the answer is missing": 1}
    assert first.run is not None
    assert first.run["stages"]["samples"]["computed"] == 6
    assert second.run is not None
    assert second.run["stages"]["samples"] | {"seconds": 0} == {"seconds": 0, "computed": 3, "reused": 6}
    assert "polars" in first.run["packages"]
    assert first.created is not None
    assert first.created.endswith("+00:00")


def test_a_compacted_version_is_told_and_what_it_merges_is_not_new(dataset: Version) -> None:
    store = Store.open(dataset.path)
    compact(store, run_record({}))
    build(dataset.path, Recipe(samples=6))
    first, second, third = history(store)
    assert [one.merged for one in (first, second, third)] == [False, True, False]
    assert {table.parts_new for table in second.tables.values()} == {0}
    assert third.tables["problems"].parts_new == 0
    assert third.tables["samples"].parts_new == 3


def test_the_record_names_the_commit_that_a_run_stands_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        person = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.run(
            ("git", "-C", str(tmp_path), *person, *arguments), check=True, capture_output=True, text=True
        ).stdout

    assert git_state(tmp_path) is None
    git("init", "-q")
    assert git_state(tmp_path) is None
    (tmp_path / "recipe.toml").write_text("a")
    git("add", ".")
    git("commit", "-qm", "first")
    commit = git("rev-parse", "HEAD").strip()
    (tmp_path / "data").mkdir()
    assert git_state(tmp_path / "data") == {"commit": commit, "changed": False}
    (tmp_path / "recipe.toml").write_text("b")
    assert git_state(tmp_path) == {"commit": commit, "changed": True}
    monkeypatch.chdir(tmp_path)
    store = Store.open(build(tmp_path / "built", Recipe(samples=2)).path)
    (entry,) = history(store)
    assert entry.run is not None
    assert entry.run["git"] == {"commit": commit, "changed": True}


def test_a_lost_run_record_costs_only_the_time(dataset: Version) -> None:
    (dataset.path / "runs" / "000001.json").unlink()
    (entry,) = history(Store.open(dataset.path))
    assert (entry.created, entry.run) == (None, None)
    assert entry.tables["problems"].rows == 10


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"created": '])
def test_a_damaged_run_record_is_named(dataset: Version, content: bytes) -> None:
    path = dataset.path / "runs" / "000001.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="record of a run is damaged") as caught:
        list(history(Store.open(dataset.path)))
    assert caught.value.where == str(path)
