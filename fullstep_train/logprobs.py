"""Log-probabilities of given tokens from hidden states, without ever holding logits of all tokens.

    logps = token_logprobs(hidden, targets, head)      # hidden [Q, D], targets [Q] -> [Q] float32

Tokens are taken in chunks, so that one [chunk, V] block lives at a time (`BLOCK`). The gradient of log p(y)
with respect to a hidden state is a vector that is known in the forward pass up to the factor from above, so that vector
[Q, D] is what is kept: the backward pass of a frozen head (LoRA) costs nothing, that of a trained head makes the logits
again, chunk by chunk. Log-softmax is in float32.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

BLOCK = {"cpu": 2**24, "cuda": 2**26}
"""Numbers of a block of logits. On a GPU some hundred tokens to a block: for fewer, reading the head's weights takes longer than
computing with them.
"""


@dataclass(frozen=True)
class Head:
    """logits = softcap * tanh(scale * (h W^T + b) / softcap), without the tanh where softcap is None.

    weight: [V, D], bias: [V].
    """

    weight: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    softcap: float | None = None

    def logits(self, hidden: Tensor) -> Tensor:
        """[chunk, D] -> [chunk, V] in float32 (float64 stays)."""
        logits = nn.functional.linear(hidden, self.weight, self.bias)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if self.scale != 1.0:
            logits = logits * self.scale
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

    def derivative(self, logits: Tensor) -> Tensor | float:
        """What the linear output is multiplied by, at these logits: d logits / d (h W^T + b)."""
        return self.scale if self.softcap is None else self.scale * (1 - (logits / self.softcap) ** 2)


def head_of(model: Any) -> Head | None:
    """The head of a causal model as a `Head`; None where it is not one linear layer (its own forward must be asked
    then).

    Scales and caps are those of Cohere (logit_scale), Granite (logits_scaling) and Gemma 2 (final_logit_softcapping);
    `forward.probe` compares with the model's own logits, whatever the config says.
    """
    layer = model.get_output_embeddings()
    if type(layer) is not nn.Linear:
        return None
    config = model.config.get_text_config()
    scale = float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)
    return Head(layer.weight, layer.bias, scale, getattr(config, "final_logit_softcapping", None))


def token_logprobs(hidden: Tensor, targets: Tensor, head: Head) -> Tensor:
    """log p(targets | hidden): hidden [Q, D], targets [Q] -> [Q] float32.

    Differentiable in hidden and in the head's weight and bias.
    """
    dtype = torch.get_autocast_dtype(hidden.device.type) if torch.is_autocast_enabled(hidden.device.type) else head.weight.dtype
    with torch.autocast(hidden.device.type, enabled=False):
        bias = None if head.bias is None else head.bias.to(dtype)
        result: Tensor = _TokenLogprobs.apply(hidden.to(dtype), head.weight.to(dtype), bias, targets, head.scale, head.softcap)  # type: ignore[assignment]  # torch types Function.apply as Any | None
        return result


class _TokenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        scale: float,
        softcap: float | None,
    ) -> Tensor:
        head = Head(weight, bias, scale, softcap)
        logps = torch.empty(len(hidden), dtype=torch.promote_types(hidden.dtype, torch.float32), device=hidden.device)
        normalisers = torch.empty_like(logps)
        slopes = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for rows in _chunks(hidden, weight):
            logits = head.logits(hidden[rows])
            normalisers[rows] = logits.logsumexp(1)
            logps[rows] = logits.gather(1, targets[rows, None])[:, 0] - normalisers[rows]
            if slopes is not None:
                slopes[rows] = _residual(head, logits, normalisers[rows], targets[rows]).to(weight.dtype) @ weight
        ctx.save_for_backward(hidden, weight, bias, targets, normalisers, slopes)
        ctx.head = (scale, softcap)
        return logps

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None, None]:
        hidden, weight, bias, targets, normalisers, slopes = ctx.saved_tensors
        grad = grads[0]
        grad_hidden = slopes * grad[:, None].to(slopes.dtype) if ctx.needs_input_grad[0] else None
        grad_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        grad_bias = torch.zeros_like(bias) if bias is not None and ctx.needs_input_grad[2] else None
        if grad_weight is not None or grad_bias is not None:
            head = Head(weight, bias, *ctx.head)
            for rows in _chunks(hidden, weight):
                residual = _residual(head, head.logits(hidden[rows]), normalisers[rows], targets[rows])
                residual = residual.mul_(grad[rows, None]).to(weight.dtype)
                if grad_weight is not None:
                    grad_weight.addmm_(residual.T, hidden[rows])
                if grad_bias is not None:
                    grad_bias += residual.sum(0)
        return grad_hidden, grad_weight, grad_bias, None, None, None


def _chunks(hidden: Tensor, weight: Tensor) -> list[slice]:
    size = max(1, BLOCK.get(hidden.device.type, BLOCK["cpu"]) // len(weight))
    return [slice(start, start + size) for start in range(0, len(hidden), size)]


def _residual(head: Head, logits: Tensor, normalisers: Tensor, targets: Tensor) -> Tensor:
    """[chunk, V] derivative of log p(target) with respect to the linear layer's output: (onehot - softmax) * derivative.

    normalisers: [chunk] log-sum-exp of the logits: over so many numbers torch's own softmax is less exact in float32 on a CPU.
    """
    residual = (logits - normalisers[:, None]).exp_().neg_()
    residual[torch.arange(len(targets), device=targets.device), targets] += 1
    return residual.mul_(head.derivative(logits))
