"""A model is its content: where it lies, what it is called there and what else lies beside it make no difference."""

import json
import os
import shutil
from pathlib import Path

import pytest

from schemas.model_files import model_identity

MODEL = {
    "config.json": b'{"model_type": "llama"}',
    "generation_config.json": b"{}",
    "model-00001-of-00002.safetensors": b"first",
    "model-00002-of-00002.safetensors": b"second",
    "model.safetensors.index.json": b"{}",
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "spiece.model": b"pieces",
    "vocab.json": b"{}",
    "merges.txt": b"a b",
}


def no_hub(name: str) -> str:
    raise AssertionError(f"the Hub was asked for {name}")


def hub(name: str) -> str:
    return f"commit of {name}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path / "model", MODEL)


def written(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_a_copy_with_other_times_and_other_files_is_the_same_model(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "elsewhere")
    (copy / "README.md").write_text("a note")
    (copy / "prm.json").write_text("{}")
    (copy / "tokenizer").mkdir()
    os.utime(copy / "config.json", (0, 0))
    assert model_identity(copy, no_hub) == model_identity(folder, no_hub)
    assert model_identity(str(copy), no_hub) == model_identity(folder, no_hub)


@pytest.mark.parametrize("name", MODEL)
def test_every_file_of_a_model_counts(name: str, folder: Path, tmp_path: Path) -> None:
    before = model_identity(folder, no_hub)
    (folder / name).write_bytes(MODEL[name] + b" ")
    assert model_identity(folder, no_hub) != before
    (folder / name).write_bytes(MODEL[name])
    assert model_identity(folder, no_hub) == before
    (folder / name).rename(folder / f"other-{name}.txt")
    assert model_identity(folder, no_hub) != before


def test_a_hub_id_is_known_by_its_commit() -> None:
    assert model_identity("owner/name", hub) == model_identity("owner/name", hub)
    assert model_identity("owner/name", hub) != model_identity("owner/other", hub)
    assert model_identity("owner/name", hub) != model_identity("owner/name", lambda name: "a later commit")


def test_an_adapter_counts_with_its_base_wherever_that_lies(folder: Path, tmp_path: Path) -> None:
    def adapter(name: str, base: Path | str, rank: int = 4) -> Path:
        settings = {"base_model_name_or_path": str(base), "r": rank}
        return written(
            tmp_path / name, {"adapter_config.json": json.dumps(settings).encode(), "adapter_model.safetensors": b"low rank"}
        )

    first = model_identity(adapter("first", folder), no_hub)
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert model_identity(adapter("second", moved), no_hub) == first
    (moved / "config.json").write_bytes(b"{}")
    assert model_identity(tmp_path / "second", no_hub) != first
    assert model_identity(adapter("third", folder, rank=8), no_hub) != first
    assert model_identity(adapter("fourth", "owner/name"), hub) != first
