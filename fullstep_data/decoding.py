r"""Decoding rules: which of a problem's samples is the answer that is given. Pure: no model, no disk.

    parse("greedy,sc@8,bon@8,wsc-min@8,beam@4x4")     # what `fs-train eval --decode` takes
    choose(Sampled("sc", 8), samples)                 # Choice(place=2, score=0.625): sample 2 speaks for 5 of 8 votes

| rule | which answer | source |
|---|---|---|
| greedy | the most probable token, each time | |
| sc@N | Self-Consistency: the answer that most of N samples give | Wang et al., arXiv 2203.11171 |
| bon@N | Best-of-N: the sample with the highest PRM score | Cobbe et al., arXiv 2110.14168 |
| wsc@N | PRM-weighted vote: each sample votes with its score | Li et al., arXiv 2206.02336 |
| hybrid@N | each sample votes with 1 + weight * calibrated evidence (`calibration`) | |
| beam@WxB | Step-wise Beam Search: W texts, B next steps of each, the best W are kept (`beam`) | arXiv 2502.14356, section 4 |

The PRM score of a sample is the mean, min or product of its step rewards, or the last of them: `bon-min@8` names one, `bon@8` is
all four over the same samples, and `beam@4x4` is beam-min@4x4. Samples without an answer never vote, and are taken only where no
sample has one.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal, get_args

from schemas import InputError

Aggregate = Literal["mean", "min", "product", "last"]
Kind = Literal["sc", "bon", "wsc", "hybrid"]

AGGREGATES: tuple[Aggregate, ...] = get_args(Aggregate)
GREEDY = "greedy"
SAMPLE = "sample"
"""Decoding rule of rows that are the samples themselves, one each."""

_RULE = re.compile(r"(?P<kind>[a-z]+)(?:-(?P<aggregate>[a-z]+))?(?:@(?P<n>\d+)(?:x(?P<branches>\d+))?)?")
_FORMS = "greedy, sc@N, bon@N, wsc@N, hybrid@N, beam@WxB; with one score: bon-min@N (mean, min, product or last)"


@dataclass(frozen=True)
class Sampled:
    """A rule over the first n samples of a problem. aggregate: of step rewards; None for `sc`, which knows no PRM."""

    kind: Kind
    n: int
    aggregate: Aggregate | None = None

    @property
    def family(self) -> str:
        """The rule without its number of samples: one curve over n."""
        return f"{self.kind}-{self.aggregate}" if self.aggregate else self.kind

    @property
    def name(self) -> str:
        return f"{self.family}@{self.n}"


@dataclass(frozen=True)
class Beam:
    """Step-wise Beam Search: `width` texts are kept, `branches` next steps of each are sampled."""

    width: int
    branches: int
    aggregate: Aggregate = "min"

    @property
    def name(self) -> str:
        chosen = "" if self.aggregate == "min" else f"-{self.aggregate}"
        return f"beam{chosen}@{self.width}x{self.branches}"


@dataclass(frozen=True)
class Greedy:
    """The most probable token, each time."""

    name: str = GREEDY


Rule = Greedy | Sampled | Beam


@dataclass(frozen=True)
class Sample:
    """What a rule knows of a sample. group: which answer it gives (`answer_classes`), None for none. rewards: [K] of its steps,
    None where no PRM has scored it.
    """

    group: int | None
    rewards: Sequence[float] | None = None


@dataclass(frozen=True)
class Choice:
    """place: index of the chosen sample. score: what the rule judged by: the share of the (weighted) votes, or the PRM score.
    None where the rule had nothing to judge by.
    """

    place: int
    score: float | None


def parse(text: str) -> tuple[Rule, ...]:
    """The rules of a comma-separated list, each once, in order. InputError: a rule that is none, or a number below 1."""
    found: dict[str, Rule] = {}
    for name in filter(None, (part.strip() for part in text.split(","))):
        found.update((rule.name, rule) for rule in _rules(name))
    if not found:
        raise InputError("no decoding rule is named", where="--decode", next_step=f"name some of: {_FORMS}")
    return tuple(found.values())


def curve(rule: Sampled) -> list[Sampled]:
    """The same rule over 1, 2, 4 … n samples."""
    return [replace(rule, n=n) for n in (*(2**power for power in range((rule.n - 1).bit_length())), rule.n)]


def aggregate(rewards: Sequence[float], how: Aggregate) -> float:
    """One score of a solution from its step rewards (at least one)."""
    match how:
        case "mean":
            return math.fsum(rewards) / len(rewards)
        case "min":
            return min(rewards)
        case "product":
            return math.prod(rewards)
        case "last":
            return rewards[-1]


def answer_classes(
    problems: Sequence[Sequence[str | None]], equal: Callable[[list[tuple[str, str]]], Sequence[bool]]
) -> list[list[int | None]]:
    """For the answers of each problem the number of its class; None for no answer. `equal` is asked once, for all problems.

    Equality of answers is not transitive (50 = 50 %, 50 % = 0.5), so a class has a leader: spellings are gone through from
    the most frequent to the rarest (then by their text), and each joins the first leader that it equals or leads a class of its
    own. Hence the classes do not depend on the order of the samples.
    """
    spellings = [_by_frequency(answers) for answers in problems]
    pairs = [(rarer, leader) for of_one in spellings for leader, rarer in combinations(of_one, 2)]
    asked = list(dict.fromkeys(pairs))
    same = dict(zip(asked, equal(asked) if asked else (), strict=True))
    return [_classes(answers, of_one, same) for answers, of_one in zip(problems, spellings, strict=True)]


def choose(rule: Sampled, samples: Sequence[Sample], evidence: Callable[[float], float] | None = None) -> Choice:
    """The choice of a rule among its first n samples (at least one). evidence: for `hybrid`, the vote of a sample of this score.

    A tie goes to the answer, or the sample, that came first.
    """
    taken = samples[: rule.n]
    scores = [aggregate(one.rewards, rule.aggregate) if rule.aggregate and one.rewards else None for one in taken]
    groups = [one.group for one in taken]
    match rule.kind:
        case "sc":
            return vote(groups, [1.0] * len(taken))
        case "bon":
            return _best(groups, scores)
        case "wsc":
            return vote(groups, [score or 0.0 for score in scores])
        case "hybrid":
            if evidence is None:
                raise ValueError("the rule hybrid needs a calibration")
            return vote(groups, [1.0 if score is None else evidence(score) for score in scores])


def vote(groups: Sequence[int | None], weights: Sequence[float]) -> Choice:
    """The first sample of the group with the greatest sum of weights. Without any answer: sample 0, no score.

    score: the group's share of all weights; where these are not all positive (`hybrid`), no share exists and it is the sum.
    """
    totals: dict[int, float] = {}
    for group, weight in zip(groups, weights, strict=True):
        if group is not None:
            totals[group] = totals.get(group, 0.0) + weight
    if not totals:
        return Choice(0, None)
    winner = max(totals, key=lambda group: totals[group])  # the first of equals: dicts keep the order of the samples
    everything = math.fsum(totals.values())
    shares = min(weights) >= 0 and everything > 0
    return Choice(groups.index(winner), totals[winner] / everything if shares else totals[winner])


def _best(groups: Sequence[int | None], scores: Sequence[float | None]) -> Choice:
    places = range(len(groups))
    scored = [place for place in places if scores[place] is not None]
    answered = [place for place in scored if groups[place] is not None]
    if not (answered or scored):
        return Choice(next((place for place in places if groups[place] is not None), 0), None)
    best = max(answered or scored, key=lambda place: scores[place] or 0.0)
    return Choice(best, scores[best])


def _by_frequency(answers: Sequence[str | None]) -> list[str]:
    counts = Counter(answer for answer in answers if answer is not None)
    return sorted(counts, key=lambda answer: (-counts[answer], answer))


def _classes(answers: Sequence[str | None], spellings: Sequence[str], same: dict[tuple[str, str], bool]) -> list[int | None]:
    leaders: list[str] = []
    number: dict[str, int] = {}
    for spelling in spellings:
        place = next((place for place, leader in enumerate(leaders) if same[spelling, leader]), len(leaders))
        if place == len(leaders):
            leaders.append(spelling)
        number[spelling] = place
    return [None if answer is None else number[answer] for answer in answers]


def _rules(name: str) -> list[Rule]:
    match = _RULE.fullmatch(name)
    kind, chosen, n, branches = match.group("kind", "aggregate", "n", "branches") if match else ("", None, None, None)
    if chosen is not None and chosen not in AGGREGATES:
        raise _unknown(name, f"{chosen!r} is no score of a solution")
    if (n is not None and int(n) < 1) or (branches is not None and int(branches) < 1):
        raise _unknown(name, "numbers begin at 1")
    aggregates: tuple[Aggregate, ...] = tuple(one for one in AGGREGATES if chosen in (None, one))
    match kind, chosen, n, branches:
        case "greedy", None, None, None:
            return [Greedy()]
        case "sc", None, str(), None:
            return [Sampled("sc", int(n))]
        case (("bon" | "wsc" | "hybrid"), _, str(), None):
            return [Sampled(kind, int(n), one) for one in aggregates]
        case "beam", _, str(), str():
            return [Beam(int(n), int(branches), aggregates[0] if chosen else "min")]
        case _:
            raise _unknown(name, "there is no such rule")


def _unknown(name: str, why: str) -> InputError:
    return InputError(f"decoding rule {name!r}: {why}", where="--decode", next_step=f"the rules: {_FORMS}")
