"""Addresses and paths, and what a folder of this machine answers."""

from pathlib import Path

import pytest

from fullstep_data.store import Store, parse_spec
from fullstep_data.store.names import names_dataset
from fullstep_data.store.storage import DISK, Entry, cache_folder, is_bucket, path_of, shown, storage_of
from schemas import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FULLSTEP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("address", ["s3://sets/a/b", "s3://sets", "gs://my-bucket.eu/x"])
def test_an_address_has_a_path_in_the_cache_and_is_shown_as_it_was_typed(address: str, cache: Path) -> None:
    path = path_of(address)
    assert path == cache / "objects" / address.replace("://", "/")
    assert shown(path) == address
    assert shown(path / "versions" / "000001.json") == f"{address}/versions/000001.json"
    assert path_of(f"{address}/") == path
    assert is_bucket(address)
    assert names_dataset(f"{address}@v1")


def test_a_path_of_this_machine_stays_what_it_is(tmp_path: Path, cache: Path) -> None:
    for text in ("out/tiny", str(tmp_path), "a:b", str(cache), str(cache / "objects"), str(cache / "objects" / "s3")):
        assert path_of(text) == Path(text)
        assert shown(Path(text)) == text
        assert storage_of(Path(text)) is DISK
        assert not is_bucket(text)


def test_the_cache_is_below_home_where_nothing_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FULLSTEP_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "fullstep"
    assert path_of("s3://sets/a") == Path.home() / ".cache" / "fullstep" / "objects" / "s3" / "sets" / "a"


def test_a_version_stands_after_the_last_at_of_an_address() -> None:
    sums = path_of("s3://sets/sums")
    assert parse_spec("s3://sets/sums") == (sums, None)
    assert parse_spec("s3://sets/sums@v1") == (sums, "v1")
    assert parse_spec("s3://sets/me@home/sums@2026-11-22") == (path_of("s3://sets/me@home/sums"), "2026-11-22")
    assert parse_spec("s3://sets/me@home/sums") == (path_of("s3://sets/me@home/sums"), None)


@pytest.mark.parametrize(
    "text", ["s3://", "s3:///x", "s3://sets//x", "s3://sets/../x", "s3://KEY:SECRET@sets/x", "s3://KEY:SECRET@sets"]
)
def test_what_is_no_address_is_refused_and_keys_in_it_are_not_repeated(text: str) -> None:
    with pytest.raises(InputError, match="no address of objects") as caught:
        parse_spec(text)
    assert "s3://BUCKET/PREFIX" in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_other_kinds_of_address_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="begin with azure:// are not known") as caught:
        path_of("azure://x/y")
    assert "s3://BUCKET/PREFIX and gs://BUCKET/PREFIX" in caught.value.next_step


def test_an_address_that_was_taken_for_a_path_makes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="an address in a bucket"):
        Store.create(Path("s3://sets/x"))
    assert list(tmp_path.iterdir()) == []


def test_what_lies_in_a_folder_is_listed_with_size_and_time(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    assert (DISK.names(folder), DISK.children(folder), DISK.size(folder)) == ([], [], None)
    DISK.replace(folder / "b" / "inner" / "file", b"12345")
    DISK.create(folder / "a", b"1")
    modified = [(folder / name).stat().st_mtime for name in ("a", "b/inner/file")]
    first, second = DISK.children(folder)
    assert first == Entry(folder / "a", 1, modified[0])
    assert (second.path, second.bytes) == (folder / "b", 5)
    assert second.modified >= modified[1]
    with pytest.raises(FileExistsError):
        DISK.create(folder / "a", b"2")
    DISK.keep(folder / "a", b"22")
    assert (DISK.read(folder / "a"), DISK.size(folder / "a")) == (b"22", 2)
    DISK.remove(folder / "b")
    assert DISK.names(folder) == ["a"]
