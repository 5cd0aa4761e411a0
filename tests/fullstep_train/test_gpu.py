"""On a CUDA GPU: what the CPU gives, in float32 closely and in bfloat16 roughly; both trainings run in bfloat16.

pytest -m gpu tests/fullstep_train/test_gpu.py
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fullstep_train import models
from fullstep_train.config import Attention, LoRA
from fullstep_train.forward import Runs, answer_logprobs, no_dropout, probe
from fullstep_train.prm import initialise_head
from tests.fullstep_train.runs import RUNS, weights
from tests.fullstep_train.test_forward import gradient, solutions_of_one_problem

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA GPU on this machine"),
]


def causal(folder: Path) -> Any:
    model = models.load_causal(folder, torch.float32)
    answer_logprobs(model)
    return model


def classifier(folder: Path) -> Any:
    model = models.load_token_classifier(folder, torch.float32, num_labels=2)
    initialise_head(model, seed=0)
    no_dropout(model)
    return model


KINDS: dict[str, tuple[Callable[[Path], Any], Callable[..., list[Tensor]]]] = {
    "logprobs": (causal, Runs.logprobs),
    "step_logits": (classifier, Runs.step_logits),
}


@pytest.mark.parametrize("attention", ["auto", "dense"])
@pytest.mark.parametrize("max_tokens", [10_000, 20])
@pytest.mark.parametrize("kind", KINDS)
def test_trees_in_float32_give_what_the_cpu_gives(tiny: Path, kind: str, max_tokens: int, attention: Attention) -> None:
    """Values within 1e-4, and the gradient within 1e-4 of its length, in one pack and in several, by both kinds of mask."""
    make, run = KINDS[kind]
    solutions, found, gradients = solutions_of_one_problem(prompt=150, shared=12), [], []
    for place in ("cpu", "cuda"):
        model = make(tiny).to(place)
        runs = probe(model, max_tokens, torch.float32, attention)
        assert runs.trees
        assert runs.flex == (place == "cuda" and attention == "auto")
        values = [value.flatten() for value in run(runs, model, solutions)]
        gradients.append(gradient(model, [value.cpu() for value in values]).cpu())
        found.append(torch.cat(values).detach().cpu())
    assert found[1].dtype == torch.float32
    assert torch.allclose(found[0], found[1], rtol=0, atol=1e-4)
    assert float((gradients[0] - gradients[1]).norm() / gradients[0].norm()) < 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_trees_in_bfloat16_are_within_three_hundredths(tiny: Path, kind: str) -> None:
    make, run = KINDS[kind]
    solutions = solutions_of_one_problem(prompt=40, shared=12)
    with torch.no_grad():
        exact = torch.cat(run(Runs(10_000, torch.float32), make(tiny), solutions))
        model = make(tiny).to("cuda")
        runs = probe(model, 10_000, torch.bfloat16)
        assert runs.trees
        assert runs.flex
        rough = torch.cat(run(runs, model, solutions)).cpu()
    assert rough.dtype == torch.float32
    assert not torch.equal(exact, rough)
    assert float((exact - rough).norm() / exact.norm()) < 3e-2


@pytest.mark.parametrize("lora", [None, LoRA(rank=4)])
@pytest.mark.parametrize("kind", RUNS)
def test_training_in_bfloat16_leaves_finite_losses(tmp_path: Path, kind: str, lora: LoRA | None) -> None:
    """dtype auto is bfloat16 here. Both begin at ln 2: the policy is the reference, and the head knows nothing."""
    assert models.compute_dtype("auto") == torch.bfloat16
    folder = RUNS[kind](tmp_path / "auto", dtype="auto", lora=lora, epochs=2)
    curve = json.loads((folder / "training.json").read_text())
    assert np.isfinite([value for entry in curve for value in entry.values()]).all()
    assert curve[0]["loss"] == pytest.approx(np.log(2), abs=0.05 if kind == "policy" else 0.3)
    assert len(curve) == (6 if kind == "policy" else 4)  # 6 problems, of which the PRM holds 2 back, twice, 2 a step
    assert torch.isfinite(weights(folder).float()).all()
    if kind == "prm":
        assert json.loads((folder / "metrics.json").read_text())["validation"]["auc"] is not None
