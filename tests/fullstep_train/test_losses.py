"""losses: the arithmetic of step-wise DPO, worked by hand, against autograd and by finite differences."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fullstep_train.config import DPO, Step, StepMean, Token
from fullstep_train.losses import (
    chosen_nll,
    log_ratios,
    pair_factors,
    sft,
    soft_cross_entropy,
    solution_factors,
    step_signals,
    step_weights,
    stepwise_dpo,
    token_coefficients,
)

F64 = torch.float64
PLAIN = DPO()


def t(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=F64)


def test_step_weights_by_hand() -> None:
    """gamma 2, rewards 1, 0.5: exponents 2, 1; e^2 = 7.389, e^1 = 2.718, sum 10.107; shares .7311, .2689; times K = 2:
    1.4621, .5379.
    """
    assert step_weights(t(1.0, 0.5), 2.0, "step-mean").tolist() == pytest.approx([0.7310586, 0.2689414])
    assert step_weights(t(1.0, 0.5), 2.0, "step").tolist() == pytest.approx([1.4621172, 0.5378828])
    # The rejected side turns the sign: the worse step gets the more.
    assert step_weights(t(1.0, 0.5), -2.0, "step").tolist() == pytest.approx([0.5378828, 1.4621172])


def test_a_reward_of_zero_is_no_mask() -> None:
    """Rewards 1, 0, 1 at gamma .5: e^.5 = 1.6487, e^0 = 1, sum 4.2974; weights .3836, .2327, .3836 (the release gives
    the middle one 0).
    """
    assert step_weights(t(1, 0, 1), 0.5, "step-mean").tolist() == pytest.approx([0.383647, 0.232706, 0.383647], abs=1e-5)
    assert step_weights(t(0, 0, 0), -0.5, "step").tolist() == [1.0, 1.0, 1.0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0, 20), st.floats(-5, 5))
def test_weights_sum_to_k_and_do_not_move_with_a_shift(rewards: list[float], gamma: float, shift: float) -> None:
    weights = step_weights(t(*rewards), gamma, "step")
    assert float(weights.sum()) == pytest.approx(len(rewards))
    assert torch.allclose(weights, step_weights(t(*rewards) + shift, gamma, "step"))


def test_token_coefficients_of_the_released_trainer_by_hand() -> None:
    """Two steps of 1 and 2 tokens, rewards 1 and 0, gamma ln 2, tau 1.

    Chosen: exponents ln2, 0, 0 -> 2, 1, 1 -> shares 1/2, 1/4, 1/4; log-ratios 0, ln 3, 0 -> sigmoid(-0) = 1/2,
    sigmoid(-ln 3) = 1/4, 1/2; products 1/4, 1/16, 1/8. Rejected: shares 1/5, 2/5, 2/5; sigmoid(+ratio) = 1/2, 3/4, 1/2;
    products 1/10, 3/10, 1/5.
    """
    steps = torch.tensor([0, 1, 1])
    logps, reference = t(-1.0, -1.0, -2.0), t(-1.0, -1.0 - math.log(3), -2.0)
    config = Token(gamma=math.log(2), tau=1.0)
    chosen = token_coefficients(logps, reference, steps, t(1, 0), config, chosen=True)
    rejected = token_coefficients(logps, reference, steps, t(1, 0), config, chosen=False)
    assert chosen.tolist() == pytest.approx([1 / 4, 1 / 16, 1 / 8])
    assert rejected.tolist() == pytest.approx([1 / 10, 3 / 10, 1 / 5])
    # tau 0 takes the log-ratio out: every factor is 1/2.
    plain = token_coefficients(logps, reference, steps, t(1, 0), Token(gamma=math.log(2), tau=0.0), chosen=True)
    assert plain.tolist() == pytest.approx([1 / 4, 1 / 8, 1 / 8])


def test_pair_matrix_becomes_one_factor_per_solution() -> None:
    """rho 0, ln 3, 0; pairs 0>1, 0>2: sigmoid(ln 3 - 0) = 3/4, sigmoid(0) = 1/2.

    Solution 0 is chosen with 5/4, 1 and 2 rejected.
    """
    pairs = torch.tensor([[0, 1], [0, 2]])
    factors = pair_factors(t(0.0, math.log(3), 0.0), pairs)
    assert factors.tolist() == pytest.approx([0.75, 0.5])
    up, down = solution_factors(factors, pairs, 3)
    assert up.tolist() == pytest.approx([1.25, 0, 0])
    assert down.tolist() == pytest.approx([0, 0.75, 0.5])


def test_one_pair_by_hand() -> None:
    """beta 1/2; chosen log-probs -1, -2 (reference -2, -2), rejected -1 (reference -1).

    rho_w = .5 * (-3 + 4) = .5, rho_l = 0; loss = -log sigmoid(.5) = .4740770; sigmoid(rho_l - rho_w) = sigmoid(-.5) =
    .3775407. Chosen steps of reward 1 and 0 at gamma ln 2: shares 2/3, 1/3, times 2: 4/3, 2/3. Rejected: one step,
    weight 1. Gradient: chosen -.5 * .3775407 * (4/3, 2/3) = -.2516938, -.1258469; rejected +.1887703.
    """
    chosen, rejected = t(-1.0, -2.0).requires_grad_(), t(-1.0).requires_grad_()
    surrogate, logged = stepwise_dpo(
        [chosen, rejected],
        [t(-2.0, -2.0), t(-1.0)],
        [torch.tensor([0, 1]), torch.tensor([0])],
        [t(1, 0), t(0.3)],
        torch.tensor([[0, 1]]),
        0.5,
        Step(gamma=math.log(2)),
    )
    surrogate.backward()
    assert chosen.grad is not None
    assert rejected.grad is not None
    assert chosen.grad.tolist() == pytest.approx([-0.2516938, -0.1258469])
    assert rejected.grad.tolist() == pytest.approx([0.1887703])
    assert logged == pytest.approx(
        {
            "loss": 0.4740770,
            "rewards/chosen": 0.5,
            "rewards/rejected": 0.0,
            "rewards/margins": 0.5,
            "rewards/accuracies": 1.0,
            "logps/chosen": -3.0,
            "logps/rejected": -1.0,
        }
    )


def random_group(seed: int, solutions: int = 5) -> dict[str, Any]:
    drawn = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 7, (solutions,), generator=drawn).tolist()
    steps = [torch.arange(length) // 2 for length in lengths]
    return {
        "logps": [-torch.rand(length, generator=drawn, dtype=F64).mul(3).requires_grad_(False) for length in lengths],
        "reference": [-torch.rand(length, generator=drawn, dtype=F64) * 3 for length in lengths],
        "step_of_token": steps,
        "rewards": [torch.rand(int(step[-1]) + 1, generator=drawn, dtype=F64).round(decimals=1) for step in steps],
        # The last solution is chosen in one pair and rejected in another.
        "pairs": torch.tensor([[0, 1], [0, 2], [3, 1], [3, 2], [4, 2], [0, 4]]),
    }


def gradients(group: dict[str, Any], weighting: Any, beta: float = 0.3, objective: DPO = PLAIN) -> list[Tensor]:
    leaves = [logp.clone().requires_grad_() for logp in group["logps"]]
    surrogate, _ = stepwise_dpo(**(group | {"logps": leaves}), beta=beta, weighting=weighting, objective=objective)
    return list(torch.autograd.grad(surrogate, leaves))


def dpo_gradients(group: dict[str, Any], beta: float, scale_by_steps: bool = False) -> list[Tensor]:
    """Autograd of -log sigmoid(rho_w - rho_l), pair by pair: DPO as Rafailov et al. 2023, equation 7, write it."""
    leaves = [logp.clone().requires_grad_() for logp in group["logps"]]
    rho = [beta * (leaf - ref).sum() for leaf, ref in zip(leaves, group["reference"], strict=True)]
    loss = sum(-torch.nn.functional.logsigmoid(rho[won] - rho[lost]) for won, lost in group["pairs"].tolist())
    assert isinstance(loss, Tensor)
    found = torch.autograd.grad(loss, leaves)
    return [grad / len(reward) if scale_by_steps else grad for grad, reward in zip(found, group["rewards"], strict=True)]


@pytest.mark.parametrize("seed", range(3))
def test_gamma_zero_is_dpo(seed: int) -> None:
    group = random_group(seed)
    for ours, theirs in zip(gradients(group, Step(gamma=0)), dpo_gradients(group, 0.3), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-12, atol=0)
    for ours, theirs in zip(gradients(group, StepMean(gamma=0)), dpo_gradients(group, 0.3, scale_by_steps=True), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-12, atol=0)


@pytest.mark.parametrize("weighting", [Step(gamma=2), StepMean(gamma=2), Token(gamma=2, tau=0.7)])
def test_the_gradient_is_the_formula_by_finite_differences(weighting: Any) -> None:
    """With sigmoid factor and A held at this point, f(pi) = -sum_p c_p [sum_t A_t^w log pi_t - sum_t A_t^l log pi_t],
    moved by epsilon.
    """
    group, beta, epsilon = random_group(7), 0.3, 1e-6
    rho = [beta * float((logp - ref).sum()) for logp, ref in zip(group["logps"], group["reference"], strict=True)]

    def coefficient(place: int, position: int, chosen: bool) -> float:
        sign = 1 if chosen else -1
        steps, rewards = group["step_of_token"][place], group["rewards"][place]
        if isinstance(weighting, Token):
            share = [math.exp(sign * weighting.gamma * float(rewards[k])) for k in steps]
            ratio = float(group["logps"][place][position] - group["reference"][place][position])
            return share[position] / sum(share) / (1 + math.exp(sign * weighting.tau * ratio))
        share = [math.exp(sign * weighting.gamma * float(reward)) for reward in rewards]
        return share[int(steps[position])] / sum(share) * (len(share) if isinstance(weighting, Step) else 1)

    def frozen(logps: list[Tensor]) -> float:
        total = 0.0
        for won, lost in group["pairs"].tolist():
            factor = (1.0 if isinstance(weighting, Token) else beta) / (1 + math.exp(rho[won] - rho[lost]))
            total -= factor * sum(coefficient(won, i, True) * float(x) for i, x in enumerate(logps[won]))
            total += factor * sum(coefficient(lost, i, False) * float(x) for i, x in enumerate(logps[lost]))
        return total

    for place, grad in enumerate(gradients(group, weighting, beta)):
        for position in range(len(grad)):
            moved = [[logp.clone() for logp in group["logps"]] for _ in range(2)]
            moved[0][place][position] += epsilon
            moved[1][place][position] -= epsilon
            slope = (frozen(moved[0]) - frozen(moved[1])) / (2 * epsilon)
            assert float(grad[position]) == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_a_large_gamma_looks_at_the_best_chosen_and_the_worst_rejected_step_only() -> None:
    assert step_weights(t(0.2, 0.9, 0.4), 200.0, "step").tolist() == pytest.approx([0, 3, 0], abs=1e-9)
    assert step_weights(t(0.2, 0.9, 0.4), -200.0, "step").tolist() == pytest.approx([3, 0, 0], abs=1e-9)


@pytest.mark.parametrize("weighting", [Step(), StepMean(), Token()])
def test_ties_and_single_steps_stay_finite(weighting: Any) -> None:
    group = random_group(1)
    for rewards in ([torch.zeros_like(r) for r in group["rewards"]], [torch.full_like(r, 0.5) for r in group["rewards"]]):
        assert all(torch.isfinite(grad).all() for grad in gradients(group | {"rewards": rewards}, weighting))


def test_signals_by_hand() -> None:
    """logit: 1/2 -> 0, 3/4 -> ln 3 = 1.0986, 0 and 1 -> ∓ln(999999) = ∓13.8155.

    standardised: rewards 1, 0 | 1 have mean 2/3 and variance (1/9 + 4/9 + 1/9) / 3 = 2/9: (1/3) / .4714 = .7071, -1.4142.
    advantages: .9, .4 - .9, .7 - .4.
    """

    def signals(*rewards: Tensor, **settings: Any) -> list[list[float]]:
        return [made.tolist() for made in step_signals(rewards, Step(**settings))]

    assert signals(t(0.9, 0.4), t(0.0)) == [[0.9, 0.4], [0.0]]
    assert signals(t(0.5, 0.75), t(0, 1), transform="logit") == [
        pytest.approx([0, math.log(3)]),
        pytest.approx([-13.8155, 13.8155], abs=1e-3),
    ]
    standard = [pytest.approx([0.7071068, -1.4142136]), pytest.approx([0.7071068])]
    assert signals(t(1, 0), t(1), transform="standardised") == standard
    assert signals(t(0.3, 0.3), t(0.3), transform="standardised") == [[0, 0], [0]]
    assert signals(t(0.9, 0.4, 0.7), advantages=True) == [pytest.approx([0.9, -0.5, 0.3])]
    assert signals(t(0.75, 0.5), advantages=True, transform="logit") == [pytest.approx([math.log(3), -math.log(3)])]


@pytest.mark.parametrize("make", [Step, StepMean, Token])
@pytest.mark.parametrize("settings", [{"transform": "logit"}, {"transform": "standardised"}, {"advantages": True}])
def test_transformed_rewards_weigh_as_such_rewards_would(make: Any, settings: dict[str, Any]) -> None:
    group = random_group(2)
    found = gradients(group, make(gamma=2, **settings))
    expected = gradients(group | {"rewards": step_signals(group["rewards"], make(**settings))}, make(gamma=2))
    raw = gradients(group, make(gamma=2))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert not all(torch.allclose(a, b) for a, b in zip(found, raw, strict=True))
    plain = zip(gradients(group, make(gamma=0, **settings)), gradients(group, make(gamma=0)), strict=True)
    assert all(torch.equal(a, b) for a, b in plain)


def test_nll_of_the_chosen_by_hand() -> None:
    """Solutions -1, -2 | -4; pairs 0>1, 0>1, 1>0: the means 1.5, 1.5 and 4. Slope of each token of 0: -2 / 2 tokens."""
    chosen, rejected = t(-1, -2).requires_grad_(), t(-4).requires_grad_()
    nll = chosen_nll([chosen, rejected], torch.tensor([[0, 1], [0, 1], [1, 0]]))
    assert nll.item() == 7.0
    assert [grad.tolist() for grad in torch.autograd.grad(nll, [chosen, rejected])] == [[-1, -1], [-1]]


@pytest.mark.parametrize("weighting", [Step(gamma=2), StepMean(gamma=2), Token(gamma=2)])
def test_nll_weight_adds_the_nll_of_the_chosen_to_loss_and_gradient(weighting: Any) -> None:
    group, weight = random_group(5), 1.7
    leaves = [logp.clone().requires_grad_() for logp in group["logps"]]
    nll = torch.autograd.grad(chosen_nll(leaves, group["pairs"]), leaves, materialize_grads=True)
    parts = zip(gradients(group, weighting), gradients(group, weighting, objective=DPO(nll_weight=weight)), nll, strict=True)
    assert all(torch.allclose(both, dpo + weight * term) for dpo, both, term in parts)
    _, dpo = stepwise_dpo(**group, beta=0.3, weighting=weighting)
    _, both = stepwise_dpo(**group, beta=0.3, weighting=weighting, objective=DPO(nll_weight=weight))
    assert both["nll_loss"] == pytest.approx(float(chosen_nll(group["logps"], group["pairs"])))
    assert both["loss"] == pytest.approx(dpo["loss"] + weight * both["nll_loss"])
    assert both.keys() - dpo.keys() == {"nll_loss"}


def test_length_normalised_rho_by_hand() -> None:
    """Log-ratios 1, 3 and -2: sums 4, -2; means 2, -2."""
    logps, reference = [t(-1, -1), t(-5)], [t(-2, -4), t(-3)]
    assert log_ratios(logps, reference, per_token=False).tolist() == [4, -2]
    assert log_ratios(logps, reference, per_token=True).tolist() == [2, -2]


@pytest.mark.parametrize("seed", range(3))
def test_length_normalised_at_gamma_zero_is_dpo_on_mean_log_ratios(seed: int) -> None:
    group, objective = random_group(seed), DPO(length_normalised=True)
    leaves = [logp.clone().requires_grad_() for logp in group["logps"]]
    rho = [0.3 * (leaf - ref).mean() for leaf, ref in zip(leaves, group["reference"], strict=True)]
    loss = -torch.nn.functional.logsigmoid(torch.stack([rho[won] - rho[lost] for won, lost in group["pairs"].tolist()])).sum()
    for ours, theirs in zip(gradients(group, Step(gamma=0), 0.3, objective), torch.autograd.grad(loss, leaves), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-12, atol=0)
    _, sums = stepwise_dpo(**group, beta=0.3, weighting=Step(gamma=0), objective=objective)
    assert sums["loss"] == pytest.approx(float(loss.detach()))


def test_length_normalised_token_weights_change_in_the_sigmoid_only() -> None:
    """One pair of 2 and 3 tokens: every slope changes by the one ratio of the two sigmoids, with no division by 2 or 3."""
    group = {"logps": [t(-1, -2), t(-1, -1, -2)], "reference": [t(-2, -2), t(-1, -2, -1.5)]}
    group |= {"step_of_token": [torch.tensor([0, 1]), torch.tensor([0, 0, 1])], "rewards": [t(1, 0.5), t(0.2, 0)]}
    group |= {"pairs": torch.tensor([[0, 1]])}
    plain = torch.cat(gradients(group, Token()))
    found = torch.cat(gradients(group, Token(), objective=DPO(length_normalised=True)))
    # beta .3: sums 1 and .5, means .5 and 1/6
    ratio = (1 + math.exp(0.3 * (1 - 0.5))) / (1 + math.exp(0.3 * (0.5 - 1 / 6)))
    assert torch.allclose(found / plain, torch.full_like(plain, ratio))


def test_sft_by_hand() -> None:
    """0 is chosen twice and counts once; 1 is only rejected. Sum of -log pi: 1 + 2. Slopes -1 on each token of 0."""
    chosen, rejected = t(-1, -2).requires_grad_(), t(-4).requires_grad_()
    loss = sft([chosen, rejected], torch.tensor([[0, 1], [0, 1]]))
    assert loss.item() == 3.0
    grads = torch.autograd.grad(loss, [chosen, rejected], materialize_grads=True)
    assert [grad.tolist() for grad in grads] == [[-1, -1], [0]]


def test_prm_loss_is_binary_cross_entropy_and_leaves_open_labels_out() -> None:
    """Logits (0, ln 3): p(correct) = 3/4.

    Target 1: -ln .75 = .2877; target .5: .5 * (.2877 + 1.3863) = .8370; NaN: nothing.
    """
    logits = t(0, math.log(3)).repeat(3, 1)
    assert float(soft_cross_entropy(logits[:1], t(1))) == pytest.approx(0.2876821)
    assert float(soft_cross_entropy(logits, t(1, 0.5, math.nan))) == pytest.approx(0.2876821 + 0.8369882)
    binary = torch.nn.functional.binary_cross_entropy_with_logits(logits[:2, 1] - logits[:2, 0], t(1, 0.5), reduction="sum")
    assert float(soft_cross_entropy(logits[:2], t(1, 0.5))) == pytest.approx(float(binary))
