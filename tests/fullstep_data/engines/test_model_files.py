"""A model is a folder with settings and weights, an adapter on one, or a Hub id at a commit; anything else is one clear error."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fullstep_data.engines.model_files import ModelPlace, find_model, model_identity
from schemas import InputError


def whole(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_a_folder_is_found_as_it_is_and_from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = whole(tmp_path / "model")
    assert find_model(folder) == find_model("~/model") == ModelPlace(str(folder))
    assert find_model(folder).adapter is None
    assert model_identity("~/model") == model_identity(folder)


def test_an_adapter_is_known_by_its_config(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(b"low rank")
    assert find_model(folder).adapter == folder / "adapter_config.json"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "model path does not exist"),
        (lambda path: path.write_text("GGUF"), "is a file, not a folder"),
        (lambda path: path.mkdir(), "no config.json"),
        (lambda path: (path.mkdir(), (path / "config.json").write_text("{}")), "no weights"),
    ],
)
def test_no_model(make: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    make(tmp_path / "model")
    for attempt in (find_model, model_identity):
        with pytest.raises(InputError, match=message) as caught:
            attempt(tmp_path / "model")
        assert caught.value.where == str(tmp_path / "model")
        assert caught.value.next_step


def test_a_name_that_neither_folder_nor_hub_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="neither a folder here nor"):
        find_model("nobody-here/no-such-model")
