"""step_labels: outcome labels, the paper's N = 1 (method.md, Labels): every step carries whether the final answer is right.

The table keeps counts, so Monte-Carlo labels (n_rollouts > 1) fit it as they are.
"""

import polars as pl

from fullstep_data.stage import Context, Outcome, rejects
from schemas import TABLES


def step_labels(steps: pl.DataFrame, solutions: pl.DataFrame, context: Context) -> Outcome:
    """One label per step. Steps of a solution whose outcome is undecided (grader timeout) are rejected."""
    source = context.config.source
    outcomes = steps.join(solutions.select("solution_id", "correct"), on="solution_id", how="left", maintain_order="left")
    decided = outcomes.filter(pl.col("correct").is_not_null())
    rows = decided.select(
        "solution_id",
        "step_index",
        pl.lit(source).alias("labeller"),
        "problem_id",
        pl.lit(1, pl.Int32).alias("n_rollouts"),
        pl.col("correct").cast(pl.Int32).alias("n_correct"),
        pl.col("correct").alias("label"),
        pl.col("correct").cast(pl.Float32).alias("value"),
        pl.lit(source).alias("source"),
    )
    undecided = outcomes.filter(pl.col("correct").is_null()).select("solution_id", "step_index").iter_rows()
    dropped = [(f"{solution_id}/{index}", "outcome undecided", None) for solution_id, index in undecided]
    return Outcome(TABLES["step_labels"].check(rows, "step_labels"), rejects("step_labels", "steps", dropped))
