"""logprobs: the chunked log-probs are the naive ones, in value and gradient, and never make logits of all tokens."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fullstep_train import logprobs
from fullstep_train.logprobs import Head, token_logprobs


def naive(hidden: Tensor, targets: Tensor, head: Head) -> Tensor:
    logits = hidden @ head.weight.T
    if head.bias is not None:
        logits = logits + head.bias
    logits = logits * head.scale
    if head.softcap is not None:
        logits = head.softcap * torch.tanh(logits / head.softcap)
    return logits.log_softmax(-1)[torch.arange(len(targets)), targets]


@pytest.mark.parametrize("block", [1, 40, 10**6])
@pytest.mark.parametrize(
    ("scale", "softcap", "with_bias"), [(1.0, None, False), (0.5, None, True), (1.0, 3.0, False), (2.0, 1.5, True)]
)
def test_equals_the_naive_way(
    monkeypatch: pytest.MonkeyPatch, block: int, scale: float, softcap: float | None, with_bias: bool
) -> None:
    monkeypatch.setitem(logprobs.BLOCK, "cpu", block)
    drawn = torch.Generator().manual_seed(0)
    leaves = [torch.randn(7, 5, generator=drawn, dtype=torch.float64), torch.randn(13, 5, generator=drawn, dtype=torch.float64)]
    if with_bias:
        leaves.append(torch.randn(13, generator=drawn, dtype=torch.float64))
    targets = torch.randint(13, (7,), generator=drawn)
    factors = torch.randn(7, generator=drawn, dtype=torch.float64)
    found = []
    for way in (naive, token_logprobs):
        hidden, *head = (leaf.clone().requires_grad_() for leaf in leaves)
        values = way(hidden, targets, Head(head[0], head[1] if with_bias else None, scale, softcap))
        (values * factors).sum().backward()
        found.append([values.detach(), *(leaf.grad for leaf in (hidden, *head))])
    for expected, got in zip(*found, strict=True):
        assert torch.allclose(expected, got, rtol=1e-12, atol=1e-12)


def test_a_frozen_head_needs_no_second_pass() -> None:
    """With only the hidden states trained, the backward pass makes no logits again: its kept slopes are enough."""
    hidden = torch.randn(4, 3, requires_grad=True)
    values = token_logprobs(hidden, torch.tensor([0, 1, 2, 3]), Head(torch.randn(6, 3)))
    with Biggest() as seen:
        values.sum().backward()
    assert seen.numbers <= 4 * 3


class Biggest(TorchDispatchMode):
    """Remembers the largest tensor that any operation makes."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(tensor, Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return made


@pytest.mark.parametrize("trained_head", [False, True])
def test_logits_of_all_tokens_never_exist(monkeypatch: pytest.MonkeyPatch, trained_head: bool) -> None:
    """512 tokens and 1,000 words would be 512,000 logits; with blocks of 10,000 no tensor is larger than the head
    (16,000).
    """
    monkeypatch.setitem(logprobs.BLOCK, "cpu", 10_000)
    hidden = torch.randn(512, 16, requires_grad=True)
    head = Head(torch.randn(1000, 16, requires_grad=trained_head))
    with Biggest() as seen:
        token_logprobs(hidden, torch.zeros(512, dtype=torch.long), head).sum().backward()
    assert seen.numbers == 16_000


def test_log_softmax_is_in_float32_whatever_the_model_computes_in() -> None:
    values = token_logprobs(torch.randn(3, 4).bfloat16(), torch.tensor([0, 1, 2]), Head(torch.randn(9, 4).bfloat16()))
    assert values.dtype == torch.float32
