"""Monte-Carlo labels: what share of the rollouts of "every step, all N" does each policy draw, and are the labels the same?

    python -m tests.benchmarks.rollouts [--quick] [--mend 0.03]

The real stages run on a synthetic sampler, whose odds of success are known at every prefix: a problem has K = 3 to 8 steps and an
accuracy out of Beta(2A, 2(1 - A)) (at A = 0.5 one problem in 33 is never solved in 32 tries); a right solution
goes wrong at each step with the same odds, and a wrong one is mended at each step with probability --mend. Each step is written
in one of 30 ways, the k-th with weight 1/k, so that solutions share prefixes now and then. M = 32, N = 8.

fraction_*: rollouts at 50 % accuracy / (N x all steps). early_stop and first_error: as if no two solutions shared a prefix: the
policy alone; `*_drawn`: what the stage drew, equal prefixes once; pooled: early-stop, pooled, drawn. `*_of_open_steps` divides by
N x steps without the last of each solution, which has nothing to sample. full, full_pooled: soft labels, which need all N.
differing_labels: hard labels that are not those of `full` with the same seeds, where both give one. label_mismatch_p: p-value
(chi-square over bins of p) of early-stop's hard labels against 1 - (1 - p)^N, the distribution of N rollouts; the control claims
N - 2 and must be small. The last line is one JSON object.
"""

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import polars as pl
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
MIDDLE = 0.47  # accuracy before mending; with it, half of the solutions are right
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer problems: ends within a minute")
    parser.add_argument("--mend", type=float, default=0.03, help="odds that a wrong solution is mended at a step")
    arguments = parser.parse_args()
    problems = 12 if arguments.quick else 60
    curve: dict[str, dict[str, float]] = {}
    result: dict[str, Any] = {}
    for accuracy in (0.23, 0.35, MIDDLE, 0.58, 0.68):
        sampler = Synthetic(accuracy, arguments.mend, problems)
        tables = sampled(sampler, problems)
        told = tried(sampler, tables, POLICIES if accuracy == MIDDLE else {name: POLICIES[name] for name in CURVE})
        curve[f"{tables['solutions']['correct'].mean():.3f}"] = {name: told[f"fraction_{name}"] for name in CURVE}
        result |= told if accuracy == MIDDLE else {}
    print(json.dumps(result | {"curve_by_accuracy": curve, "mend": arguments.mend, "problems": problems, "M": M, "N": N}))


def tried(sampler: "Synthetic", tables: Tables, policies: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Runs the policies; fractions, and where `full` is among them what the labels have in common."""
    count = tables["steps"].height
    last = tables["solutions"].height
    found: dict[str, Any] = {}
    labels: dict[str, pl.DataFrame] = {}
    for name, options in policies.items():
        drawn, labels[name] = labelled(sampler, tables, options)
        taken = drawn
        if name in ("early_stop", "first_error"):
            taken = alone(labels[name], tables["steps"])
            found[f"fraction_{name}_drawn"] = round(drawn / (N * count), 4)
        found[f"fraction_{name}"] = round(taken / (N * count), 4)
        found[f"fraction_{name}_of_open_steps"] = round(taken / (N * (count - last)), 4)
        print(f"accuracy {tables['solutions']['correct'].mean():.3f}  {name:20} {taken:8} rollouts, {taken / (N * count):6.1%}")
    if "full" in labels:
        key = ["solution_id", "step_index"]
        for name in ("early_stop", "first_error"):
            both = labels[name].join(labels["full"], on=key)
            differing = both.filter(pl.col("label") != pl.col("label_right")).height  # an open label is no difference
            found["differing_labels"] = found.get("differing_labels", 0) + differing
        found["label_mismatch_p"] = round(mismatch_p(sampler, tables, labels["early_stop"]), 4)
        found["label_mismatch_p_control"] = mismatch_p(sampler, tables, labels["early_stop"], claimed=N - 2)
        found["binary_search_agreement"] = round(agreement(labels["binary_search"], labels["full"]), 4)
    return found


def alone(labels: pl.DataFrame, steps: pl.DataFrame) -> int:
    """Rollouts that the labels stand on, each solution's own one left out, as if nothing were shared."""
    last = steps.group_by("solution_id").agg(pl.max("step_index"))
    open_steps = labels.join(last, on=["solution_id", "step_index"], how="anti").drop_nulls("label")
    return int((open_steps["n_rollouts"] - 1).sum())


def agreement(one: pl.DataFrame, other: pl.DataFrame) -> float:
    """Share of equal labels where both give one."""
    both = one.join(other, on=["solution_id", "step_index"]).drop_nulls(["label", "label_right"])
    return both.filter(pl.col("label") == pl.col("label_right")).height / both.height


def mismatch_p(sampler: "Synthetic", tables: Tables, labels: pl.DataFrame, claimed: int = N) -> float:
    """One open step of each solution, each prefix once, so labels are independent; bins of equal variance, ordered by odds."""
    seen: dict[str, tuple[float, bool]] = {}
    texts = tables["solutions"].select("solution_id", "prompt", whole="text")
    joined = labels.join(tables["steps"], on=["solution_id", "step_index"]).join(texts, on="solution_id")
    for group in joined.sort("solution_id", "step_index").partition_by("solution_id", maintain_order=True):
        row = group.row(random.Random(group["solution_id"][0]).randrange(max(1, group.height - 1)), named=True)
        odds = sampler.odds(row["prompt"], row["whole"][: row["stop"]])
        if group.height > 1 and 0 < odds < 1:
            seen.setdefault(row["prefix_key"], (1 - (1 - odds) ** claimed, bool(row["label"])))
    squares, bins, surplus, spread = 0.0, 0, 0.0, 0.0
    for odds, label in sorted(seen.values(), key=lambda one: one[0]):  # by odds alone: labels must not decide the bin
        surplus += label - odds
        spread += odds * (1 - odds)
        if spread >= 8:  # enough for a normal approximation
            squares, bins, surplus, spread = squares + surplus**2 / spread, bins + 1, 0.0, 0.0
    return float(chi2.sf(squares, bins))


def sampled(sampler: "Synthetic", count: int) -> Tables:
    """M graded solutions of each problem, cut into steps."""
    row = {"answer": "1", "source": "synthetic", "split": "train", "domain": "math"}
    problems = TABLES["problems"].frame([{"problem_id": f"p{k}", "question": f"Problem {k}", **row} for k in range(count)])
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
    identity = "synthetic"

    def render(self, system: str, user: str, chat: Chat) -> str:
        return plain_prompt(system, user)

    def cut(self, text: str, token_ids: Sequence[int], stops: Sequence[int]) -> list[tuple[int, int]]:
        return cut(lambda ids: bytes(ids).decode(), text, token_ids, stops)

    def generate(self, requests: Sequence[Request], tick: Tick = no_tick) -> list[Completion]:
        return [self._complete(request) for request in requests]

    def odds(self, prompt: str, before: str) -> float:
        """Of success, after this text."""
        count, error = self._problem(prompt)
        right = float("fails" not in before.splitlines()[-1])
        for _ in range(count - before.count("Step")):
            right = right * (1 - error) + (1 - right) * self.mend
        return right

    def _complete(self, request: Request) -> Completion:
        chance = random.Random(request.seed)
        count, error = self._problem(request.prompt)
        before = bytes(request.prefix).decode()
        right = not before or "fails" not in before.splitlines()[-1]
        lines: list[str] = []
        for step in range(before.count("Step") + 1, count + 1):
            right = chance.random() >= error if right else chance.random() < self.mend
            (way,) = chance.choices(range(WAYS), [1 / (k + 1) for k in range(WAYS)])
            ends = f"The answer is \\boxed{{{int(right)}}}." if step == count else f"way {way} {'holds' if right else 'fails'}\n"
            lines.append(f"Step {step}: {ends}")
        text = "".join(lines)
        return Completion(text, tuple(text.encode()), "eos", 1)

    def _problem(self, prompt: str) -> tuple[int, float]:
        return _problem(int(prompt.rpartition("Problem ")[2].split()[0]), self.problems, self.accuracy)


@cache
def _problem(number: int, problems: int, accuracy: float) -> tuple[int, float]:
    """Steps of a problem, and odds of an error at each. Accuracies are evenly spaced quantiles."""
    count = random.Random(number).randint(3, 8)
    solved = float(beta.ppf((number + 0.5) / problems, 2 * accuracy, 2 * (1 - accuracy)))
    return count, 1 - solved ** (1 / count)


if __name__ == "__main__":
    main()
