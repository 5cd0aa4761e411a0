"""A PRM in vLLM: the rewards of transformers (marked `vllm`), and what is told without vLLM."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForTokenClassification, LlamaForTokenClassification

from fullstep_data.config import QwenFormat, VLLMScoring
from fullstep_data.engines.prm_layouts import TOO_LONG
from fullstep_data.engines.protocol import ScoreRequest
from fullstep_data.engines.public_prm import PublicPRMTool
from fullstep_data.engines.vllm_scorer import PublicVLLMScorerTool, VLLMScorer
from schemas import InputError
from tests.fullstep_data.engines.one_vllm import close
from tests.fullstep_data.engines.public_prms import asked, prm_of
from tests.models import tiny_model, tiny_tokenizer

CONFIG = VLLMScoring(dtype="float32", eager=True)
PROMPT = "Problem: State the final answer to the following arithmetic problem: 4 + 3 - 2 =\n"
STEPS = ("Step 1: 4 + 3 = 7.\n", "Step 2: 7 - 2 = 5.\n", "Step 3: The answer is \\boxed{5}.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random PRM whose head is wide enough that rewards are far from 1/2."""
    folder = tmp_path_factory.mktemp("prm")
    model = LlamaForTokenClassification.from_pretrained(tiny_model(folder / "base", hidden=128), num_labels=2)
    torch.nn.init.normal_(model.score.weight, std=0.5, generator=torch.Generator().manual_seed(0))
    torch.nn.init.zeros_(model.score.bias)
    model.save_pretrained(folder / "prm")
    tiny_tokenizer().save_pretrained(folder / "prm")
    return folder / "prm"


def read(request: ScoreRequest) -> tuple[Sequence[int], Sequence[int]] | str:
    """The ids, each step judged at the last token of its text alone."""
    encode = tiny_tokenizer()
    pieces = [request.prompt, *(request.text[a:b] for a, b in zip((0, *request.stops), request.stops, strict=False))]
    ids = [encode(piece, add_special_tokens=False)["input_ids"] for piece in pieces]
    if sum(map(len, ids)) > 300:
        return "longer than max_length"
    lengths = torch.tensor([len(one) for one in ids]).cumsum(0)
    return [token for one in ids for token in one], (lengths[1:] - 1).tolist()


def solution(count: int, prompt: str = PROMPT) -> ScoreRequest:
    """The first `count` steps."""
    stops = tuple(len("".join(STEPS[:k])) for k in range(1, count + 1))
    return ScoreRequest(prompt, "".join(STEPS[:count]), stops, finished=True)


GROUPS = [[solution(3), solution(2), solution(3, "x" * 900)], [solution(1, "Problem: 1 + 1\n")], [solution(3)], []]


@pytest.mark.vllm
def test_rewards_are_those_of_transformers(folder: Path) -> None:
    """Within 1e-4, also where a solution repeats an earlier one, whose blocks the cache holds."""
    close()
    scorer = VLLMScorer("vllm:test", folder, CONFIG, read)
    ticks: list[tuple[int, int]] = []
    found = scorer.score(GROUPS, lambda done, total: ticks.append((done, total)))
    scorer.close()
    assert ticks == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert found[0][2] == "longer than max_length"
    assert found[3] == []
    model = AutoModelForTokenClassification.from_pretrained(folder).eval()
    rewards: list[float] = []
    for group, results in zip(GROUPS, found, strict=True):
        for request, result in zip(group, results, strict=True):
            if isinstance(result, str):
                continue
            ids, places = read(request)
            with torch.no_grad():
                expected = model(torch.tensor([ids])).logits[0, places].softmax(-1)[:, 1].tolist()
            assert result == pytest.approx(expected, abs=1e-4)
            rewards += result
    assert len(rewards) == 3 + 2 + 1 + 3
    assert max(rewards) - min(rewards) > 0.2


@pytest.mark.vllm
def test_step_pooling_gives_the_rewards_of_transformers(tmp_path: Path) -> None:
    """Qwen2.5-Math-PRM's architecture and format: probabilities at the tags alone, within 1e-4."""
    close()
    groups = [[asked(3), asked(2), asked(1, "How many apples?")], [asked(3, "9" * 600), asked(3)]]
    folder = prm_of(QwenFormat(), tmp_path / "prm", hidden=128)
    scorer = PublicVLLMScorerTool(CONFIG, str(folder), QwenFormat()).open({})
    found = scorer.score(groups)
    scorer.close()
    expected = PublicPRMTool(str(folder), QwenFormat()).open({}).score(groups)
    assert found[1][0] == expected[1][0] == TOO_LONG
    rewards: list[float] = []
    for group, wanted in zip(found, expected, strict=True):
        for result, reward in zip(group, wanted, strict=True):
            assert result == (reward if isinstance(reward, str) else pytest.approx(reward, abs=1e-4))
            rewards += [] if isinstance(result, str) else result
    assert len(rewards) == 3 + 2 + 1 + 3
    assert max(rewards) - min(rewards) > 0.05


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_the_extra_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match="needs the package vllm"):
        VLLMScorer("vllm:test", folder, CONFIG, read)
