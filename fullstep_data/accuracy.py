"""What predictions say: accuracy with a 95 % interval, pass@k, cost, right answers by wrong steps, and whether two models differ.

accuracy(predictions)                     # one row per (model, decoding)
compare(predictions, "before", "after")   # the same problems under both models
paired(answers_a, answers_b)              # any two sets of answers: models, rules, runs
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
import polars as pl
from scipy.stats import binomtest, bootstrap

CONFIDENCE = 0.95
BY = ("model", "decoding")
RESAMPLES = 10_000
RESAMPLES_AT_ONCE = 200
"""Resamples that are in memory together: 200 of 5,000 problems are 8 MB."""


def accuracy(predictions: pl.DataFrame, by: Sequence[str] = BY) -> pl.DataFrame:
    """Rows of `predictions` -> model, decoding, n, correct, undecided, accuracy, low, high; in the order models appear.

    accuracy = correct / n. An answer that could not be graded (`correct` null) counts as not correct and is counted in
    `undecided`. low, high: Wilson's score interval (Wilson 1927), which holds for few problems and for shares near 0 and 1. It
    takes rows for independent: where a problem has several (decoding `sample`), ask `pass_at_k`.
    """
    counts = predictions.group_by(by, maintain_order=True).agg(
        n=pl.len().cast(pl.Int64),
        correct=pl.col("correct").fill_null(value=False).sum().cast(pl.Int64),
        undecided=pl.col("correct").is_null().sum().cast(pl.Int64),
    )
    intervals = [wilson(correct, n) for correct, n in counts.select("correct", "n").iter_rows()]
    return counts.with_columns(
        (pl.col("correct") / pl.col("n")).alias("accuracy"),
        pl.Series("low", [low for low, _ in intervals], dtype=pl.Float64),
        pl.Series("high", [high for _, high in intervals], dtype=pl.Float64),
    )


def costs(predictions: pl.DataFrame, by: Sequence[str] = BY) -> pl.DataFrame:
    """Means per question: tokens (length of the answer that was given), sampled_tokens (of all that was sampled for it)."""
    return predictions.group_by(by, maintain_order=True).agg(pl.col("tokens").mean(), pl.col("sampled_tokens").mean())


def process_errors(predictions: pl.DataFrame, threshold: float, by: Sequence[str] = BY) -> pl.DataFrame:
    """Of the right answers that a PRM has scored (n): how many have a step below `threshold`, their share, and its interval.

    A right answer by a wrong step is an error that accuracy does not see. Groups without a scored right answer have no row.
    """
    right = predictions.filter(pl.col("correct") & pl.col("lowest_reward").is_not_null())
    doubted = right.with_columns(correct=pl.col("lowest_reward") < threshold)
    counted = accuracy(doubted, by)
    return counted.select(*by, "n", pl.col("correct").alias("doubted"), pl.col("accuracy").alias("share"), "low", "high")


def pass_at_k(predictions: pl.DataFrame) -> pl.DataFrame:
    """Rows of several samples per problem -> k, n, pass_at_k, low, high for k = 1, 2, 4 … and the most samples of a problem.

    pass@k: the chance that at least one of k samples is right, without bias 1 - C(m - c, k) / C(m, k) for c right ones of m
    (Chen et al., arXiv 2107.03374, equation 1), as the mean over the n problems that have k samples. Undecided ones count as
    wrong. low, high: bootstrap over problems. k = 1 is the accuracy of one sample.
    """
    counts = predictions.group_by("problem_id", maintain_order=True).agg(
        m=pl.len(), c=pl.col("correct").fill_null(value=False).sum()
    )
    samples = counts.select("m", "c").rows()
    most = max((m for m, _ in samples), default=0)
    rows: list[dict[str, float]] = []
    for k in [*(2**power for power in range(max(most - 1, 0).bit_length())), *([most] if most else [])]:
        shares = np.array([1 - comb(m - c, k) / comb(m, k) for m, c in samples if m >= k])
        low, high = mean_interval(shares)
        rows.append({"k": k, "n": len(shares), "pass_at_k": float(shares.mean()), "low": low, "high": high})
    schema = {"k": pl.Int64, "n": pl.Int64, "pass_at_k": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(rows, schema=schema)


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share: where the true share lies. trials is at least 1."""
    interval = binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean of values that each belong to one problem; the same at every call.

    Of fewer than two values nothing is known: -inf to inf. Of equal values the interval is that value, which is no proof that
    others would be like them.
    """
    if len(values) < 2:
        return float("-inf"), float("inf")
    if np.all(values == values[0]):
        return float(values[0]), float(values[0])
    found = bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=RESAMPLES_AT_ONCE,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


@dataclass(frozen=True)
class Comparison:
    """Two sets of answers to the same n problems: how many only the second got right (gained), how many only the first (lost).

    p_value: exact McNemar test, two-sided: how often chance alone would part gained and lost at least as far. 1 where they agree.
    difference: accuracy of the second minus that of the first; low, high: its 95 % paired bootstrap interval (problems are
    drawn, each with both its answers).
    """

    n: int
    gained: int
    lost: int
    p_value: float
    difference: float
    low: float
    high: float


def paired(first: pl.DataFrame, second: pl.DataFrame) -> Comparison:
    """Compare answers (rows of `predictions` of one model and rule each) by problem; those that only one has are left out.

    Where a problem has several rows (decoding `sample`), its share of right ones counts: gained and lost are then problems
    whose share rose and fell, and the test is the sign test, which for one row each is McNemar's.
    """
    both = per_problem(first).join(per_problem(second), on="problem_id", suffix="_second", maintain_order="left")
    change = (both["correct_second"] - both["correct"]).to_numpy()
    gained, lost = int((change > 0).sum()), int((change < 0).sum())
    p_value = float(binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0
    low, high = mean_interval(change)
    return Comparison(both.height, gained, lost, p_value, float(change.mean()) if len(change) else 0.0, low, high)


def per_problem(predictions: pl.DataFrame) -> pl.DataFrame:
    """problem_id and the share of its answers that are right (undecided: not)."""
    share = pl.col("correct").fill_null(value=False).cast(pl.Float64).mean()
    return predictions.group_by("problem_id", maintain_order=True).agg(share)


def compare(predictions: pl.DataFrame, first: str, second: str, decoding: str = "greedy") -> Comparison:
    """`paired` for two models of one frame of predictions under one decoding rule."""
    answers = predictions.filter(pl.col("decoding") == decoding)
    return paired(*(answers.filter(pl.col("model") == model) for model in (first, second)))


def regressions(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    """The problems that the second gets wrong and the first right, the worst first; one row of each per problem is looked at.

    Worst is where the second was surest (`score`, as its share of the votes), then by id. Columns: problem_id, source,
    question, gold, answer, text, answer_second, text_second, score_second.
    """
    right = first.filter(pl.col("correct")).unique("problem_id", keep="first", maintain_order=True)
    wrong = second.filter(~pl.col("correct").fill_null(value=False)).unique("problem_id", keep="first", maintain_order=True)
    taken = wrong.select("problem_id", "answer", "text", "score")
    lost = right.select("problem_id", "source", "question", "gold", "answer", "text").join(
        taken, on="problem_id", suffix="_second"
    )
    lost = lost.rename({"score": "score_second"})
    return lost.sort("score_second", "problem_id", descending=[True, False], nulls_last=True)
