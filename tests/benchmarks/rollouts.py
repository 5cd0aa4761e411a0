"""Monte-Carlo labels: what share of the rollouts of "every step, all N" does each policy draw, and are the labels the same?

    python -m tests.benchmarks.rollouts [--quick] [--mend 0.03]

The real stages run on a synthetic sampler, whose odds of success are known at every prefix. Its success rates are those measured
on GSM8K (tests.benchmarks.gsm8k_rates): 2 to 7 lines and then a step that states the answer, so K = 3 to 8; the accuracy of a
problem is out of Beta(2p, 2(1 - p)), where the logit of p falls by 0.6 with every line; a wrong solution first goes wrong where
those of as many lines do. No data say how often a wrong one is mended: --mend, at each later line; `by_mend` has others. Each
line is written in one of 30 ways, the k-th with weight 1/k, so that solutions share prefixes now and then (invented; it decides
what equal prefixes and pooling save). M = 32, N = 8. `answer_in_last_line`: K = 3 to 7 lines, the last one with the answer, as
Math-Shepherd has it.

fraction_*: rollouts at 50 % accuracy / (N x all steps). early_stop and first_error: as if no two solutions shared a prefix, the
policy alone; `*_drawn`: what the stage drew, equal prefixes once; pooled: early-stop, pooled, as drawn. `*_of_open_steps` divides
by N x steps without the last of each solution, which has nothing to sample; `*_of_full_drawn`: drawn / what our own policy `full`
draws, which knows of free rollouts and of equal prefixes too. full, full_pooled: soft labels, which need all N.
differing_labels: hard labels that are not those of `full` with the same seeds, where both give one. label_mismatch_p: p-value
(chi-square over bins of p, all accuracies) of early-stop's hard labels against 1 - (1 - p)^N, the distribution of N rollouts; the
control claims N - 2 and must be small. The last line is one JSON object.
"""

import argparse
import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import polars as pl
from scipy.optimize import brentq
from scipy.stats import beta, chi2

from fullstep_data.config import MonteCarloLabels, RolloutsConfig, SamplesConfig, ScriptedEngine, SolutionsConfig, StepsConfig
from fullstep_data.engines.continuation import cut
from fullstep_data.engines.protocol import Completion, Request
from fullstep_data.grading import Grader
from fullstep_data.prompts import Chat, plain_prompt
from fullstep_data.rollouts import rollouts
from fullstep_data.samples import samples
from fullstep_data.solutions import solutions
from fullstep_data.stage import Context, Tick, no_tick
from fullstep_data.step_labels import monte_carlo_labels
from fullstep_data.steps import steps
from schemas import TABLES

M, N = 32, 8
WAYS = 30
ACCURACIES = (0.3, 0.4, 0.5, 0.6, 0.7)
MIDDLE, MENDS = 0.5, (0.0, 0.1)
# What gsm8k_rates prints
LINES = {2: 0.264, 3: 0.338, 4: 0.235, 5: 0.106, 6: 0.042, 7: 0.014}
SLOPE, SPREAD = -0.6, 2.0
FIRST_ERROR = {
    2: (0.55, 0.45),
    3: (0.39, 0.32, 0.30),
    4: (0.36, 0.22, 0.20, 0.22),
    5: (0.28, 0.15, 0.11, 0.15, 0.31),
    6: (0.28, 0.15, 0.12, 0.13, 0.13, 0.20),
    7: (0.33, 0.19, 0.00, 0.10, 0.06, 0.13, 0.19),
}
POLICIES: dict[str, dict[str, Any]] = {
    "early_stop": {"policy": "early-stop"},
    "first_error": {"policy": "first-error"},
    "pooled": {"policy": "early-stop", "pooled": True},
    "first_error_pooled": {"policy": "first-error", "pooled": True},
    "binary_search": {"policy": "binary-search"},
    "full": {"policy": "full"},
    "full_pooled": {"policy": "full", "pooled": True},
}
CURVE = ("early_stop", "first_error", "pooled")
Tables = dict[str, pl.DataFrame]
Rates = tuple[float, ...]
"""Of a problem: odds that a right solution goes wrong at line 1, 2, …"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer problems: ends within a minute")
    parser.add_argument("--mend", type=float, default=0.03, help="odds that a wrong solution is mended at a step")
    arguments = parser.parse_args()
    problems = 20 if arguments.quick else 48
    curve: dict[str, dict[str, float]] = {}
    result: dict[str, Any] = {}
    seen: list[Seen] = []
    for accuracy in ACCURACIES:
        sampler = Synthetic(accuracy, arguments.mend, problems)
        tables = sampled(sampler, problems)
        policies = POLICIES if accuracy == MIDDLE else {name: POLICIES[name] for name in CURVE}
        told, labels = tried(sampler, tables, policies)
        seen += independent(sampler, tables, labels["early_stop"])
        curve[f"{tables['solutions']['correct'].mean():.3f}"] = {name: told[f"fraction_{name}"] for name in CURVE}
        result |= told if accuracy == MIDDLE else {}
    result["by_mend"] = {f"{mend:g}": few(Synthetic(MIDDLE, mend, problems)) for mend in MENDS}
    result["answer_in_last_line"] = few(Synthetic(MIDDLE, arguments.mend, problems, answers_apart=False))
    result["label_mismatch_p"] = round(mismatch_p(seen, N), 4)
    result["label_mismatch_p_control"] = float(f"{mismatch_p(seen, N - 2):.2g}")
    result |= {"curve_by_accuracy": curve, "mend": arguments.mend, "problems": problems, "M": M, "N": N}
    print(json.dumps(result))


def few(sampler: "Synthetic") -> dict[str, float]:
    """The fractions of the curve for another sampler."""
    told, _ = tried(sampler, sampled(sampler, sampler.problems), {name: POLICIES[name] for name in CURVE})
    return {name: told[f"fraction_{name}"] for name in CURVE}


def tried(
    sampler: "Synthetic", tables: Tables, policies: dict[str, dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, pl.DataFrame]]:
    """Runs the policies; fractions, where `full` is among them also what the labels have in common; and all labels."""
    count = tables["steps"].height
    opens = count - tables["solutions"].height
    found: dict[str, Any] = {}
    labels: dict[str, pl.DataFrame] = {}
    drawn: dict[str, int] = {}
    for name, options in policies.items():
        drawn[name], labels[name] = labelled(sampler, tables, options)
        taken = drawn[name]
        if name in ("early_stop", "first_error"):
            taken = alone(labels[name], tables["steps"])
            found[f"fraction_{name}_drawn"] = round(drawn[name] / (N * count), 4)
        found[f"fraction_{name}"] = round(taken / (N * count), 4)
        found[f"fraction_{name}_of_open_steps"] = round(taken / (N * opens), 4)
        print(f"accuracy {tables['solutions']['correct'].mean():.3f}  {name:20} {taken:8} rollouts, {taken / (N * count):6.1%}")
    if "full" in labels:
        key = ["solution_id", "step_index"]
        found["differing_labels"] = 0
        for name in ("early_stop", "first_error"):
            found[f"fraction_{name}_of_full_drawn"] = round(drawn[name] / drawn["full"], 4)
            both = labels[name].join(labels["full"], on=key)
            found["differing_labels"] += both.filter(pl.col("label") != pl.col("label_right")).height  # an open one is none
        found["binary_search_agreement"] = round(agreement(labels["binary_search"], labels["full"]), 4)
    return found, labels


def alone(labels: pl.DataFrame, steps: pl.DataFrame) -> int:
    """Rollouts that the labels stand on, each solution's own one left out, as if nothing were shared."""
    last = steps.group_by("solution_id").agg(pl.max("step_index"))
    open_steps = labels.join(last, on=["solution_id", "step_index"], how="anti").drop_nulls("label")
    return int((open_steps["n_rollouts"] - 1).sum())


def agreement(one: pl.DataFrame, other: pl.DataFrame) -> float:
    """Share of equal labels where both give one."""
    both = one.join(other, on=["solution_id", "step_index"]).drop_nulls(["label", "label_right"])
    return both.filter(pl.col("label") == pl.col("label_right")).height / both.height


Seen = tuple[float, bool]
"""Odds of success of one rollout from a prefix, and the hard label there."""


def independent(sampler: "Synthetic", tables: Tables, labels: pl.DataFrame) -> list[Seen]:
    """One open step of each solution, each prefix once, so labels are independent."""
    seen: dict[str, Seen] = {}
    texts = tables["solutions"].select("solution_id", "prompt", whole="text")
    joined = labels.join(tables["steps"], on=["solution_id", "step_index"]).join(texts, on="solution_id")
    for group in joined.sort("solution_id", "step_index").partition_by("solution_id", maintain_order=True):
        row = group.row(random.Random(group["solution_id"][0]).randrange(group.height - 1), named=True)
        odds = sampler.odds(row["prompt"], row["whole"][: row["stop"]])
        if 0 < odds < 1:
            seen.setdefault(row["prefix_key"], (odds, bool(row["label"])))
    return list(seen.values())


def mismatch_p(seen: Sequence[Seen], claimed: int) -> float:
    """p-value of the hypothesis that labels are True with odds 1 - (1 - p)^claimed; bins of equal variance, ordered by odds."""
    squares, bins, surplus, spread = 0.0, 0, 0.0, 0.0
    for odds, label in sorted(seen, key=lambda one: one[0]):  # by odds alone: labels must not decide the bin
        expected = 1 - (1 - odds) ** claimed
        surplus += label - expected
        spread += expected * (1 - expected)
        if spread >= 8:  # enough for a normal approximation
            squares, bins, surplus, spread = squares + surplus**2 / spread, bins + 1, 0.0, 0.0
    return float(chi2.sf(squares, bins))


def sampled(sampler: "Synthetic", count: int) -> Tables:
    """M graded solutions of each problem, cut into steps."""
    row = {"answer": "1", "source": "synthetic", "split": "train", "domain": "math"}
    problems = TABLES["problems"].frame(
        [{"problem_id": f"{sampler.name} {k}", "question": f"Problem {k}", **row} for k in range(count)]
    )
    config = SamplesConfig(engine=ScriptedEngine(), samples=M)
    drawn = samples(problems, Context(config, {"generator": sampler}, {"first": 0, "last": M})).rows
    with Grader() as grader:
        graded = solutions(drawn, problems, Context(SolutionsConfig(), {"grader": grader})).rows
    return {"problems": problems, "samples": drawn, "solutions": graded, "steps": steps(graded, Context(StepsConfig(), {})).rows}


def labelled(sampler: "Synthetic", tables: Tables, options: dict[str, Any]) -> tuple[int, pl.DataFrame]:
    """Rollouts drawn, and labels."""
    config = RolloutsConfig(labels=MonteCarloLabels(n=N, **options))
    with Grader() as grader:
        tools = {"rollout_generator": sampler, "grader": grader}
        frames = [tables[name] for name in ("steps", "solutions", "samples", "problems")]
        drawn = rollouts(*frames, Context(config, tools)).rows
    return drawn.height, monte_carlo_labels(tables["steps"], tables["solutions"], drawn, Context(config, {})).rows


@dataclass(frozen=True)
class Synthetic:
    """The sampler. Its tokens are bytes; a step says whether the solution is right so far, so a prefix tells its odds."""

    accuracy: float
    mend: float
    problems: int
    answers_apart: bool = True
    identity = "synthetic"

    @property
    def name(self) -> str:
        """Part of each problem's id, so that no two samplers draw with the same seeds."""
        return f"{self.accuracy} {self.mend} {self.answers_apart}"

    def render(self, system: str, user: str, chat: Chat) -> str:
        return plain_prompt(system, user)

    def cut(self, text: str, token_ids: Sequence[int], stops: Sequence[int]) -> list[tuple[int, int]]:
        return cut(lambda ids: bytes(ids).decode(), text, token_ids, stops)

    def generate(self, requests: Sequence[Request], tick: Tick = no_tick) -> list[Completion]:
        return [self._complete(request) for request in requests]

    def odds(self, prompt: str, before: str) -> float:
        """Of success, after this text."""
        rates = self._rates(prompt)[before.count("Step") :]
        return ends_right(float("fails" not in before.splitlines()[-1]), rates, self.mend)

    def _complete(self, request: Request) -> Completion:
        chance = random.Random(request.seed)
        rates = self._rates(request.prompt)
        before = bytes(request.prefix).decode()
        right = not before or "fails" not in before.splitlines()[-1]
        written: list[str] = []
        for line in range(before.count("Step"), len(rates)):
            right = chance.random() >= rates[line] if right else chance.random() < self.mend
            (way,) = chance.choices(range(WAYS), [1 / (k + 1) for k in range(WAYS)])
            written.append(f"Step {line + 1}: way {way} {'holds' if right else 'fails'}")
        if self.answers_apart:
            written.append(f"Step {len(rates) + 1}:")
        text = "\n".join(written) + f" The answer is \\boxed{{{int(right)}}}."
        return Completion(text, tuple(text.encode()), "eos", 1)

    def _rates(self, prompt: str) -> Rates:
        number = int(prompt.rpartition("Problem ")[2].split()[0])
        return problem_of(number, self.problems, self.accuracy, self.mend, self.answers_apart)


def ends_right(right: float, rates: Rates, mend: float) -> float:
    """Odds of a right end with these lines to come. right: those that it is right now."""
    for rate in rates:
        right = right * (1 - rate) + (1 - right) * mend
    return right


@cache
def problem_of(number: int, problems: int, accuracy: float, mend: float, answers_apart: bool) -> Rates:
    """A problem out of so many that have this accuracy together."""
    return drawn(number, problems, level_of(problems, accuracy, mend, answers_apart), answers_apart)


@cache
def level_of(problems: int, accuracy: float, mend: float, answers_apart: bool) -> float:
    """The logit of p at no line that gives the accuracy."""

    def surplus(level: float) -> float:
        ends = (ends_right(1.0, drawn(number, problems, level, answers_apart), mend) for number in range(problems))
        return sum(ends) / problems - accuracy

    return float(brentq(surplus, -10, 20, xtol=1e-4))


def drawn(number: int, problems: int, level: float, answers_apart: bool) -> Rates:
    """The problem where the logit of p is `level` at no line. Accuracies are evenly spaced quantiles."""
    weights = {lines: weight for lines, weight in LINES.items() if answers_apart or lines > 2}
    (lines,) = random.Random(number).choices(list(weights), list(weights.values()))
    mean = 1 / (1 + math.exp(-level - SLOPE * lines))
    failed = 1 - float(beta.ppf((number + 0.5) / problems, SPREAD * mean, SPREAD * (1 - mean)))
    first = [failed * share / sum(FIRST_ERROR[lines]) for share in FIRST_ERROR[lines]]
    return tuple(share / (1 - sum(first[:line])) for line, share in enumerate(first))


if __name__ == "__main__":
    main()
