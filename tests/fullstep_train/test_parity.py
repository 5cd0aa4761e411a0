"""Our DPO is everybody's DPO: same loss and gradient as the formula on all logits, and as TRL's where TRL is installed."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from fullstep_train import models
from tests.benchmarks.dpo_vs_trl import BETA, pairs_of, with_fullstep, with_trl
from tests.fullstep_train.frames import solution_text

PROMPT = "Problem: 3 + 5 - 1 =\nSolution:\n"
TEXTS = ["".join(solution_text(3, 5, 1, error)) for error in (0, 1, 2, 4)]


def moved(model: Any) -> None:
    """Away from the reference, so that the loss is not ln 2 whatever is computed."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))


def gradient(model: Any) -> torch.Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])


@pytest.fixture(scope="module")
def ours(tiny: Path, tiny_tokenizer: Any) -> tuple[float, torch.Tensor]:
    model = models.load_causal(tiny, torch.float32)
    run, _, _ = with_fullstep(model, tiny_tokenizer, PROMPT, TEXTS)
    moved(model)
    return run(len(pairs_of(TEXTS))), gradient(model)


def by_formula(model: Any, tokenizer: Any) -> list[torch.Tensor]:
    """[S] log pi of the solutions, one by one, from all logits."""
    start = len(tokenizer(PROMPT)["input_ids"])
    found = []
    for text in TEXTS:
        ids = torch.tensor([[*tokenizer(PROMPT + text)["input_ids"], tokenizer.eos_token_id]])
        logps = model(input_ids=ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])
        found.append(logps[start - 1 :].sum())
    return found


def test_the_formula(tiny: Path, tiny_tokenizer: Any, ours: tuple[float, torch.Tensor]) -> None:
    """Rafailov et al., arXiv 2305.18290, equation 7."""
    model = models.load_causal(tiny, torch.float32)
    with torch.no_grad():
        reference = by_formula(model, tiny_tokenizer)
    moved(model)
    rho = [BETA * (after - before) for after, before in zip(by_formula(model, tiny_tokenizer), reference, strict=True)]
    margins = torch.stack([rho[chosen] - rho[rejected] for chosen, rejected in pairs_of(TEXTS)])
    loss = -torch.nn.functional.logsigmoid(margins).mean()
    loss.backward()
    assert abs(float(loss.detach()) - 0.6931) > 1e-3
    assert ours[0] == pytest.approx(float(loss.detach()), abs=1e-5)
    assert float((ours[1] - gradient(model)).norm() / gradient(model).norm()) < 1e-5


@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="TRL is not installed: the formula is what is compared with")
@pytest.mark.filterwarnings("ignore")
def test_trl(tiny: Path, tiny_tokenizer: Any, ours: tuple[float, torch.Tensor]) -> None:
    model = models.load_causal(tiny, torch.float32)
    run, _, _ = with_trl(model, tiny_tokenizer, PROMPT, TEXTS)
    moved(model)
    assert ours[0] == pytest.approx(run(len(pairs_of(TEXTS))), abs=1e-5)
    assert float((ours[1] - gradient(model)).norm() / gradient(model).norm()) < 1e-5
