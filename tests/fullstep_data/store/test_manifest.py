"""Manifests to bytes and back."""

import json
from pathlib import Path

import pytest

from fullstep_data.store.manifest import FORMAT, Manifest
from schemas import InputError
from tests.fullstep_data.small_chain import build


def _bytes(folder: Path) -> bytes:
    return (folder / "versions" / "000001.json").read_bytes()


def test_a_manifest_survives_the_way_to_bytes_and_back(built: Path) -> None:
    content = _bytes(built)
    manifest = Manifest.parse(content, where="here", number=1)
    assert manifest.content() == content
    (solutions,) = manifest.tables["solutions"].stages
    assert solutions.counts.rows_in == 32
    assert solutions.counts.kept + sum(solutions.counts.rejected.values()) == 32


def test_nothing_in_a_manifest_depends_on_place_or_time(built: Path, tmp_path: Path) -> None:
    content = _bytes(built)
    build(tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "versions" / "000001.json").read_bytes() == content
    assert str(built).encode() not in content


def test_a_newer_format_asks_for_an_upgrade_and_names_both_numbers(built: Path) -> None:
    data = json.loads(_bytes(built)) | {"format": FORMAT + 6, "something": "new"}
    with pytest.raises(InputError) as caught:
        Manifest.parse(json.dumps(data).encode(), where="here", number=1)
    assert f"format {FORMAT + 6}" in caught.value.what
    assert f"format {FORMAT}" in caught.value.what
    assert caught.value.next_step == "upgrade fullstep"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"format": 1}', b'{"format": 1, "number": "x"}'])
def test_a_damaged_manifest_is_an_input_error(content: bytes) -> None:
    with pytest.raises(InputError, match="manifest of a version is damaged") as caught:
        Manifest.parse(content, where="versions/000001.json", number=1)
    assert caught.value.where == "versions/000001.json"


def test_a_manifest_under_another_number_and_a_wrong_type_are_named(built: Path) -> None:
    with pytest.raises(InputError, match="it says that it is of version 1"):
        Manifest.parse(_bytes(built), where="versions/000002.json", number=2)
    data = json.loads(_bytes(built))
    data["tables"]["steps"]["stages"][0]["parts"][0]["rows"] = "many"
    with pytest.raises(InputError, match=r"tables\.steps\.stages\.0\.parts\.0\.rows"):
        Manifest.parse(json.dumps(data).encode(), where="versions/000001.json", number=1)


def test_same_content_disregards_the_number_alone(built: Path) -> None:
    manifest = Manifest.parse(_bytes(built), where="", number=1)
    assert manifest.same_content(manifest.model_copy(update={"number": 9}))
    assert not manifest.same_content(manifest.model_copy(update={"recipe": {}}))
