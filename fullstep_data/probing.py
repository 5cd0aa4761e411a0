"""Which rollouts Monte-Carlo labels need, and what they say: the policies, apart from frames, engines and disk.

    prober = Prober(paths, Plan(n=8, policy="early-stop"))
    while asks := prober.asks():                               # a round: what can be asked of the engine at once
        prober.tell({(ask.prefix, index): outcome(ask, index) for ask in asks for index in ask.indices})
    prober.labels(0)                                           # one Label per step of the first path

A path is a sampled solution as the keys of its prefixes, one per step. A rollout is a completion of a prefix: right, wrong, or
undecided (None: it failed or could not be graded). The solution is itself a rollout of each of its prefixes, drawn by the same
sampler, so it counts as one of N and only N - 1 are drawn (method.md, Labels). Its last prefix is the whole solution, which has
one completion: the last label is the outcome.

`early-stop` draws one by one and stops at the first success. Its hard label is True where any of N is, which is what `full` looks
for: for the same draws both labels are equal, so they have one distribution. Its counts are biased, so it gives no soft value.
`binary-search` (OmegaPRM, arXiv 2406.06592) takes success to end once and for all at the first wrong step: an approximation.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Policy = Literal["full", "early-stop", "first-error", "binary-search"]
Result = bool | None

AFTER_ERROR = "after the first error"
AFTER_OPEN = "after a step that stayed open"
UNDECIDED = "rollouts could not be graded"
UNDRAWN = "rollouts are missing"
NO_OUTCOME = "outcome undecided"


@dataclass(frozen=True)
class Path:
    """A solution. prefixes: the key of the text up to the end of each step. correct: None where it could not be graded."""

    problem: str
    prefixes: tuple[str, ...]
    correct: Result


@dataclass(frozen=True)
class Plan:
    """n: rollouts that a label stands on. pooled: all paths through a prefix count as its rollouts; there may then be more.

    on_policy: False where solutions come from elsewhere: then they are no rollouts, and all n are drawn.
    """

    n: int
    policy: Policy = "early-stop"
    pooled: bool = False
    on_policy: bool = True


@dataclass(frozen=True)
class Ask:
    """Rollouts to be drawn from a prefix now. path, step: the first place where it stands. most: how many it may still take,
    these included, until its label is settled. worth: labels settled per rollout, expected; the best ask has the highest.
    """

    prefix: str
    path: int
    step: int
    indices: range
    most: int
    worth: float


@dataclass(frozen=True)
class Label:
    """n_rollouts: graded ones that the policy looked at. label, value: None where open; reason: why the label is."""

    n_rollouts: int
    n_correct: int
    label: Result
    value: float | None
    reason: str | None = None


@dataclass(frozen=True)
class _Look:
    """What is known of a prefix. missing: rollouts to be drawn before the policy can say more (none: all is said)."""

    label: Label
    missing: range

    @property
    def settled(self) -> bool:
        return not self.missing


class Prober:
    """What is known of the labels. drawn: outcomes by prefix and index, if any; a table of rollouts gives its labels back."""

    def __init__(self, paths: Sequence[Path], plan: Plan, drawn: Mapping[str, Mapping[int, Result]] | None = None) -> None:
        self.plan = plan
        self._paths = paths
        self._drawn = {prefix: dict(outcomes) for prefix, outcomes in (drawn or {}).items()}
        self._first: dict[str, tuple[int, int]] = {}
        self._through: dict[str, list[bool]] = {}
        for number, path in enumerate(paths):
            for step, prefix in enumerate(path.prefixes):
                if path.correct is not None:
                    self._through.setdefault(prefix, []).append(path.correct)
                if step < len(path.prefixes) - 1:
                    self._first.setdefault(prefix, (number, step))
        self._accuracy = _accuracy(paths)

    def asks(self) -> list[Ask]:
        """The next round, the most worth first; each prefix once. Empty: no rollout would change a label."""
        waiting: dict[str, list[range]] = {}
        for path in self._paths:
            for prefix, missing in self._wanted(path):
                waiting.setdefault(prefix, []).append(missing)
        asks = [self._ask(prefix, missing) for prefix, missing in waiting.items()]
        return sorted(asks, key=lambda ask: -ask.worth)  # stable: equals stay in the order of the paths

    def tell(self, outcomes: Mapping[tuple[str, int], Result]) -> None:
        """What came of rollouts, by prefix and index."""
        for (prefix, index), outcome in outcomes.items():
            self._drawn.setdefault(prefix, {})[index] = outcome

    def owed(self) -> int:
        """How many rollouts may still be drawn, at most: a success or a first wrong step settles many of them at once."""
        missing = {prefix: left for path in self._paths if any(self._wanted(path)) for prefix, left in self._open(path)}
        return sum(missing.values())

    def labels(self, number: int) -> list[Label]:
        """A label for each step of a path, of what is known by now."""
        path = self._paths[number]
        looks = [self._look(path, step) for step in range(len(path.prefixes))]
        match self.plan.policy:
            case "full" | "early-stop":
                return [look.label for look in looks]
            case "first-error":
                return _until_error([look.label for look in looks])
            case "binary-search":
                return self._searched(path, [look.label for look in looks])

    # What a policy wants to know next

    def _wanted(self, path: Path) -> Iterator[tuple[str, range]]:
        """Prefixes of a path that need rollouts now, with all that each may need."""
        match self.plan.policy:
            case "full" | "early-stop":
                steps: Sequence[int] = range(len(path.prefixes) - 1)
            case "first-error":
                steps = self._first_unsettled(path)
            case "binary-search":
                steps = self._search(path)[2]
        for step in steps:
            look = self._look(path, step)
            if not look.settled:
                yield path.prefixes[step], look.missing

    def _open(self, path: Path) -> Iterator[tuple[str, int]]:
        """Prefixes of a path that are not settled, with the rollouts that each lacks."""
        for step, prefix in enumerate(path.prefixes[:-1]):
            if missing := len(self._look(path, step).missing):
                yield prefix, missing

    def _first_unsettled(self, path: Path) -> Sequence[int]:
        for step in range(len(path.prefixes) - 1):
            look = self._look(path, step)
            if not look.settled:
                return (step,)
            if not look.label.label:
                return ()
        return ()

    def _search(self, path: Path) -> tuple[int, int, Sequence[int]]:
        """(last step known right, first known wrong, step to look at next). Steps -1 and K: right and wrong by definition."""
        last = len(path.prefixes) - 1
        right, wrong = (-1, last) if path.correct is False else (last, last + 1)
        while wrong - right > 1:
            middle = (right + wrong) // 2
            look = self._look(path, middle)
            if not look.settled or look.label.label is None:
                return right, wrong, (middle,)
            right, wrong = (middle, wrong) if look.label.label else (right, middle)
        return right, wrong, ()

    def _searched(self, path: Path, seen: Sequence[Label]) -> list[Label]:
        """Labels by the place of the first wrong step; counts are those of the steps that were looked at."""
        if path.correct is None:
            return [replace(label, label=None, value=None, reason=NO_OUTCOME) for label in seen]
        right, wrong, looking = self._search(path)
        labels: list[Label] = []
        for step, label in enumerate(seen):
            if step <= right:
                labels.append(replace(label, label=True, reason=None))
            elif step == wrong and not looking:
                labels.append(replace(label, label=False, reason=None))
            elif step > right and looking:
                reason = seen[looking[0]].reason if step <= looking[0] else AFTER_OPEN
                labels.append(replace(label, label=None, value=None, reason=reason))
            else:
                labels.append(replace(label, label=None, value=None, reason=AFTER_ERROR))
        return labels

    # What is known of a prefix

    def _look(self, path: Path, step: int) -> _Look:
        if step == len(path.prefixes) - 1:
            return _Look(_outcome(path.correct), range(0))
        free = self._free(path, path.prefixes[step])
        drawn = self._drawn.get(path.prefixes[step], {})
        needed = max(0, self.plan.n - len(free))
        return self._all(free, drawn, needed) if self.plan.policy == "full" else self._one_by_one(free, drawn, needed)

    def _free(self, path: Path, prefix: str) -> list[bool]:
        """Outcomes of solutions that count as rollouts of the prefix."""
        if not self.plan.on_policy:
            return []
        if self.plan.pooled:
            return self._through.get(prefix, [])
        return [] if path.correct is None else [path.correct]

    def _all(self, free: Sequence[bool], drawn: Mapping[int, Result], needed: int) -> _Look:
        known = _known(drawn)
        decided = [*free, *(result for index in range(min(needed, known)) if (result := drawn.get(index)) is not None)]
        n, correct = len(decided), sum(decided)
        enough = n >= self.plan.n
        if correct or enough:  # a success is a success, whatever is missing
            label = Label(n, correct, correct > 0, correct / n if enough else None)
        else:
            label = Label(n, correct, None, None, UNDRAWN if known < needed else UNDECIDED)
        return _Look(label, range(known, needed))

    def _one_by_one(self, free: Sequence[bool], drawn: Mapping[int, Result], needed: int) -> _Look:
        """Free rollouts first, then drawn ones up to the first success."""
        n, correct, known = len(free), sum(free), _known(drawn)
        value = correct / n if n >= self.plan.n else None
        undecided = False
        for index in range(0 if correct else needed):
            if index >= known:
                return _Look(Label(n, 0, None, None, UNDRAWN), range(index, needed))
            result = drawn.get(index)
            undecided |= result is None
            n += result is not None
            if result:
                return _Look(Label(n, 1, True, None), range(0))
        if undecided:
            return _Look(Label(n, 0, None, None, UNDECIDED), range(0))
        return _Look(Label(n, correct, correct > 0, value), range(0))

    def _ask(self, prefix: str, waiting: Sequence[range]) -> Ask:
        path, step = self._first[prefix]
        missing = max(waiting, key=len)
        if self.plan.policy == "full":
            return Ask(prefix, path, step, missing, len(missing), len(waiting) / len(missing))
        failed = len(self._free(self._paths[path], prefix)) + missing.start
        expected = _expected_rollouts(failed, len(missing), self._accuracy[self._paths[path].problem])
        return Ask(prefix, path, step, missing[:1], len(missing), len(waiting) / expected)


def affordable(asks: Sequence[Ask], left: int, cost: Mapping[str, int], whole: bool) -> list[Ask]:
    """The asks that a budget still allows, in their order: each only if it is paid for until its label is settled.

    left: of the budget. cost: of one rollout at most, by prefix. whole: half a set of rollouts settles nothing (policy full);
    otherwise what would be left over is spent on the best ask, which may be lucky.
    """
    taken: list[Ask] = []
    free = left
    for ask in asks:
        price = ask.most * cost[ask.prefix]
        if price <= free:
            taken.append(ask)
            free -= price
    if taken or whole:
        return taken
    return next(([ask] for ask in asks if cost[ask.prefix] <= left), [])


def _outcome(correct: Result) -> Label:
    if correct is None:
        return Label(0, 0, None, None, NO_OUTCOME)
    return Label(1, int(correct), correct, float(correct))


def _until_error(labels: Sequence[Label]) -> list[Label]:
    """Labels up to the first that is not True; those after it are open, whatever is known of them."""
    place = next((step for step, label in enumerate(labels) if not label.label), len(labels))
    why = AFTER_ERROR if place < len(labels) and labels[place].label is False else AFTER_OPEN
    return [label if step <= place else replace(label, label=None, value=None, reason=why) for step, label in enumerate(labels)]


def _known(drawn: Mapping[int, Result]) -> int:
    """Rollouts are drawn in order, so all below the highest index were asked for; one that is not there has failed."""
    return max(drawn, default=-1) + 1


def _accuracy(paths: Sequence[Path]) -> dict[str, float]:
    """Share of right solutions of each problem, one right and one wrong added."""
    right: dict[str, list[bool]] = {path.problem: [True, False] for path in paths}
    for path in paths:
        if path.correct is not None:
            right[path.problem].append(path.correct)
    return {problem: sum(outcomes) / len(outcomes) for problem, outcomes in right.items()}


def _expected_rollouts(failed: int, most: int, accuracy: float) -> float:
    """Rollouts until the first success or the `most`-th failure, after `failed` failures.

    The odds of success are taken as Beta(2a, 2(1 - a)) with the problem's accuracy a: after f failures 2a / (2 + f).
    """
    expected, reached = 0.0, 1.0
    for more in range(most):
        expected += reached
        reached *= 1 - 2 * accuracy / (2 + failed + more)
    return expected
