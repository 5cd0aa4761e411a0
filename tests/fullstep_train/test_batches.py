"""batches: every group once, in passes and processes of about equal size, and the same gradient however it is cut."""

from pathlib import Path
from typing import Any

import pytest
import torch

from fullstep_train import models
from fullstep_train.batches import micro_batches, pass_overhead, shares
from fullstep_train.config import PolicyTraining, Step
from fullstep_train.forward import Runs, answer_logprobs
from fullstep_train.groups import Group, preference_groups
from fullstep_train.policy import _losses
from tests.fullstep_train.frames import make_tables

EVERYTHING = 10**6
FULL = 10**6  # a pass costs so much that as few as possible are made


@pytest.fixture(scope="module")
def groups(tiny_tokenizer: Any) -> list[Group]:
    """Five problems, one of them with more solutions."""
    made: dict[str, Group] = {}
    for tables in (make_tables(problems=6, good=4, bad=4), make_tables(problems=5)):
        found, _ = preference_groups(tables.pairs, tables.solutions, tables.steps, tables.step_scores, tiny_tokenizer, 2048)
        made |= {group.problem_id: group for group in found}
    return sorted(made.values(), key=lambda group: len(group.solutions))


def slots(groups: list[Group], runs: Runs) -> int:
    return sum(pack.tokens for pack in runs.packs([solution.tokens.ids for group in groups for solution in group.solutions]))


def test_a_batch_holds_what_fits(groups: list[Group]) -> None:
    runs = Runs(EVERYTHING, torch.float32)
    alone = micro_batches(groups, runs, pack_tokens=1, overhead=FULL)
    assert sorted(map(len, alone)) == [1] * 6
    sizes = [slots(batch, runs) for batch in alone]
    for pack_tokens in (sizes[-1] * 2, sizes[0] + sizes[1], EVERYTHING):
        batches = micro_batches(groups, runs, pack_tokens, FULL)
        assert len(batches) < 6
        assert all(slots(batch, runs) <= pack_tokens for batch in batches)
        assert sorted(id(group) for batch in batches for group in batch) == sorted(map(id, groups))
    assert len(micro_batches(groups, runs, EVERYTHING, FULL)) == 1


def test_groups_are_not_joined_where_one_pass_does_not_hold_them(groups: list[Group]) -> None:
    assert len(micro_batches(groups, Runs(1, torch.float32), pack_tokens=EVERYTHING, overhead=FULL)) == 6


def test_joined_only_where_that_is_cheaper(groups: list[Group]) -> None:
    """These problems have nearly nothing in common: to join them saves nothing but passes, and attention costs."""
    runs = Runs(EVERYTHING, torch.float32)
    assert len(micro_batches(groups, runs, EVERYTHING, pass_overhead(torch.device("cpu")))) == 6
    assert len(micro_batches(groups, runs, EVERYTHING, pass_overhead(torch.device("cuda")))) == 1


def test_block_masks_make_joining_cheap(groups: list[Group]) -> None:
    """What a slot does not see costs nothing then, so that already a small cost of a pass is worth joining."""
    assert len(micro_batches(groups, Runs(EVERYTHING, torch.float32), EVERYTHING, overhead=1)) == 6
    assert len(micro_batches(groups, Runs(EVERYTHING, torch.float32, flex=True), EVERYTHING, overhead=1)) == 1


def test_problems_that_begin_alike_share_their_beginning(groups: list[Group]) -> None:
    runs = Runs(EVERYTHING, torch.float32)
    together = micro_batches(groups, runs, EVERYTHING, FULL)
    assert slots(together[0], runs) < sum(slots([group], runs) for group in groups)


@pytest.mark.parametrize("processes", [1, 2, 4, 9])
def test_processes_share_the_groups(groups: list[Group], processes: int) -> None:
    found = shares(groups, processes)
    assert len(found) == processes
    assert sorted(id(group) for share in found for group in share) == sorted(map(id, groups))
    if processes == 2:
        sizes = [sum(len(s.tokens.ids) for group in share for s in group.solutions) for share in found]
        assert max(sizes) < 1.5 * min(sizes)


@pytest.fixture(scope="module")
def gradients(tiny: Path, groups: list[Group]) -> dict[tuple[int, int], torch.Tensor]:
    """Gradient of the sum over all groups, by (max_group_tokens, pack_tokens)."""
    model = models.load_causal(tiny, torch.float32)
    answer_logprobs(model)
    found = {}
    for cut in ((EVERYTHING, EVERYTHING), (EVERYTHING, 200), (EVERYTHING, 1), (60, 1), (1, 1)):
        runs = Runs(cut[0], torch.float32)
        with torch.no_grad():
            reference = {
                s.token_hash: runs.logprobs(model, [s.tokens])[0] - 0.1 * number
                for number, s in enumerate(s for group in groups for s in group.solutions)
            }
        losses = _losses(runs, reference, PolicyTraining(beta=0.1, weighting=Step(gamma=2.0)))
        model.zero_grad()
        for batch in micro_batches(groups, runs, cut[1], FULL):
            torch.stack([loss for loss, _ in losses(model, batch)]).sum().backward()
        found[cut] = torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])
    return found


def test_the_gradient_does_not_depend_on_the_batches(gradients: dict[tuple[int, int], torch.Tensor]) -> None:
    whole = gradients.pop((EVERYTHING, EVERYTHING))
    assert whole.norm() > 0
    for gradient in gradients.values():
        assert float((gradient - whole).norm() / whole.norm()) < 1e-5


def test_one_solution_at_a_time_keeps_the_graph_of_one(tiny: Path, groups: list[Group]) -> None:
    """max_group_tokens = 1: what is kept for the backward pass does not grow with the number of solutions."""
    model = models.load_causal(tiny, torch.float32)
    answer_logprobs(model)

    def kept(max_tokens: int, solutions: list[Any]) -> int:
        numbers = 0

        def count(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal numbers
            numbers += tensor.numel() if tensor.grad_fn is not None else 0
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            Runs(max_tokens, torch.float32).logprobs(model, solutions)
        return numbers

    solutions = [solution.tokens for solution in groups[-1].solutions]
    assert kept(1, solutions) < 0.05 * kept(1, solutions[:1])
    assert kept(EVERYTHING, solutions) > kept(EVERYTHING, solutions[:1])
