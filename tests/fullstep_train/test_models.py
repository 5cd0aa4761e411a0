"""models: names to folders, folders to hashes, and one clear error for each way to be wrong."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import PartialState
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from fullstep_train import models
from schemas import InputError


def test_a_local_folder_and_a_hub_id_are_what_they_are(tiny: Path) -> None:
    assert models.resolve(str(tiny)) == tiny
    assert models.resolve("owner/some-model-1.5B") == "owner/some-model-1.5B"


@pytest.mark.parametrize("name", ["/no/such/folder", "no-such-model", "./a/b", "a/b/c"])
def test_a_path_that_does_not_exist(name: str) -> None:
    with pytest.raises(InputError, match="model path does not exist") as caught:
        models.resolve(name)
    assert "tiny-random" in caught.value.next_step


def test_a_file_and_an_empty_folder_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        models.resolve(str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="not a folder"):
        models.resolve(str(tmp_path / "file"))


def test_identity_is_of_the_content_only(tiny: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(tiny, copy)
    (copy / "README.md").write_text("not part of the model")
    os.utime(copy / "config.json", (0, 0))
    assert models.identity(copy) == models.identity(tiny)
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert models.identity(copy) != models.identity(tiny)


def test_a_damaged_model_is_the_users_to_mend(tiny: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(tiny, copy)
    (copy / "model.safetensors").unlink()
    with pytest.raises(InputError, match="model cannot be loaded"):
        models.load_causal(copy, torch.float32)
    settings = json.loads((copy / "config.json").read_text()) | {"model_type": "unheard-of"}
    (copy / "config.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match="cannot be loaded"):
        models.load_token_classifier(copy, torch.float32)


def test_a_tokenizer_without_an_end_token(tmp_path: Path) -> None:
    made: Any = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"a": 0, "?": 1}, unk_token="?")), unk_token="?")
    made.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="no end token"):
        models.load_tokenizer(tmp_path)


def test_a_tokenizer_without_offsets(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        is_fast = False

    monkeypatch.setattr(models.AutoTokenizer, "from_pretrained", lambda name: Slow())
    with pytest.raises(InputError, match="no character offsets"):
        models.load_tokenizer(tiny)


def test_computing_is_where_accelerate_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine with a GPU, where somebody has asked for the CPU (ACCELERATE_USE_CPU)."""
    PartialState(cpu=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert models.device() == torch.device("cpu")
