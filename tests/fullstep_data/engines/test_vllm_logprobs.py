"""Log-probs of given tokens in vLLM: those of transformers (marked `vllm`), and what is told without vLLM."""

import importlib.util
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from fullstep_data.config import VLLMReference
from fullstep_data.engines.vllm_logprobs import VLLMLogprobs
from schemas import InputError
from tests.fullstep_data.engines.one_vllm import close
from tests.models import tiny_model, tiny_tokenizer

CONFIG = VLLMReference(dtype="float32", eager=True)
TEXTS = ("Problem: 4 + 3 - 2 =\nStep 1: 4 + 3 = 7.", "Problem: 4 + 3 - 2 =\nStep 1: 4 + 3 = 8. Step 2: 8 - 2 = 6.", "a 问题 🧮")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("reference") / "model", hidden=128)


@pytest.mark.vllm
def test_they_are_those_of_transformers(folder: Path) -> None:
    """Within 1e-4, also of texts that begin alike, and asked for again."""
    close()
    logprobs = VLLMLogprobs(str(folder), CONFIG)
    encoded = [tiny_tokenizer()(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    texts = [(ids, start) for ids, start in zip(encoded, (12, 12, 1), strict=True)]
    found = logprobs(texts)
    assert logprobs([]) == []
    assert logprobs(texts[:1])[0] == pytest.approx(found[0], abs=1e-4)
    with pytest.raises(InputError, match="vLLM reads 511 tokens of a text at most") as caught:
        logprobs([([5] * 512, 3)])
    logprobs.close()
    assert "policy.max_length = 511" in caught.value.next_step
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    for (ids, start), numbers in zip(texts, found, strict=True):
        with torch.no_grad():
            logps = model(torch.tensor([ids])).logits.log_softmax(-1)[0, :-1].gather(1, torch.tensor(ids)[1:, None])[:, 0]
        assert numbers == pytest.approx(logps[start - 1 :].tolist(), abs=1e-4)
        assert len(numbers) == len(ids) - start


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_the_extra_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match="needs the package vllm"):
        VLLMLogprobs(str(folder), CONFIG)
