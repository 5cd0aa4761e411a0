"""Forward passes over the solutions of a group: log-probabilities (policy) and step logits (PRM), each prompt computed
once.

    answer_logprobs(model)                                   # the model's forward now gives log-probs of chosen tokens
    runs = probe(model, max_tokens=8192, dtype=torch.float32)
    logps = runs.logprobs(model, group.solutions)            # S tensors [T]
    logits = runs.step_logits(classifier, group.solutions)   # S tensors [K, 2]

The model is called through its own `__call__`, so wrappers (peft, DDP, FSDP) see every pass. Where a group needs
several packs, each is recomputed in the backward pass (torch checkpoint), so that memory is that of one pack whatever
the group's size; the gradient is the same.
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fullstep_train.config import Attention
from fullstep_train.layout import Ids, Pack, plain_packs, tree_packs
from fullstep_train.logprobs import head_of, token_logprobs
from fullstep_train.tokens import Tokenised

log = logging.getLogger(__name__)
FLEX_ON = ("cuda",)
"""Devices on which FlexAttention is tried; on a CPU it has no backward pass."""
FLEX_LENGTHS = (200, 400)
DROPOUTS = ("attention_dropout", "dropout", "hidden_dropout", "activation_dropout", "resid_pdrop", "attn_pdrop")


@dataclass(frozen=True)
class Runs:
    """How a model is run. trees: it sees by our masks. flex: by block masks, its attention being FlexAttention. window: width of
    its sliding attention (None: it has none).

    max_tokens: slots of one pass. dtype: of the computation; bfloat16 by autocast.
    """

    max_tokens: int
    dtype: torch.dtype
    trees: bool = True
    flex: bool = False
    window: int | None = None

    def packs(self, sequences: Sequence[Ids]) -> list[Pack]:
        """The sequences as passes.

        A tree's mask is not a sliding one, so sequences beyond the window are laid out plainly.
        """
        if self.trees and (self.window is None or max(map(len, sequences)) <= self.window):
            return tree_packs(sequences, self.max_tokens)
        return plain_packs(sequences, self.max_tokens)

    def logprobs(self, model: Any, solutions: Sequence[Tokenised]) -> list[Tensor]:
        """log pi of each solution's tokens: S tensors [T], float32. model: one that went through `answer_logprobs`."""
        return self._over_packs(solutions, lambda pack: self._pack_logprobs(model, pack, solutions))

    def step_logits(self, model: Any, solutions: Sequence[Tokenised]) -> list[Tensor]:
        """Logits of a token classifier at the last token of each step: S tensors [K, 2], float32."""
        return self._over_packs(solutions, lambda pack: self._pack_step_logits(model, pack, solutions))

    def _over_packs(self, solutions: Sequence[Tokenised], run: Callable[[Pack], list[Tensor]]) -> list[Tensor]:
        packs = self.packs([solution.ids for solution in solutions])
        results: dict[int, Tensor] = {}
        for pack in packs:
            # Several packs: keep none of their activations, only their results.
            made = checkpoint(run, pack, use_reentrant=False) if len(packs) > 1 and torch.is_grad_enabled() else run(pack)
            results.update(zip(pack.members, made, strict=True))
        return [results[place] for place in range(len(solutions))]

    def _call(self, model: Any, pack: Pack, **more: Tensor) -> Any:
        place = next(model.parameters()).device
        mask_dtype = self.dtype if self.dtype == torch.bfloat16 else next(model.parameters()).dtype
        with torch.autocast(place.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            moved = {name: tensor.to(place) for name, tensor in more.items()}
            return model(**pack.inputs(place, mask_dtype, self.flex), use_cache=False, **moved)

    def _pack_logprobs(self, model: Any, pack: Pack, solutions: Sequence[Tokenised]) -> list[Tensor]:
        starts = [solutions[place].prompt_tokens for place in pack.members]
        own = np.concatenate([slots[start:] for slots, start in zip(pack.slots, starts, strict=True)])
        before = np.concatenate([slots[start - 1 : -1] for slots, start in zip(pack.slots, starts, strict=True)])
        # A slot that several solutions share has one log-prob: score it once.
        distinct, first, place_of = np.unique(own, return_index=True, return_inverse=True)
        logps = self._call(
            model,
            pack,
            predictors=torch.from_numpy(before[first]),
            targets=torch.from_numpy(pack.input_ids.reshape(-1)[distinct]),
        )
        lengths = [len(slots) - start for slots, start in zip(pack.slots, starts, strict=True)]
        return list(logps[torch.from_numpy(place_of).to(logps.device)].split(lengths))

    def _pack_step_logits(self, model: Any, pack: Pack, solutions: Sequence[Tokenised]) -> list[Tensor]:
        logits = self._call(model, pack).logits.flatten(0, 1)
        made = []
        for slots, place in zip(pack.slots, pack.members, strict=True):
            last = slots[solutions[place].prompt_tokens :][solutions[place].last_token_of_step()]
            made.append(logits[torch.from_numpy(last).to(logits.device)].to(torch.promote_types(logits.dtype, torch.float32)))
        return made


def answer_logprobs(model: Any) -> None:
    """Make a causal model's forward answer with log-probs [Q] of `targets` [Q], read at the flat slots `predictors`
    [Q].

    No logits leave it. A head that is not one linear layer is asked through the model's own forward, which makes all
    logits.
    """
    own_forward = model.forward

    def forward(self: Any, *, predictors: Tensor, targets: Tensor, **inputs: Any) -> Tensor:
        head = head_of(self) if self.plain_head else None
        if head is None:
            logits = own_forward(**inputs).logits.flatten(0, 1)[predictors]
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            return logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]
        hidden = self.base_model(**inputs).last_hidden_state.flatten(0, 1)
        return token_logprobs(hidden[predictors], targets, head)

    model.plain_head = True
    model.forward = MethodType(forward, model)


def probe(model: Any, max_tokens: int, dtype: torch.dtype, attention: Attention = "auto") -> Runs:
    """How this model can be run, found out on a small example in which the plain way and the tree must agree.

    model: a token classifier, or a causal model after `answer_logprobs`, where it is to compute. attention: see
    `config.Training`. Moves no random state. What a model cannot do is logged once.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    plain = Runs(max_tokens, dtype, trees=False, window=window)
    tree = Runs(max_tokens, dtype, trees=True, window=window)
    tokens = [[3, 4, 5, 6, 7, 8], [3, 4, 5, 6, 9, 7, 5], [3, 4, 10, 11]]
    ids = [tuple(token % config.vocab_size for token in sequence) for sequence in tokens]
    solutions = [Tokenised(sequence, 2, np.arange(len(sequence) - 2)) for sequence in ids]
    training = model.training
    model.eval()
    with torch.no_grad():
        if hasattr(model, "plain_head"):
            run = Runs.logprobs
            model.plain_head = False
            own = run(plain, model, solutions)
            model.plain_head = True
            if not _close(run(plain, model, solutions), own, dtype):
                model.plain_head = False
                log.warning(
                    "the head of %s is not one linear layer: all its logits are made, at more memory",
                    type(model).__name__,
                )
        else:
            run = Runs.step_logits
        expected = run(plain, model, solutions)
        try:
            agrees = _close(run(tree, model, solutions), expected, dtype)
        except (RuntimeError, ValueError, TypeError, IndexError):
            agrees = False
    if not agrees:
        log.warning("%s does not see by a tree mask: prompts are computed once per solution", type(model).__name__)
    elif attention == "auto" and next(model.parameters()).device.type in FLEX_ON:
        tree = _with_flex(model, tree, plain)
    model.train(training)
    return tree if agrees else plain


def _with_flex(model: Any, tree: Runs, plain: Runs) -> Runs:
    """The model's tree packs by FlexAttention where it can: values as in the plain way, a gradient as near to it as that by the
    dense mask, at two lengths (at the second it is compiled for any length). Otherwise model and runs are left as they were, and
    that is logged.
    """
    examples = [_example(model.config.get_text_config().vocab_size, length) for length in FLEX_LENGTHS]

    def tried(runs: Runs) -> list[tuple[Tensor, Tensor]]:
        return [_values_and_gradient(model, runs, solutions) for solutions in examples]

    expected = tried(plain)
    # No fixed bound: in bfloat16 the gradient by the embeddings of SmolLM2-135M is 0.5 off by rounding alone, a wrong mask 0.7.
    _, noise = _distances(tried(tree), expected)
    before = model.config._attn_implementation
    try:
        model.set_attn_implementation("flex_attention")
        values, gradient = _distances(tried(replace(tree, flex=True)), expected)
        if values <= _tolerance(tree.dtype) and gradient <= max(_tolerance(tree.dtype), 2 * noise):
            return replace(tree, flex=True)
        why = f"its values are {values:.2g} off, its gradient {gradient:.2g}, where that of the mask is {noise:.2g} off"
    except (RuntimeError, ValueError, TypeError, IndexError, ImportError, AssertionError) as error:  # compiling may raise these
        why = str(error).strip().split("\n")[0] or type(error).__name__
    model.set_attn_implementation(before)
    log.warning("%s is run with a dense mask, not by FlexAttention: %s", type(model).__name__, why)
    return tree


def _values_and_gradient(model: Any, runs: Runs, solutions: Sequence[Tokenised]) -> tuple[Tensor, Tensor]:
    """The values, flat, and the gradient of their sum by the embeddings, before which all of the model lies."""
    run = Runs.logprobs if hasattr(model, "plain_head") else Runs.step_logits
    with torch.enable_grad():
        values = torch.cat([value.flatten() for value in run(runs, model, solutions)])
        (gradient,) = torch.autograd.grad(values.sum(), model.get_input_embeddings().weight)
    return values.detach(), gradient


def _example(vocabulary: int, length: int) -> list[Tokenised]:
    """Three texts after one prompt, the first two of which begin alike; each of about so many tokens."""
    drawn = np.random.default_rng(0)
    texts = [drawn.integers(0, vocabulary, size).tolist() for size in (length // 2, length // 4, length // 4, length // 2)]
    prompt, shared, one, other = texts
    sequences = [prompt + shared + one, prompt + shared + other, prompt + other + one]
    return [Tokenised(tuple(ids), len(prompt), np.arange(len(ids) - len(prompt))) for ids in sequences]


def no_dropout(model: nn.Module) -> None:
    """Set every dropout of a model to 0: log-ratios to the reference are those of the policy, not of a thinned one."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in DROPOUTS:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def _close(one: Sequence[Tensor], other: Sequence[Tensor], dtype: torch.dtype) -> bool:
    return _off(torch.cat(list(one)), torch.cat(list(other))) <= _tolerance(dtype)


def _tolerance(dtype: torch.dtype) -> float:
    return 3e-2 if dtype == torch.bfloat16 else 1e-4


def _off(found: Tensor, expected: Tensor) -> float:
    """How far off, as a share of what is expected; infinite where a number is none."""
    off = float((found - expected).norm() / expected.norm())
    return off if math.isfinite(off) else math.inf


def _distances(found: Sequence[tuple[Tensor, Tensor]], expected: Sequence[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    """How far values and gradients are off, each the worst of all examples."""
    both = list(zip(found, expected, strict=True))
    return max(_off(one[0], other[0]) for one, other in both), max(_off(one[1], other[1]) for one, other in both)
