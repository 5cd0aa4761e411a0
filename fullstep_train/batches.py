"""Batches: the groups of an optimiser step, divided over processes and cut into forward passes.

    mine = shares(groups, processes=2)[rank]
    for batch in micro_batches(mine, runs, pack_tokens=4096, overhead=0):    # each is one forward and one backward pass
        ...

Every group is in one batch of one process, once. How they are cut changes the time that a step takes, not its gradient:
losses are sums, and are divided by what the whole step weighs (`trainer`).
"""

from collections.abc import Sequence
from math import inf

import torch

from fullstep_train.forward import Runs
from fullstep_train.groups import Group

ATTENTION = 5700
"""Slots of a pass at which attention, which looks from every slot at every other, costs as much as all the rest (SmolLM2-135M on
one CPU core: 8 problems of 240 slots take 10.6 s apart and 13.4 s together; with 725 slots of few-shot prompt in common, 31.8 s
apart and 19.2 s together).
"""


def shares(groups: Sequence[Group], processes: int) -> list[list[Group]]:
    """The groups of each process, of about equal numbers of tokens: the largest group goes first, to the least laden.

    Every process finds the same division. A process may get none where there are more processes than groups.
    """
    found: list[list[Group]] = [[] for _ in range(processes)]
    if processes == 1:
        return [list(groups)]
    for group in sorted(groups, key=_tokens, reverse=True):
        laden = [sum(map(_tokens, share)) for share in found]
        found[laden.index(min(laden))].append(group)
    return found


def micro_batches(groups: Sequence[Group], runs: Runs, pack_tokens: int, overhead: int) -> list[list[Group]]:
    """The groups, longest first, each joined by the next ones as long as one pass of `pack_tokens` slots holds them and that
    is cheaper than a pass more.

    What groups share at their beginnings, such as a few-shot prompt, takes its slots once. overhead: what a pass costs beside
    its slots, in slots: see `pass_overhead`.
    """
    found: list[list[Group]] = []
    costs: list[float] = []
    for group in sorted(groups, key=_tokens, reverse=True):
        alone = _cost([group], runs, overhead, inf)
        joined = _cost([*found[-1], group], runs, overhead, pack_tokens) if found else inf
        if found and joined < costs[-1] + alone:
            found[-1].append(group)
            costs[-1] = joined
        else:
            found.append([group])
            costs.append(alone)
    return found


def pass_overhead(device: torch.device) -> int:
    """0 on a CPU, whose cores a few hundred slots fill; a GPU is idle below a few thousand."""
    return 0 if device.type == "cpu" else 2048


def _tokens(group: Group) -> int:
    return sum(len(solution.tokens.ids) for solution in group.solutions)


def _cost(groups: Sequence[Group], runs: Runs, overhead: int, most: float) -> float:
    """Of running groups together, in slots; infinite where that is more than one pass of so many slots."""
    packs = runs.packs([solution.tokens.ids for group in groups for solution in group.solutions])
    if len(groups) > 1 and (len(packs) > 1 or packs[0].tokens > most):
        return inf
    attention = 0.0 if runs.flex else 1 / ATTENTION  # block masks leave out what no slot sees
    return sum(overhead + pack.tokens * (1 + pack.tokens * attention) for pack in packs)
