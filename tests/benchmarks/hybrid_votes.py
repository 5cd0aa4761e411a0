"""The vote `hybrid` against Self-Consistency, Best-of-N and the weighted vote, under PRMs of graded quality.

    python -m tests.benchmarks.hybrid_votes [--quick]

Samples are the scripted engine's: sums with a known error rate per step, so the truth of every step is known. A PRM of quality q
rewards a step with sigmoid(q * t + z): t is 1 where everything up to this step is right and -1 where not, z is standard normal
noise of its own for each step. Its step AUC is Phi(sqrt(2) q): .50, .64, .76, .92, 1.00 for q = 0, .25, .5, 1, 2. `hybrid` is
calibrated on the first half of the problems and everything is measured on the second. A seed draws problems, samples and noise
anew; differences are paired by seed, and their standard error is over seeds. The last line is one JSON object.
"""

import argparse
import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import exp, sqrt

import numpy as np
import polars as pl

from fullstep_data.calibration import Known, fit, vote_of
from fullstep_data.decoding import Sample, Sampled, aggregate, choose
from fullstep_data.engines.protocol import Completion, Request
from fullstep_data.engines.scripted import ScriptedGenerator
from schemas.ids import content_id, sample_seed

QUALITIES = (0.0, 0.25, 0.5, 1.0, 2.0)
N = 8
AGGREGATE = "min"
RULES = ("sc", "bon", "wsc", "hybrid")
_STEP = re.compile(r"Step \d+: (-?[\d/]+) ([-+*/]) (-?[\d/]+) = (-?[\d/]+)")


@dataclass(frozen=True)
class Worked:
    """A sample with the truth of its steps: is everything up to each right? answer: None where it states none."""

    answer: str | None
    right: bool
    truths: tuple[bool, ...]


def drawn(seed: int, problems: int, error_rate: float) -> Iterator[tuple[str, list[Worked]]]:
    """(problem id, N samples) of sums with three to six numbers."""
    chance = random.Random(seed)
    engine = ScriptedGenerator(error_rate)
    for number in range(problems):
        terms = [str(chance.randint(2, 30))]
        for _ in range(chance.randint(2, 5)):
            terms += [chance.choice("+-"), str(chance.randint(2, 30))]
        question = " ".join(terms)
        gold = str(sum(int(sign + term) for sign, term in zip(["+", *terms[1::2]], terms[::2], strict=True)))
        seeds = [sample_seed(f"{seed} {number}", place, seed) for place in range(N)]
        requests = [Request(f"What is {question}?\n", one, 400, temperature=1.0) for one in seeds]
        found = [one for one in engine.generate(requests) if isinstance(one, Completion)]
        yield content_id(seed, number, question), [judged(one.text, gold) for one in found]


def judged(text: str, gold: str) -> Worked:
    """A step is right where its own sum is and so was every one before it; the line of the answer as the step before it."""
    truths: list[bool] = []
    right = True
    for line in text.splitlines():
        found = _STEP.match(line)
        if found:
            first, operation, second, result = found.groups()
            terms = Fraction(first), Fraction(second)
            right = right and (terms[0] + terms[1] if operation == "+" else terms[0] - terms[1]) == Fraction(result)
        truths.append(right)
    answer = re.search(r"boxed\{(.*?)\}", text)
    return Worked(answer[1] if answer else None, bool(answer) and answer[1] == gold, tuple(truths))


def known(problem_id: str, samples: Sequence[Worked], quality: float, noise: random.Random) -> tuple[Known, list[Sample]]:
    """A problem as the calibration and the rules see it, with the rewards of a PRM of this quality."""
    spellings = list(dict.fromkeys(one.answer for one in samples if one.answer is not None))
    groups = [None if one.answer is None else spellings.index(one.answer) for one in samples]
    rewards = [[1 / (1 + exp(-(quality * (1 if true else -1) + noise.gauss(0, 1)))) for true in one.truths] for one in samples]
    scores = [aggregate(one, AGGREGATE) for one in rewards]
    shown = [Sample(group, one) for group, one in zip(groups, rewards, strict=True)]
    return Known(problem_id, groups, scores, [one.right for one in samples]), shown


def accuracies(seed: int, quality: float, drawn_problems: Sequence[tuple[str, list[Worked]]]) -> dict[str, float]:
    """Share of right answers of each rule on the second half of the problems; `hybrid` calibrated on the first."""
    noise = random.Random(f"{seed} {quality}")
    seen = [known(problem_id, samples, quality, noise) for problem_id, samples in drawn_problems]
    middle = len(seen) // 2
    calibration = fit([one for one, _ in seen[:middle]], Sampled("hybrid", N, AGGREGATE), "platt")
    test = seen[middle:]
    found: dict[str, float] = {"weight": calibration.weight}
    for kind in RULES:
        rule = Sampled(kind, N, None if kind == "sc" else AGGREGATE)
        evidence = (lambda score: vote_of(calibration, score)) if kind == "hybrid" else None
        found[kind] = float(np.mean([one.correct[choose(rule, samples, evidence).place] for one, samples in test]))
    return found


def study(seeds: Sequence[int], problems: int, error_rate: float, qualities: Sequence[float] = QUALITIES) -> pl.DataFrame:
    """One row per seed and quality: accuracy of each rule, and the weight that was chosen."""
    rows = []
    for seed in seeds:
        samples = list(drawn(seed, problems, error_rate))
        rows += [{"seed": seed, "quality": quality, **accuracies(seed, quality, samples)} for quality in qualities]
    return pl.DataFrame(rows)


def summary(rows: pl.DataFrame) -> list[dict[str, float]]:
    """Per quality: mean accuracies, and what hybrid gains on each other rule, with its standard error over seeds."""
    told = []
    for (quality,), of_one in rows.group_by("quality", maintain_order=True):
        row = {"quality": quality, "seeds": of_one.height, "weight": of_one["weight"].mean()}
        row |= {kind: of_one[kind].mean() for kind in RULES}
        for kind in ("sc", "bon", "wsc"):
            gain = of_one["hybrid"] - of_one[kind]
            row |= {f"over_{kind}": gain.mean(), f"over_{kind}_se": gain.std() / sqrt(of_one.height)}
        told.append(row)
    return told


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--problems", type=int, default=400)
    options = parser.parse_args()
    seeds = range(options.seeds or (2 if options.quick else 12))
    told = {str(rate): summary(study(seeds, options.problems, rate)) for rate in (0.15, 0.35, 0.5)}
    for rate, rows in told.items():
        print(f"error rate {rate} per step")
        with pl.Config(tbl_cols=-1, tbl_width_chars=200, float_precision=3, tbl_hide_dataframe_shape=True):
            print(pl.DataFrame(rows))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
