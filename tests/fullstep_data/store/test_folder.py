"""The dataset folder: opening, versions, tags, parts, models, commits."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from fullstep_data.store import Store, Version, open_version
from schemas import TABLES, InputError
from tests.fullstep_data.small_chain import Recipe, build
from tests.fullstep_data.store.mounts import remount, tmpfs
from tests.kill import content

PROBLEMS = TABLES["problems"]
NO_REJECTS = TABLES["rejects"].empty()


def _rows(count: int) -> pl.DataFrame:
    fixed = {"question": "?", "answer": "1", "source": "s", "split": "train", "domain": "math"}
    return PROBLEMS.frame([{"problem_id": f"{index:04d}", **fixed} for index in range(count)])


@pytest.mark.parametrize("made", [False, True])
def test_opening_what_is_no_dataset_says_so(tmp_path: Path, made: bool) -> None:
    folder = tmp_path / "x"
    if made:
        folder.mkdir()
    with pytest.raises(InputError, match="not a dataset folder" if made else "no such folder") as caught:
        Store.open(folder)
    assert caught.value.where == str(folder)
    assert caught.value.next_step


def test_a_dataset_on_the_hub_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="an address on the Hub") as caught:
        open_version("hf://ann/sums@v1")
    assert caught.value.where == "hf://ann/sums@v1"
    assert "fs-data pull ann/sums@v1 --out DIR" in caught.value.next_step
    with pytest.raises(InputError, match="an address on the Hub"):
        Store.create(Path("hf://ann/sums"))
    assert not Path("hf:").exists()


def test_creating_over_a_file_or_in_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(InputError, match="a file, not a folder"):
        Store.create(tmp_path / "thesis.txt")
    with pytest.raises(InputError, match="other files") as caught:
        Store.create(tmp_path)
    assert caught.value.examples == ["thesis.txt"]


def test_creating_again_what_a_killed_build_began_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    (tmp_path / "build.lock").touch()
    with pytest.raises(InputError, match="no version of this dataset is finished"):
        Store.create(tmp_path).version()


def test_versions_are_found_by_number_and_tag_and_the_latest_by_default(dataset: Version) -> None:
    folder = dataset.path
    build(folder, Recipe(samples=6))
    store = Store.open(folder)
    store.tag("v1", 1)
    store.tag("v1", 1)
    assert store.tags() == {"v1": 1}
    assert [open_version(f"{folder}{at}").number for at in ("", "@1", "@2", "@000002", "@v1")] == [2, 1, 2, 2, 1]
    assert open_version(f"{folder}@1").frame("samples").height == 32
    assert open_version(f"{folder}").frame("samples").height == 48


@pytest.mark.parametrize(("spec", "near"), [("5", ["@1"]), ("v2", ["@v1 (version 1)"]), ("-1", ["@v1 (version 1)"])])
def test_an_unknown_version_names_those_near_it(dataset: Version, spec: str, near: list[str]) -> None:
    Store.open(dataset.path).tag("v1", 1)
    with pytest.raises(InputError, match="has no version") as caught:
        open_version(f"{dataset.path}@{spec}")
    assert caught.value.examples == near
    assert "version 1" in caught.value.next_step


def test_a_part_is_written_found_again_and_listed_by_no_version(tmp_path: Path) -> None:
    store = Store.create(tmp_path)
    with store.locked():
        written = store.write_part(PROBLEMS, "k", _rows(3), NO_REJECTS, rows_in=5)
        assert store.find_part("problems", "k") == written
        assert store.find_part("problems", "other") is None
    assert (written.rows, written.rows_in, written.rejects) == (3, 5, None)
    with pytest.raises(InputError, match="no version"):
        store.version()


def test_a_rival_that_takes_the_number_costs_only_the_next_number(dataset: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(dataset.path)
    rival = dataset.manifest.model_copy(update={"number": 2, "recipe": "the rival's"})
    numbers = store.numbers

    def numbers_before_the_rival() -> list[int]:
        found = numbers()
        store.manifest_path(2).write_bytes(rival.content())
        monkeypatch.undo()
        return found

    monkeypatch.setattr(store, "numbers", numbers_before_the_rival)
    mine = store.commit(dataset.manifest.model_copy(update={"recipe": "mine"}), {"created": "now"})
    assert mine.number == 3
    assert store.version(2).manifest.recipe == "the rival's"


def test_committing_the_same_again_gives_the_version_that_is_there(dataset: Version) -> None:
    before = content(dataset.path)
    again = Store.open(dataset.path).commit(dataset.manifest, {"created": "later"})
    assert again.number == 1
    assert content(dataset.path) == before
    assert "later" not in (dataset.path / "runs" / "000001.json").read_text()


def test_what_a_kill_after_the_manifest_left_out_is_made_up_for(dataset: Version) -> None:
    before = content(dataset.path)
    (dataset.path / "views.sql").unlink()
    (dataset.path / "runs" / "000001.json").unlink()
    build(dataset.path)
    assert content(dataset.path) == before
    assert (dataset.path / "runs" / "000001.json").exists()


def test_temp_files_of_a_killed_build_are_removed_by_the_next(dataset: Version) -> None:
    left = [dataset.path / "versions" / ".000002.json.99.tmp", dataset.files("steps")[0].parent / ".x.parquet.99.tmp"]
    for path in left:
        path.touch()
    build(dataset.path)
    assert not any(path.exists() for path in left)


def test_a_finished_dataset_on_a_read_only_disk_can_be_read_but_not_built(built: Path, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "4m") as disk:
        shutil.copytree(built, disk / "d")
        remount(disk, "ro")
        assert open_version(str(disk / "d")).frame("pairs").height == 7
        for folder in ("d", "new"):
            with pytest.raises(InputError, match="cannot be written"):
                build(disk / folder)


def test_a_damaged_file_of_a_part_or_model_is_never_taken_for_whole(dataset: Version) -> None:
    store = Store.open(dataset.path)
    key = dataset.manifest.tables["steps"].parts[0].key
    path = dataset.files("steps")[0]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="truncated or altered") as caught:
        store.find_part("steps", key)
    assert caught.value.where == str(path)
    assert [example.split()[0] for example in caught.value.examples if isinstance(example, str)] == ["expected", "found"]
    assert "delete this file" in caught.value.next_step

    model = dataset.manifest.models["prm"].key
    (dataset.model("prm") / "mean.txt").write_text("")
    with pytest.raises(InputError, match="file of a model"):
        store.find_model(model)


def test_missing_rejects_point_at_the_part_to_delete(dataset: Version) -> None:
    folder = dataset.path
    part = next(part for part in dataset.manifest.tables["pairs"].parts if part.rejects)
    rejects = folder / "parts" / "rejects" / f"{part.key}.parquet"
    rejects.unlink()
    with pytest.raises(InputError, match="is missing") as caught:
        build(folder)
    part_file = folder / "parts" / "pairs" / f"{part.key}.parquet"
    assert caught.value.where == str(rejects)
    assert str(part_file) in caught.value.next_step
    part_file.unlink()
    assert build(folder).number == 1
    assert rejects.exists()


def test_a_path_that_can_be_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    impossible = ("/proc/nothing/here", str(tmp_path / "file" / "x"), str(tmp_path / ("x" * 300)), str(tmp_path / "loop" / "x"))
    for path in impossible:
        with pytest.raises(InputError, match="no such folder") as caught:
            Store.create(Path(path))
        assert caught.value.where.startswith(path)
        assert caught.value.next_step
        with pytest.raises(InputError, match="no such folder"):
            open_version(path)


def test_a_damaged_manifest_is_made_anew_once_it_is_deleted(dataset: Version) -> None:
    path = Store.open(dataset.path).manifest_path(1)
    content_before = path.read_bytes()
    path.write_bytes(content_before.replace(b'"number": 1', b'"number": 2'))
    with pytest.raises(InputError, match="manifest of a version is damaged") as caught:
        build(dataset.path)
    assert "delete the file" in caught.value.next_step
    path.unlink()
    build(dataset.path)
    assert path.read_bytes() == content_before
