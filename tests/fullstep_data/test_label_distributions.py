"""Monte-Carlo labels against a synthetic sampler with known odds: how hard labels are distributed, what soft ones average.

A solution of K steps goes wrong at a step with probability ERR, and a wrong one is mended at a step with probability MEND. So the
odds of success from any prefix are known exactly (`success`), and every prefix ends in (state, steps left). Each test also claims
something else, which must come out as wrong: a test that cannot tell proves nothing.
"""

import math
import random
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import pytest
from scipy.stats import chi2

from fullstep_data.probing import Label, Path, Plan, Policy, Prober
from tests.fullstep_data.test_probing import N, finish

ERR, MEND = 0.15, 0.05


@cache
def success(state: str, left: int) -> float:
    """Odds that a solution in this state ends right, `left` steps before its end."""
    if left == 0:
        return float(state == "ok")
    ahead = 1 - ERR if state == "ok" else MEND
    return ahead * success("ok", left - 1) + (1 - ahead) * success("bad", left - 1)


def walk(problem: str, steps: int, chance: random.Random, ways: int) -> Path:
    """A solution. Its steps are written in one of so many ways each; keys of prefixes end in state and steps left."""
    state, written, keys = "ok", problem, []
    for left in reversed(range(steps)):
        state = "ok" if chance.random() < (1 - ERR if state == "ok" else MEND) else "bad"
        written += f".{chance.randrange(ways)}{state}"
        keys.append(f"{written}/{state}/{left}")
    return Path(problem, tuple(keys), correct=state == "ok")


def cell(prefix: str) -> tuple[str, int]:
    """State and steps left of a prefix."""
    _, state, left = prefix.split("/")
    return state, int(left)


@dataclass(frozen=True)
class Seen:
    """A label whose odds are known: p of a rollout, solutions that count as rollouts, and the label."""

    odds: float
    free: int
    label: Label


def drawn_labels(plan: Plan, problems: int, solutions: int, ways: int, steps: int = 4) -> list[Seen]:
    """Labels that do not depend on each other: of each problem, the different prefixes of one length, which share no solution."""
    chance = random.Random(str(plan))
    paths = [walk(f"p{number}", steps, chance, ways) for number in range(problems) for _ in range(solutions)]
    prober = Prober(paths, plan)
    finish(prober, lambda prefix, index: chance.random() < success(*cell(prefix)))
    found: dict[str, Seen] = {}
    through = Counter(prefix for path in paths for prefix in path.prefixes)
    for number, path in enumerate(paths):
        step = number // solutions % (steps - 1)
        prefix = path.prefixes[step]
        if prefix not in found:
            free = through[prefix] if plan.pooled else 1
            found[prefix] = Seen(success(*cell(prefix)), free, prober.labels(number)[step])
    return list(found.values())


def mismatch_p(labels: Sequence[Seen], rollouts: Callable[[Seen], int]) -> float:
    """p-value of the hypothesis that hard labels are True with odds 1 - (1 - p)^rollouts.

    Of labels with the same odds the number of True ones is binomial; the squared standard scores sum to chi-square.
    """
    count: Counter[float] = Counter()
    true: Counter[float] = Counter()
    for seen in labels:
        odds = 1 - (1 - seen.odds) ** rollouts(seen)
        count[odds] += 1
        true[odds] += bool(seen.label.label)
    squares, cells = 0.0, 0
    for odds, number in count.items():
        spread = number * odds * (1 - odds)
        if spread > 2:  # fewer are no normal distribution
            squares, cells = squares + (true[odds] - number * odds) ** 2 / spread, cells + 1
    return float(chi2.sf(squares, cells))


@pytest.mark.parametrize(("n", "problems"), [(2, 2400), (4, 4000), (8, 20000)])
def test_hard_labels_of_early_stop_have_the_distribution_of_n_rollouts(n: int, problems: int) -> None:
    """And of no other number: one rollout more or less is another distribution, which the test can tell."""
    labels = drawn_labels(Plan(n), problems, solutions=1, ways=1)
    assert mismatch_p(labels, lambda seen: n) > 0.01
    assert mismatch_p(labels, lambda seen: n - 1) < 1e-3
    assert mismatch_p(labels, lambda seen: n + 1) < 1e-3


def test_hard_labels_of_full_have_it_too() -> None:
    labels = drawn_labels(Plan(N, "full"), 4000, solutions=1, ways=1)
    assert mismatch_p(labels, lambda seen: N) > 0.01
    assert mismatch_p(labels, lambda seen: N + 1) < 1e-3


@pytest.mark.parametrize("policy", ["full", "early-stop"])
def test_a_pooled_hard_label_is_that_of_all_solutions_through_its_prefix_and_of_n_at_least(policy: Policy) -> None:
    n = 2
    labels = drawn_labels(Plan(n, policy, pooled=True), 1200, solutions=16, ways=2)
    assert min(seen.free for seen in labels) < n < max(seen.free for seen in labels)
    assert mismatch_p(labels, lambda seen: max(n, seen.free)) > 0.01
    assert mismatch_p(labels, lambda seen: n) < 1e-3
    assert mismatch_p(labels, lambda seen: n - 1 + seen.free) < 1e-3
    assert mismatch_p(labels, lambda seen: max(n, seen.free) + 1) < 1e-3


@pytest.mark.parametrize("pooled", [False, True])
def test_a_soft_label_is_unbiased_and_one_of_rollouts_that_stopped_early_would_not_be(pooled: bool) -> None:
    """The mean of n_correct / n_rollouts - p, in standard errors."""

    def bias(policy: Policy) -> float:
        labels = drawn_labels(Plan(N, policy, pooled=pooled), 1000, solutions=8, ways=2)
        with_value = [seen for seen in labels if seen.label.value is not None]
        assert (len(with_value) == len(labels)) == (policy == "full")
        assert bool(with_value) == (policy == "full" or pooled)  # with N solutions through a prefix nothing is stopped
        surplus = [seen.label.n_correct / seen.label.n_rollouts - seen.odds for seen in labels]
        kept = [seen.label.value - seen.odds for seen in with_value if seen.label.value is not None]
        assert abs(scores(kept)) < 3
        return scores(surplus)

    def scores(found: Sequence[float]) -> float:
        return statistics.fmean(found) / statistics.stdev(found) * math.sqrt(len(found)) if found else 0.0

    assert abs(bias("full")) < 3
    assert bias("early-stop") > 10
