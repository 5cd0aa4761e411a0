"""checks: what a training would refuse is refused before it begins."""

from pathlib import Path

import pytest

from fullstep_train.checks import Kind, require_same_tokenizer, require_trainable
from fullstep_train.config import LoRA, PolicyTraining, PRMTraining
from schemas import InputError
from tests.models import tiny_model


@pytest.mark.parametrize("kind", ["prm", "policy"])
def test_lora_targets_are_looked_for_without_the_weights(tmp_path: Path, kind: Kind) -> None:
    folder = tiny_model(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    make = PRMTraining if kind == "prm" else PolicyTraining
    require_trainable(kind, folder, make(lora=LoRA(targets=("q_proj", "self_attn.k_proj"))))
    with pytest.raises(InputError, match=r"lora\.targets name no linear layer") as told:
        require_trainable(kind, folder, make(lora=LoRA(targets=("q_proj", "c_attn"))))
    assert told.value.examples == ["c_attn"]
    assert "q_proj" in told.value.next_step


def test_a_tokenizer_that_cannot_find_steps_is_refused(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="tokenizer"):
        require_trainable("policy", folder, PolicyTraining())


def test_quantised_weights_need_their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullstep_train.models.find_spec", lambda name: None)
    with pytest.raises(InputError, match="package that is not installed"):
        require_trainable("policy", tiny_model(tmp_path / "model"), PolicyTraining(lora=LoRA(quantised="nf4")))


@pytest.mark.parametrize(("kind", "subject"), [("prm", "the PRM"), ("policy", "the model that is to be trained")])
def test_texts_are_read_with_the_tokenizer_that_wrote_them(tmp_path: Path, kind: Kind, subject: str) -> None:
    own, same = tiny_model(tmp_path / "own"), tiny_model(tmp_path / "same", seed=1)
    require_same_tokenizer(own, same, kind)
    with pytest.raises(InputError, match=f"{subject} has another tokenizer") as caught:
        require_same_tokenizer(own, tiny_model(tmp_path / "other", vocab_extra=["<step>"]), kind)
    assert caught.value.count == 1
    assert "<step>" in str(caught.value.examples[0])
