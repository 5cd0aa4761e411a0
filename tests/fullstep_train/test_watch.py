"""watch: shares, log-ratios and the warning, worked by hand."""

import math

import pytest
import torch

from fullstep_train.watch import FALL, POSITIONS, WINDOW, collapse, watched

F64 = torch.float64


def test_watched_by_hand() -> None:
    """Slopes 1, -2, 1 over steps 0, 0, 1 and 4 over step 0: step_1 has 7 of 8, step_2 1 of 8.

    Log-ratios 1, 1, 1 (sum 3) and -2: chosen 3 and 3, rejected -2 and -2 over two pairs; per token (3 - 2) / 4.
    """
    chosen = torch.tensor([-1.0, -1.0, -1.0], dtype=F64, requires_grad=True)
    rejected = torch.tensor([-3.0], dtype=F64, requires_grad=True)
    loss = (chosen * torch.tensor([1.0, -2.0, 1.0])).sum() + 4 * rejected.sum()
    sums = watched(
        loss,
        [chosen, rejected],
        [torch.full((3,), -2.0, dtype=F64), torch.full((1,), -1.0, dtype=F64)],
        [torch.tensor([0, 0, 1]), torch.tensor([0])],
        torch.tensor([[0, 1], [0, 1]]),
    )
    means = {name: value / over for name, (value, over) in sums.items()}
    assert (means["gradient_share/step_1"], means["gradient_share/step_2"]) == (7 / 8, 1 / 8)
    assert (means["log_ratio/chosen"], means["log_ratio/rejected"], means["log_ratio/token"]) == (3, -2, 1 / 4)
    # r - 1 - log r is e - 2 three times, and e^-2 + 1 once.
    assert means["kl/token"] == pytest.approx((3 * (math.e - 2) + math.exp(-2) + 1) / 4)
    # The loss can still be trained on.
    loss.backward()
    assert chosen.grad is not None


def test_late_steps_share_the_last_position_and_unused_solutions_count_for_nothing() -> None:
    tokens = POSITIONS + 2
    logps = [torch.zeros(tokens, dtype=F64, requires_grad=True), torch.zeros(1, dtype=F64, requires_grad=True)]
    steps = [torch.arange(tokens), torch.zeros(1, dtype=torch.int64)]
    sums = watched(logps[0].sum(), logps, logps, steps, torch.tensor([[0, 1]]))
    shares = [sums[f"gradient_share/step_{k}"] for k in range(1, POSITIONS + 1)]
    assert shares == [(1, tokens)] * (POSITIONS - 1) + [(3, tokens)]


def test_the_kl_stays_a_number() -> None:
    """A token that was e^200 times less likely before."""
    logp = torch.zeros(1, requires_grad=True)
    value, over = watched(
        logp.sum(), [logp], [torch.full((1,), -200.0)], [torch.zeros(1, dtype=torch.int64)], torch.tensor([[0, 0]])
    )["kl/token"]
    assert 0 < value < math.inf
    assert over == 1


def row(step: int, fall: float, won: float) -> dict[str, float]:
    return {"step": step, "log_ratio/chosen": -fall, "rewards/accuracies": won}


@pytest.mark.parametrize(
    ("fall", "won", "due"), [(FALL + 0.1, 0.9, True), (FALL - 0.1, 0.9, False), (FALL + 9, 0.5, False), (-FALL - 9, 0.9, False)]
)
def test_collapse_is_a_fall_of_the_chosen_while_pairs_are_won(fall: float, won: float, due: bool) -> None:
    curve = [row(step, fall, won) for step in range(1, WINDOW + 1)]
    assert (collapse(curve) is not None) == due
    assert collapse(curve[1:]) is None  # fewer steps than a window


def test_the_warning_names_the_first_step_and_what_to_change() -> None:
    """Falls 0 … 0, then 8 each: the mean over 4 steps is 6 > 5 at the third of them, the 9th step."""
    curve = [row(step, 0 if step <= 6 else 8, 0.75) for step in range(1, 20)]
    message = collapse(curve)
    assert message is not None
    assert "at optimiser step 9 they are 6.0 nats below" in message
    assert "75% of the pairs are won" in message
    for key in ("policy.learning_rate", "policy.beta", "policy.objective.nll_weight"):
        assert key in message
