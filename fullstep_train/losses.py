"""Step-wise DPO on one group, as pure functions of tensors (arXiv 2502.14356; the equations stand in design/method.md).

    surrogate, sums = stepwise_dpo(logps, reference, step_of_token, rewards, pairs, beta=0.05, weighting=Step(gamma=0.5))

rho(y) = beta * (log pi(y) - log pi_ref(y)), over all solution tokens. For a pair (w, l) the trained scalar has the
gradient

    - beta * sigmoid(rho_l - rho_w) * [ sum_k A_k^w grad log pi(s_k^w) - sum_k A_k^l grad log pi(s_k^l) ]

with the sigmoid factor and the weights A detached. Each solution's weighted log-prob is made once; its factor is the
sum of the factors of the pairs it is in: P pairs cost S forward passes. What is logged as loss is -log sigmoid(rho_w -
rho_l).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from fullstep_train.config import DPO, Preference, Step, StepMean, Token

Weighting = Step | StepMean | Token
LOGIT_MARGIN = 1e-6
PLAIN = DPO()


def step_signals(rewards: Sequence[Tensor], weighting: Weighting) -> list[Tensor]:
    """a_k of a problem's solutions from their rewards r_k: S tensors [K] to S tensors [K]; see config.Weights.

    With `advantages` the value before the first step is 0 on the transformed scale: of raw rewards r_0 = 0, of logits
    even odds, of standardised rewards the problem's mean.
    """
    match weighting.transform:
        case "raw":
            made = list(rewards)
        case "logit":
            made = [torch.logit(reward, eps=LOGIT_MARGIN) for reward in rewards]
        case "standardised":
            whole = torch.cat(list(rewards))
            spread = whole.std(correction=0)
            made = [(reward - whole.mean()) / spread if spread > 0 else torch.zeros_like(reward) for reward in rewards]
    return [torch.diff(a, prepend=a.new_zeros(1)) for a in made] if weighting.advantages else made


def step_weights(rewards: Tensor, gamma: float, kind: str) -> Tensor:
    """A_k from rewards [K]: softmax_k(gamma * r_k), for kind `step` times K. Rejected solutions: give -gamma.

    A reward of 0 is a reward like any other; equal rewards give equal weights.
    """
    weights = torch.softmax(gamma * rewards, 0)
    return weights * len(rewards) if kind == "step" else weights


def token_coefficients(
    logps: Tensor, reference: Tensor, step_of_token: Tensor, rewards: Tensor, weighting: Weighting, *, chosen: bool
) -> Tensor:
    """[T] what each token's log-prob is multiplied by, detached. logps, reference, step_of_token: [T]; rewards: [K].

    For `token` (the released trainer): softmax over the tokens of ±gamma * r_k(t), times sigmoid(∓tau * (log pi_t - log
    ref_t)).
    """
    sign = 1.0 if chosen else -1.0
    if not isinstance(weighting, Token):
        return step_weights(rewards, sign * weighting.gamma, weighting.kind)[step_of_token].detach()
    spread = torch.softmax(sign * weighting.gamma * rewards[step_of_token], 0)
    return (spread * torch.sigmoid(-sign * weighting.tau * (logps - reference))).detach()


def pair_factors(rho: Tensor, pairs: Tensor) -> Tensor:
    """[P] sigmoid(rho_l - rho_w), detached: how wrong the policy still is about each pair.

    rho: [S]; pairs: [P, 2], chosen first.
    """
    return torch.sigmoid(rho[pairs[:, 1]] - rho[pairs[:, 0]]).detach()


def solution_factors(factors: Tensor, pairs: Tensor, solutions: int) -> tuple[Tensor, Tensor]:
    """[S] and [S]: the sum of the factors [P] of the pairs in which a solution is chosen, and in which it is rejected."""
    zeros = factors.new_zeros(solutions)
    return zeros.index_add(0, pairs[:, 0], factors), zeros.index_add(0, pairs[:, 1], factors)


def log_ratios(logps: Sequence[Tensor], reference: Sequence[Tensor], *, per_token: bool) -> Tensor:
    """[S] log pi(y) - log pi_ref(y): the sum over a solution's tokens, or their mean."""
    ratios = [logp - ref for logp, ref in zip(logps, reference, strict=True)]
    return torch.stack([ratio.mean() if per_token else ratio.sum() for ratio in ratios])


def stepwise_dpo(
    logps: Sequence[Tensor],
    reference: Sequence[Tensor],
    step_of_token: Sequence[Tensor],
    rewards: Sequence[Tensor],
    pairs: Tensor,
    beta: float,
    weighting: Weighting,
    objective: Preference = PLAIN,
) -> tuple[Tensor, dict[str, float]]:
    """The trained scalar, summed over the pairs of a group, and what is logged of it, summed too (TRL's names).

    logps, reference: S tensors [T]; step_of_token: S tensors [T]; rewards: S tensors [K]; pairs: [P, 2] places, chosen
    first. Divide by the pairs of the whole optimiser step for the mean. With objective.nll_weight the NLL of the chosen
    is in both, and logged as nll_loss; with objective.length_normalised rho, and so the gradient, is per token.
    """
    per_token = objective.length_normalised
    rho = beta * log_ratios(logps, reference, per_token=per_token)
    as_chosen, as_rejected = solution_factors(pair_factors(rho, pairs), pairs, len(logps))
    signals = step_signals(rewards, weighting)
    surrogate = logps[0].new_zeros(())
    for place, (logp, ref, steps, signal) in enumerate(zip(logps, reference, step_of_token, signals, strict=True)):
        outer = 1.0 if isinstance(weighting, Token) else beta / (len(logp) if per_token else 1)
        up = as_chosen[place] * token_coefficients(logp, ref, steps, signal, weighting, chosen=True)
        down = as_rejected[place] * token_coefficients(logp, ref, steps, signal, weighting, chosen=False)
        surrogate = surrogate - outer * ((up - down) * logp).sum()
    sums = preference_figures(logps, rho, pairs)
    if objective.nll_weight:
        nll = chosen_nll(logps, pairs)
        surrogate = surrogate + objective.nll_weight * nll
        sums["nll_loss"] = float(nll.detach())
        sums["loss"] += objective.nll_weight * sums["nll_loss"]
    return surrogate, sums


def chosen_nll(logps: Sequence[Tensor], pairs: Tensor) -> Tensor:
    """Sum over pairs of -log pi of the chosen, as a mean over its tokens: a solution chosen in n pairs counts n times."""
    times = torch.bincount(pairs[:, 0], minlength=len(logps))
    return -(times * torch.stack([solution.mean() for solution in logps])).sum()


def sft(logps: Sequence[Tensor], pairs: Tensor) -> Tensor:
    """Sum of -log pi over the tokens of the solutions that are chosen in some pair, once however many those are.

    Divide by the tokens of such solutions in the whole optimiser step for the mean.
    """
    return -torch.cat([logps[place] for place in pairs[:, 0].unique().tolist()]).sum()


def preference_figures(logps: Sequence[Tensor], rho: Tensor, pairs: Tensor) -> dict[str, float]:
    """What DPO trainers log, in TRL's names, summed over the pairs of a group; loss is -log sigmoid(rho_w - rho_l).

    logps: S tensors [T]; rho: [S].
    """
    policy, rho = torch.stack([solution.sum() for solution in logps]).detach(), rho.detach()
    chosen, rejected = pairs[:, 0], pairs[:, 1]
    margins = rho[chosen] - rho[rejected]
    sums = {
        "loss": -torch.nn.functional.logsigmoid(margins),
        "rewards/chosen": rho[chosen],
        "rewards/rejected": rho[rejected],
        "rewards/margins": margins,
        "rewards/accuracies": (margins > 0).to(rho.dtype),
        "logps/chosen": policy[chosen],
        "logps/rejected": policy[rejected],
    }
    return {name: float(values.sum()) for name, values in sums.items()}


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum over steps of -[v log p(correct) + (1 - v) log p(incorrect)]: logits [K, 2], targets v [K], NaN = left open,
    not counted.

    With two classes this is the binary cross-entropy of the difference of the logits.
    """
    known = torch.isfinite(targets)
    logps = torch.log_softmax(logits[known], -1)
    values = targets[known].to(logps.dtype)
    return -(values * logps[:, 1] + (1 - values) * logps[:, 0]).sum()
