"""The vote `hybrid`: Self-Consistency that listens to a PRM as far as the PRM has earned it on problems with known verdicts.

    found = calibrate(solutions, step_scores, Sampled("hybrid", 8, "min"), grader, kind="platt")
    votes([found], rule)       # score of a sample -> its vote, for `decoding.choose`

A sample votes with 1 + weight * (logit p(score) - logit base): p is the calibrated probability that a sample of this score is
right, base the share of right samples. Were samples independent and m wrong answers equally likely, the most probable answer
would be the one with the greatest sum of log(p / (1 - p)) + log m, which is this vote with weight 1 / (log m + logit base). A PRM
that knows nothing has p = base, every vote is 1, and so is Self-Consistency's, whatever the weight. The weight is the best of
`WEIGHTS` out of fold (two halves of the problems, each judged by the calibration of the other), and 0, Self-Consistency itself,
unless the gain over it is above `ERRORS` standard errors: the best of many weights gains something by chance alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import Any, Literal

import numpy as np
import polars as pl

from fullstep_data.config import Calibration, Isotonic, Platt
from fullstep_data.decoding import Sampled, aggregate, answer_classes, vote
from fullstep_data.grading import Grader
from schemas import InputError
from schemas.ids import stable_fraction

Kind = Literal["platt", "isotonic"]

WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)
ERRORS = 2.0
_SURE = 0.001
"""Probabilities are kept this far from 0 and 1: one sample may not outvote everything."""


@dataclass(frozen=True)
class Known:
    """The samples of one problem: the class of each one's answer, its PRM score (None: not scored), and whether it is right."""

    problem_id: str
    groups: Sequence[int | None]
    scores: Sequence[float | None]
    correct: Sequence[bool]


def votes(calibrations: Sequence[Calibration], rule: Sampled) -> Callable[[float], float] | None:
    """What a sample of some score votes with under this rule; None where the rule needs no calibration or there is none."""
    found = next((one for one in calibrations if rule.kind == "hybrid" and one.score == rule.aggregate), None)
    return None if found is None else lambda score: vote_of(found, score)


def vote_of(calibration: Calibration, score: float) -> float:
    """1 + weight * (logit p(score) - logit base)."""
    return 1 + calibration.weight * (_logit(probability(calibration.curve, score)) - _logit(calibration.base))


def probability(curve: Platt | Isotonic, score: float) -> float:
    """The calibrated probability that a sample of this score is right."""
    if isinstance(curve, Platt):
        return float(1 / (1 + np.exp(-np.clip(curve.slope * score + curve.intercept, -50, 50))))
    return float(np.interp(score, curve.scores, curve.shares))


def calibrate(solutions: pl.DataFrame, step_scores: pl.DataFrame, rule: Sampled, grader: Grader, kind: Kind) -> Calibration:
    """Fit curve and weight on the first n samples of every problem. InputError: nothing to fit on."""
    return fit(known(solutions, step_scores, rule, grader), rule, kind)


def known(solutions: pl.DataFrame, step_scores: pl.DataFrame, rule: Sampled, grader: Grader) -> list[Known]:
    """Solutions with a verdict among the first n samples of each problem, in order, with the PRM score of `rule`."""
    how = rule.aggregate
    if how is None:
        raise ValueError(f"{rule.name} has no PRM score")
    rewards = step_scores.sort("step_index").group_by("solution_id").agg(pl.col("reward").alias("rewards"))
    decided = solutions.filter(pl.col("correct").is_not_null() & (pl.col("sample_index") < rule.n))
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in decided.join(rewards, on="solution_id", how="left").sort("problem_id", "sample_index").iter_rows(named=True):
        rows.setdefault(row["problem_id"], []).append(row)
    classes = answer_classes(
        [[row["answer"] for row in of_one] for of_one in rows.values()],
        lambda pairs: [bool(verdict.correct) for verdict in grader.grade(pairs)],
    )
    return [
        Known(
            problem_id,
            groups,
            [aggregate(row["rewards"], how) if row["rewards"] else None for row in of_one],
            [row["correct"] for row in of_one],
        )
        for (problem_id, of_one), groups in zip(rows.items(), classes, strict=True)
    ]


def fit(problems: Sequence[Known], rule: Sampled, kind: Kind) -> Calibration:
    """Curve and base from all problems, the weight out of fold. InputError: no scored samples, or all right, or all wrong."""
    halves = tuple([one for one in problems if _half(one) == half] for half in (0, 1))
    whole = _curve(problems, rule, kind)
    if whole is None:
        raise _no_verdicts(problems)
    first, second = (_curve(half, rule, kind) for half in halves)
    if first is None or second is None:  # too few problems to choose a weight by: the vote stays Self-Consistency
        return whole
    weight, gain, error = 0.0, 0.0, 0.0
    plain = np.array([_right(one, None) for half in halves for one in half], dtype=np.float64)
    for candidate in WEIGHTS[1:]:
        of_the_other = [one.model_copy(update={"weight": candidate}) for one in (second, first)]
        judged = [_right(one, calibration) for half, calibration in zip(halves, of_the_other, strict=True) for one in half]
        change = np.array(judged, dtype=np.float64) - plain
        of_change = float(change.std(ddof=1) / sqrt(len(change)))
        if change.mean() > max(gain, ERRORS * of_change):
            weight, gain, error = candidate, float(change.mean()), of_change
    return whole.model_copy(update={"weight": weight, "gain": gain, "error": error})


def _half(one: Known) -> int:
    return int(stable_fraction("calibration", one.problem_id) < 0.5)


def _right(one: Known, calibration: Calibration | None) -> bool:
    """Is the answer right that the vote chooses? calibration None: Self-Consistency."""
    weights = [1.0 if score is None or calibration is None else vote_of(calibration, score) for score in one.scores]
    return one.correct[vote(one.groups, weights).place]


def _curve(problems: Sequence[Known], rule: Sampled, kind: Kind) -> Calibration | None:
    """The calibration curve of some problems; None where their scored samples are not of both kinds, right and wrong."""
    from sklearn.isotonic import IsotonicRegression  # a second of imports
    from sklearn.linear_model import LogisticRegression

    pairs = [pair for one in problems for pair in zip(one.scores, one.correct, strict=True) if pair[0] is not None]
    scores = np.array([score for score, _ in pairs], dtype=np.float64)
    right = np.array([correct for _, correct in pairs], dtype=np.float64)
    if not len(right) or right.min() == right.max() or rule.aggregate is None:
        return None
    if kind == "platt":
        # Platt's targets, a little short of 0 and 1, keep the slope finite where scores part right from wrong exactly.
        target = np.where(right == 1, (right.sum() + 1) / (right.sum() + 2), 1 / (len(right) - right.sum() + 2))
        twice, kinds = np.tile(scores, 2)[:, None], np.repeat([1, 0], len(scores))
        fitted = LogisticRegression(C=np.inf).fit(twice, kinds, sample_weight=np.concatenate([target, 1 - target]))
        curve = Platt(slope=float(fitted.coef_[0, 0]), intercept=float(fitted.intercept_[0]))
    else:
        steps = IsotonicRegression(out_of_bounds="clip").fit(scores, right)
        curve = Isotonic(scores=tuple(map(float, steps.X_thresholds_)), shares=tuple(map(float, steps.y_thresholds_)))
    return Calibration(score=rule.aggregate, curve=curve, base=float(right.mean()), weight=0.0, problems=len(problems))


def _logit(share: float) -> float:
    kept = min(max(share, _SURE), 1 - _SURE)
    return log(kept / (1 - kept))


def _no_verdicts(problems: Sequence[Known]) -> InputError:
    samples = sum(len(one.correct) for one in problems)
    right = sum(sum(one.correct) for one in problems)
    return InputError(
        what="the vote hybrid cannot be calibrated: that needs scored samples of both kinds, right and wrong",
        where="--calibrate",
        count=samples,
        examples=[f"{len(problems)} problems, {samples} samples with a verdict, {right} of them right"],
        next_step="calibrate on an evaluation with --prm, of problems that the model solves sometimes",
    )
