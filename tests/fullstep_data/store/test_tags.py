"""Names for versions."""

from pathlib import Path

import pytest

from fullstep_data.store import Store, Version
from fullstep_data.store.tags import add_tag, read_tags, remove_tag
from schemas import InputError
from tests.fullstep_data.small_chain import Recipe, build


def test_tags_are_added_read_and_taken_away(tmp_path: Path) -> None:
    assert read_tags(tmp_path) == {}
    for name, number in (("v2", 2), ("best", 1), ("v2", 2)):
        add_tag(tmp_path, name, number)
    assert list(read_tags(tmp_path).items()) == [("best", 1), ("v2", 2)]
    assert (tmp_path / "tags" / "v2").read_bytes() == b"2\n"
    assert remove_tag(tmp_path, "v2") == 2
    assert read_tags(tmp_path) == {"best": 1}
    with pytest.raises(InputError, match="has no tag 'v2'") as caught:
        remove_tag(tmp_path, "v2")
    assert caught.value.next_step == "it has best"


def test_a_tag_never_moves_and_is_no_number(dataset: Version) -> None:
    build(dataset.path, Recipe(samples=6))
    store = Store.open(dataset.path)
    store.tag("best", 1)
    with pytest.raises(InputError, match="names version 1 already"):
        store.tag("best", 2)
    for name in ("7", "a/b", "", ".x"):
        with pytest.raises(InputError, match="cannot be a tag"):
            store.tag(name, 1)
    with pytest.raises(InputError, match="has no version"):
        store.tag("later", 3)
    assert read_tags(dataset.path) == {"best": 1}


def test_a_damaged_tag_is_named(dataset: Version) -> None:
    store = Store.open(dataset.path)
    store.tag("v1", 1)
    (dataset.path / "tags" / "v1").write_bytes(b"\xffone")
    with pytest.raises(InputError, match="file of a tag is damaged") as caught:
        store.version("v1")
    assert caught.value.where == str(dataset.path / "tags" / "v1")
    with pytest.raises(InputError, match="file of a tag is damaged"):
        store.tag("v1", 1)
