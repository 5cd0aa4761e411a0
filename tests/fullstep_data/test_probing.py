"""Policies of Monte-Carlo labels: what they ask for, what they say, and that stopping early changes no label for the same draws.

That the labels have the distribution they should have: test_label_distributions.py.
"""

import math
import random
from collections.abc import Callable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from fullstep_data.probing import (
    AFTER_ERROR,
    AFTER_OPEN,
    NO_OUTCOME,
    UNDECIDED,
    UNDRAWN,
    Label,
    Path,
    Plan,
    Policy,
    Prober,
    Result,
    affordable,
)

N = 4
Draw = Callable[[str, int], Result]


def finish(prober: Prober, draw: Draw) -> int:
    """Draws all that is asked for; how many rollouts that took."""
    count = 0
    while asks := prober.asks():
        told = {(ask.prefix, index): draw(ask.prefix, index) for ask in asks for index in ask.indices}
        count += len(told)
        prober.tell(told)
    return count


def labels_of(path: Path, plan: Plan, draws: dict[str, Sequence[Result]]) -> list[Label]:
    prober = Prober([path], plan)
    finish(prober, lambda prefix, index: draws[prefix][index])
    return prober.labels(0)


WRONG = Path("p", ("a", "ab", "abc"), correct=False)
RIGHT = Path("p", ("a", "ax"), correct=True)


# What each policy says, by hand; N = 4, so three rollouts beside the solution's own


def test_full_draws_all_and_counts_the_solution_as_one() -> None:
    draws: dict[str, Sequence[Result]] = {"a": [False, True, True], "ab": [False, False, False]}
    assert labels_of(WRONG, Plan(N, "full"), draws) == [
        Label(4, 2, True, 0.5),  # wrong itself, then one wrong and two right: 2/4
        Label(4, 0, False, 0.0),
        Label(1, 0, False, 0.0),  # the whole solution has one completion: itself
    ]


def test_early_stop_draws_until_the_first_success_and_gives_no_value() -> None:
    draws: dict[str, Sequence[Result]] = {"a": [False, True], "ab": [False, False, False]}
    assert labels_of(WRONG, Plan(N), draws) == [
        Label(3, 1, True, None),
        Label(4, 0, False, None),
        Label(1, 0, False, 0.0),
    ]


def test_a_right_solution_needs_no_rollout() -> None:
    assert Prober([RIGHT], Plan(16)).asks() == []
    assert [label.label for label in labels_of(RIGHT, Plan(16), {})] == [True, True]


def test_n_1_is_the_outcome() -> None:
    for policy in ("full", "early-stop"):
        prober = Prober([WRONG, RIGHT], Plan(1, policy))
        assert prober.asks() == []
        assert prober.labels(0) == [Label(1, 0, False, 0.0)] * 3
        assert prober.labels(1) == [Label(1, 1, True, 1.0)] * 2


def test_first_error_leaves_later_steps_open() -> None:
    path = Path("p", ("a", "ab", "abc", "abcd"), correct=False)
    draws: dict[str, Sequence[Result]] = {"a": [True], "ab": [False] * 3}
    assert labels_of(path, Plan(N, "first-error"), draws) == [
        Label(2, 1, True, None),
        Label(4, 0, False, None),
        Label(1, 0, None, None, AFTER_ERROR),  # its own outcome is known; no more was drawn
        Label(1, 0, None, None, AFTER_ERROR),
    ]


def test_the_last_step_is_the_first_error_where_all_others_can_succeed() -> None:
    labels = labels_of(WRONG, Plan(N, "first-error"), {"a": [True], "ab": [True]})
    assert [label.label for label in labels] == [True, True, False]


def test_binary_search_looks_at_half_of_what_is_left() -> None:
    # Seven steps; the last is wrong. Steps 2 (right), 4 (wrong), 3 (right) are looked at: the first wrong step is 4.
    path = Path("p", tuple("abcdefg"), correct=False)
    draws: dict[str, Sequence[Result]] = {"c": [True], "e": [False] * 3, "d": [True]}
    labels = labels_of(path, Plan(N, "binary-search"), draws)
    assert [label.label for label in labels] == [True, True, True, True, False, None, None]
    assert [label.n_rollouts for label in labels] == [1, 1, 2, 2, 4, 1, 1]
    assert labels[6].reason == AFTER_ERROR


def test_pooled_paths_through_a_prefix_are_its_rollouts() -> None:
    paths = [WRONG, Path("p", ("a", "ac"), correct=False), RIGHT]
    apart, together = Prober(paths, Plan(N, "full")), Prober(paths, Plan(N, "full", pooled=True))
    drawn = finish(apart, lambda prefix, index: False)
    # apart: three at each of a, ab. Together: a has three solutions and needs one more; ab three
    assert (drawn, finish(together, lambda prefix, index: False)) == (6, 4)
    assert apart.labels(0)[0] == Label(4, 0, False, 0.0)
    assert together.labels(0)[0] == together.labels(2)[0] == Label(4, 1, True, 0.25)


def test_pooled_more_than_n_solutions_all_count() -> None:
    paths = [RIGHT, *(Path("p", ("a", f"a{k}"), correct=False) for k in range(9))]
    prober = Prober(paths, Plan(N, pooled=True))
    assert prober.asks() == []
    assert prober.labels(5)[0] == Label(10, 1, True, 0.1)  # no draw was stopped early: the share is unbiased


def test_equal_prefixes_are_drawn_once_also_apart() -> None:
    paths = [WRONG, Path("p", ("a", "ac"), correct=False)]
    prober = Prober(paths, Plan(N))
    assert [ask.prefix for ask in prober.asks()] == ["a", "ab"]  # a settles two labels, so it comes first
    finish(prober, lambda prefix, index: index == 1)
    assert prober.labels(0)[0] == prober.labels(1)[0] == Label(3, 1, True, None)


def test_solutions_from_elsewhere_are_no_rollouts() -> None:
    prober = Prober([RIGHT], Plan(N, "full", on_policy=False))
    assert finish(prober, lambda prefix, index: False) == 4
    assert prober.labels(0) == [Label(4, 0, False, 0.0), Label(1, 1, True, 1.0)]


# What stays open, and why


def test_undecided_rollouts_settle_nothing_but_a_success_does() -> None:
    draws: dict[str, Sequence[Result]] = {"a": [None, False, True], "ab": [False, None, False]}
    for policy in ("full", "early-stop"):
        labels = labels_of(WRONG, Plan(N, policy), draws)
        assert labels[0].label is True
        assert (labels[1].label, labels[1].n_rollouts, labels[1].reason) == (None, 3, UNDECIDED)
    first = labels_of(WRONG, Plan(N, "first-error"), {"a": [False, None, False]})
    assert [label.reason for label in first] == [UNDECIDED, AFTER_OPEN, AFTER_OPEN]


def test_a_solution_that_could_not_be_graded_is_no_rollout_and_its_last_label_is_open() -> None:
    path = Path("p", ("a", "ab"), correct=None)
    labels = labels_of(path, Plan(N), {"a": [False] * 4})
    assert labels == [Label(4, 0, False, None), Label(0, 0, None, None, NO_OUTCOME)]


def test_without_its_rollouts_a_step_is_open() -> None:
    prober = Prober([WRONG], Plan(N), {"a": {0: False, 1: False}})
    assert prober.labels(0)[0] == Label(3, 0, None, None, UNDRAWN)
    assert prober.labels(0)[1] == Label(1, 0, None, None, UNDRAWN)
    first = Prober([WRONG], Plan(N, "first-error"), {"a": {0: False}})
    assert [label.reason for label in first.labels(0)] == [UNDRAWN, AFTER_OPEN, AFTER_OPEN]
    search = Prober([WRONG], Plan(N, "binary-search"), {"a": {0: False}})
    assert [label.reason for label in search.labels(0)] == [UNDRAWN, AFTER_OPEN, AFTER_OPEN]


# Stopping early changes no hard label


TREES = st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=5)


def path_of(text: str, seed: int) -> Path:
    chance = random.Random(f"{text}{seed}")
    return Path("p", tuple(text[:stop] for stop in range(1, len(text) + 1)), chance.random() < 0.4)


@given(TREES, st.integers(0, 1000), st.booleans(), st.booleans(), st.sampled_from([1, 2, 4, 8]))
def test_for_the_same_draws_labels_are_those_of_full(texts: list[str], seed: int, pooled: bool, on_policy: bool, n: int) -> None:
    def draw(prefix: str, index: int) -> bool:
        return random.Random(f"{seed} {prefix} {index}").random() < 0.3

    paths = [path_of(text, seed) for text in texts]
    taken: dict[Policy, int] = {}
    labels: dict[Policy, list[list[Label]]] = {}
    policies: tuple[Policy, ...] = ("full", "early-stop", "first-error", "binary-search")
    for policy in policies:
        prober = Prober(paths, Plan(n, policy, pooled, on_policy))
        taken[policy] = finish(prober, draw)
        labels[policy] = [prober.labels(number) for number in range(len(paths))]
    assert taken["first-error"] <= taken["early-stop"] <= taken["full"]
    assert taken["binary-search"] <= taken["early-stop"]
    for number, path in enumerate(paths):
        full = [label.label for label in labels["full"][number]]
        assert [label.label for label in labels["early-stop"][number]] == full
        first = [label.label for label in labels["first-error"][number]]
        place = full.index(False) + 1 if False in full else len(full)
        assert first == full[:place] + [None] * (len(full) - place)
        if path.correct is False and full == sorted(full, reverse=True):  # where its assumption holds, binary search is exact
            assert [label.label for label in labels["binary-search"][number]] == first


@given(TREES, st.integers(0, 1000), st.sampled_from(["full", "early-stop", "first-error", "binary-search"]), st.booleans())
def test_a_table_of_rollouts_gives_the_labels_back(texts: list[str], seed: int, policy: Policy, pooled: bool) -> None:
    """Rollouts that failed are not in the table: here one in eight."""
    paths = [path_of(text, seed) for text in texts]
    live = Prober(paths, Plan(N, policy, pooled))
    rows: dict[str, dict[int, Result]] = {}

    def draw(prefix: str, index: int) -> Result:
        chance = random.Random(f"{seed} {prefix} {index}").random()
        if chance > 0.125:
            rows.setdefault(prefix, {})[index] = None if chance < 0.2 else chance < 0.4
        return rows.get(prefix, {}).get(index)

    finish(live, draw)
    again = Prober(paths, Plan(N, policy, pooled), rows)
    for number in range(len(paths)):
        for first, second in zip(live.labels(number), again.labels(number), strict=True):
            assert (first.label, first.value, first.n_rollouts) == (second.label, second.value, second.n_rollouts)


# Budgets


def tree(seed: int) -> list[Path]:
    """Solutions of three problems, of which one is never solved and one nearly always."""
    paths: list[Path] = []
    for problem, accuracy in (("never", 0.0), ("half", 0.5), ("easy", 0.9)):
        chance = random.Random(f"{seed}{problem}")
        for number in range(8):
            keys = tuple(f"{problem}/{number}/{step}" for step in range(4))
            paths.append(Path(problem, keys, chance.random() < accuracy))
    return paths


def settled_with(limit: int, seed: int, in_order: bool) -> tuple[int, int]:
    """(labels settled, rollouts drawn) under a budget; in_order: without regard to worth and without saving up for a label."""
    odds = {"never": 0.02, "half": 0.5, "easy": 0.9}
    paths = tree(seed)
    prober = Prober(paths, Plan(8))
    spent = 0
    while asks := prober.asks():
        cost = {ask.prefix: 1 for ask in asks}
        if in_order:
            taken = sorted(asks, key=lambda ask: (ask.path, ask.step))[: limit - spent]
        else:
            taken = affordable(asks, limit - spent, cost, whole=False)
        if not taken:
            break
        spent += sum(len(ask.indices) for ask in taken)
        prober.tell(
            {
                (ask.prefix, index): random.Random(f"{seed}{ask.prefix}{index}").random() < odds[ask.prefix.split("/")[0]]
                for ask in taken
                for index in ask.indices
            }
        )
    labels = [label for number in range(len(paths)) for label in prober.labels(number)]
    return sum(label.label is not None for label in labels), spent


def test_a_budget_is_kept_and_settles_more_labels_than_spending_in_order() -> None:
    for limit in (20, 40, 80):
        wise = [settled_with(limit, seed, in_order=False) for seed in range(6)]
        naive = [settled_with(limit, seed, in_order=True) for seed in range(6)]
        assert all(spent <= limit for _, spent in (*wise, *naive))
        assert sum(settled for settled, _ in wise) > sum(settled for settled, _ in naive)


def test_a_label_is_begun_only_if_it_can_be_paid_for_to_its_end() -> None:
    asks = Prober([Path("p", tuple("abcd"), correct=False)], Plan(4)).asks()  # three prefixes, three rollouts each at most
    cost = {"a": 10, "b": 20, "c": 10}
    assert [ask.prefix for ask in affordable(asks, 90, cost, whole=False)] == ["a", "b"]
    assert [ask.prefix for ask in affordable(asks, 70, cost, whole=False)] == ["a", "c"]  # 30, then 60 is too much, then 30
    assert [ask.prefix for ask in affordable(asks, 25, cost, whole=False)] == ["a"]  # not to its end, but it may be lucky
    assert affordable(asks, 9, cost, whole=False) == []
    full = Prober([Path("p", tuple("abcd"), correct=False)], Plan(4, "full")).asks()
    assert affordable(full, 29, cost, whole=True) == []  # two of three rollouts would settle nothing


def test_what_is_nearly_known_and_what_settles_more_comes_first() -> None:
    prober = Prober([WRONG], Plan(4), {"a": {0: False, 1: False}})
    assert [(ask.prefix, ask.most) for ask in prober.asks()] == [("a", 1), ("ab", 3)]
    easy = [Path("easy", ("e", "ee"), correct=False), *(Path("easy", (f"r{k}",), correct=True) for k in range(6))]
    hard = [Path("hard", ("h", "hh"), correct=False), *(Path("hard", (f"w{k}",), correct=False) for k in range(6))]
    assert [ask.prefix for ask in Prober([*hard, *easy], Plan(4)).asks()] == ["e", "h"]


def test_expected_rollouts_by_hand() -> None:
    # accuracy a = 1/2 (no outcome seen): Beta(1, 1). One failure seen, up to two rollouts: 1 + P(first fails) = 1 + 2/3
    prober = Prober([Path("p", ("a", "b"), correct=None)], Plan(3), {"a": {0: False}})
    (ask,) = prober.asks()
    assert math.isclose(1 / ask.worth, 1 + 2 / 3)


def test_what_may_still_be_drawn_shrinks_with_every_outcome_and_ends_at_nothing() -> None:
    """Both open prefixes of WRONG lack three rollouts; RIGHT is its own success."""
    early = Prober([WRONG, RIGHT], Plan(N))
    assert early.owed() == 3 + 3
    early.tell({("a", 0): True, ("ab", 0): False})
    assert early.owed() == 2  # `a` is settled, `ab` may take two more
    first = Prober([WRONG], Plan(N, "first-error"))
    first.tell({("a", index): False for index in range(3)})
    assert first.owed() == 0  # the first wrong step is found: nothing after it is looked at
    for policy in ("full", "early-stop", "first-error", "binary-search"):
        prober = Prober([WRONG, RIGHT], Plan(N, policy))
        owed = [prober.owed()]
        while asks := prober.asks():
            prober.tell({(ask.prefix, index): ask.prefix == "a" and index == 1 for ask in asks for index in ask.indices})
            owed.append(prober.owed())
        assert owed == sorted(set(owed), reverse=True)
        assert owed[-1] == 0
