"""What a user watches in a training of the policy, beside the loss: where the gradient goes, how far the policy is from its
reference, and whether the chosen solutions fall.

    sums = watched(loss, logps, reference, step_of_token, pairs)    # name -> (sum, what it is a mean over)
    message = collapse(curve)                                       # None, or what to change

Chosen log-probs that fall while the pairs look won are how DPO runs are lost: a policy may win every pair by making both
solutions unlikely, the rejected more so. It took Qwen2-7B-SFT from 53.9 to 20.0 on MATH (arXiv 2502.14356).
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import TrainerCallback

from fullstep_train.config import Weights
from fullstep_train.groups import Group
from fullstep_train.trainer import Sums
from schemas import InputError

log = logging.getLogger(__name__)
POSITIONS = 8
"""Steps of a solution that are told apart; the last one stands for all later steps."""
MOST = 20.0
"""Nats of a token's log-ratio beyond which its part in the KL grows no more."""
FALL = 5.0
"""Nats by which chosen solutions may fall below the reference: e^5, so ~150 times less likely."""
WINDOW = 4
"""Optimiser steps that are looked at together: one step's few problems may fall by chance."""


def watched(
    loss: Tensor,
    logps: Sequence[Tensor],
    reference: Sequence[Tensor],
    step_of_token: Sequence[Tensor],
    pairs: Tensor,
) -> Sums:
    """Sums over a group and what each is divided by, to be added up over the groups of an optimiser step.

    gradient_share/step_k: sum of |d loss / d log pi_t| over the tokens of k-th steps, over that of all tokens.
    log_ratio/chosen and log_ratio/rejected: log pi(y) - log pi_ref(y) in nats, mean over pairs. log_ratio/token: log pi -
    log pi_ref, mean over the tokens of the distinct solutions. kl/token: the mean of r - 1 - log r over the same tokens, where
    r = pi / pi_ref: they were sampled before training, so this estimates KL(reference || policy) per token and is never
    negative (Schulman, "Approximating KL divergence", 2020), on the solutions that selection kept (it is not the KL over
    samples of the policy). Above e^20, r counts as that.
    """
    # On the CPU: a GPU adds in no fixed order, and what is logged must be the same at every run.
    size = torch.cat([slope.abs() for slope in _slopes(loss, logps)]).cpu()
    position = torch.cat(list(step_of_token)).clamp(max=POSITIONS - 1).cpu()
    shares = size.new_zeros(POSITIONS).index_add(0, position, size)
    whole = float(size.sum())
    ratios = [(logp - ref).detach() for logp, ref in zip(logps, reference, strict=True)]
    apart = torch.cat(ratios)
    kl = apart.clamp(max=MOST).exp() - 1 - apart
    of_solution = torch.stack([ratio.sum() for ratio in ratios])
    sums = {f"gradient_share/step_{k}": (share, whole) for k, share in enumerate(shares.tolist(), start=1)}
    return sums | {
        "log_ratio/chosen": (float(of_solution[pairs[:, 0]].sum()), float(len(pairs))),
        "log_ratio/rejected": (float(of_solution[pairs[:, 1]].sum()), float(len(pairs))),
        "log_ratio/token": (float(of_solution.sum()), float(len(apart))),
        "kl/token": (float(kl.sum()), float(len(apart))),
    }


def _slopes(loss: Tensor, logps: Sequence[Tensor]) -> Sequence[Tensor]:
    """What the backward pass will multiply each token's gradient by: S tensors [T], 0 where a solution is not used."""
    return torch.autograd.grad(loss, list(logps), retain_graph=True, materialize_grads=True)


def collapse(curve: Sequence[Mapping[str, float]]) -> str | None:
    """What to say when the chosen fall, at the first optimiser step at which they do; None when they do not.

    They fall where, over WINDOW optimiser steps, their mean log-ratio to the reference is below -FALL nats while more than
    half of the pairs are won. curve: one row per optimiser step, with `step`, `log_ratio/chosen`, `rewards/accuracies`.
    """
    for end in range(WINDOW, len(curve) + 1):
        window = curve[end - WINDOW : end]
        fallen = -sum(row["log_ratio/chosen"] for row in window) / WINDOW
        won = sum(row["rewards/accuracies"] for row in window) / WINDOW
        if fallen > FALL and won > 0.5:
            return (
                f"the chosen solutions are falling: at optimiser step {window[-1]['step']} they are {fallen:.1f} nats below the "
                f"reference (mean of {WINDOW} steps; more than {FALL:g} is too much) while {won:.0%} of the pairs are won. The "
                "policy may get worse though the loss looks fine: lower policy.learning_rate, raise policy.beta, or set "
                "policy.objective.nll_weight (1.0, say)"
            )
    return None


def require_weights(groups: Sequence[Group], weighting: Weights) -> None:
    """InputError where step rewards weigh nothing, in any solution of several steps: it would be DPO without steps, unasked."""
    several = [solution for group in groups for solution in group.solutions if len(solution.values) > 1]
    # The first step's advantage is its reward itself, so advantages differ even then.
    if not several or weighting.gamma == 0 or weighting.advantages or any(np.ptp(one.values) > 0 for one in several):
        return
    raise InputError(
        what="the step rewards are equal within every solution, so every step weighs the same and gamma has no effect",
        where="step_scores",
        count=len(several),
        examples=[f"solution {one.solution_id}: {len(one.values)} steps, reward {one.values[0]:g}" for one in several],
        next_step="look at the rewards (a PRM that learnt nothing gives the same everywhere) and train it on more problems, or "
        "longer; policy.weighting.gamma = 0 trains without step rewards on purpose",
    )


class CollapseWarning(TrainerCallback):
    """Logs the warning of `collapse`, once, as soon as it is due."""

    said = False

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """After each optimiser step, and at the end, when the Trainer adds a row of another kind."""
        rows = [row for row in state.log_history[-WINDOW:] if "loss" in row]
        message = None if self.said else collapse(rows)
        if message:
            self.said = True
            log.warning(message)
