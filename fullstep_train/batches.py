"""Batches: the groups of an optimiser step, divided over processes and cut into forward passes.

    mine = shares(groups, processes=2)[rank]
    for batch in micro_batches(mine, runs, pack_tokens=1024):    # each is one forward and one backward pass
        ...

Every group is in one batch of one process, once. How they are cut changes the time that a step takes, not its gradient:
losses are sums, and are divided by what the whole step weighs (`trainer`).
"""

from collections.abc import Sequence

from fullstep_train.forward import Runs
from fullstep_train.groups import Group


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


def micro_batches(groups: Sequence[Group], runs: Runs, pack_tokens: int) -> list[list[Group]]:
    """The groups, longest first, each with as many of the next as fit into one pass of `pack_tokens` slots with it.

    What groups share at their beginnings, such as a few-shot prompt, takes its slots once. A larger group is alone.
    """
    found: list[list[Group]] = []
    for group in sorted(groups, key=_tokens, reverse=True):
        if found and _slots([*found[-1], group], runs) <= pack_tokens:
            found[-1].append(group)
        else:
            found.append([group])
    return found


def _tokens(group: Group) -> int:
    return sum(len(solution.tokens.ids) for solution in group.solutions)


def _slots(groups: Sequence[Group], runs: Runs) -> float:
    """Slots of the one pass that these groups need; infinite where they need several."""
    packs = runs.packs([solution.tokens.ids for group in groups for solution in group.solutions])
    return packs[0].tokens if len(packs) == 1 else float("inf")
