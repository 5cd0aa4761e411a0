"""How many held-out problems a model answers right, with a 95 % interval, and whether two models differ.

accuracy(predictions)                     # one row per (model, decoding)
compare(predictions, "before", "after")   # the same problems under both models
"""

from dataclasses import dataclass

import polars as pl
from scipy.stats import binomtest

CONFIDENCE = 0.95


def accuracy(predictions: pl.DataFrame) -> pl.DataFrame:
    """Rows of `predictions` -> model, decoding, n, correct, undecided, accuracy, low, high; in the order models appear.

    accuracy = correct / n. An answer that could not be graded (`correct` null) counts as not correct and is counted in
    `undecided`. low, high: Wilson's score interval (Wilson 1927), which holds for few problems and for shares near 0 and 1.
    """
    counts = predictions.group_by("model", "decoding", maintain_order=True).agg(
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


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share: where the true share lies. trials is at least 1."""
    interval = binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Comparison:
    """Two models on the same n problems: how many only the second got right (gained), how many only the first (lost).

    p_value: exact McNemar test, two-sided: how often chance alone would part gained and lost at least as far. 1 where they agree.
    """

    n: int
    gained: int
    lost: int
    p_value: float


def compare(predictions: pl.DataFrame, first: str, second: str, decoding: str = "greedy") -> Comparison:
    """Pairs the two models' answers by problem and sample index; problems that only one of them answered are left out."""
    answers = predictions.filter(pl.col("decoding") == decoding).with_columns(pl.col("correct").fill_null(value=False))
    key = ["problem_id", "sample_index"]
    one, two = (answers.filter(pl.col("model") == model).select(*key, "correct") for model in (first, second))
    both = one.join(two, on=key, suffix="_second")
    gained = both.filter(~pl.col("correct") & pl.col("correct_second")).height
    lost = both.filter(pl.col("correct") & ~pl.col("correct_second")).height
    p_value = float(binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0
    return Comparison(both.height, gained, lost, p_value)
