"""consensus: do the labellers of a step agree on where a solution first goes wrong? Rows of the table step_labels.

    outcome = consensus(steps, step_labels, Context(ConsensusConfig(labellers=("monte-carlo n=8 early-stop", "judge …")), {}))

A solution is kept where all labellers have the same first wrong step, or all have none. Its labels are then those of the first
labeller up to there; steps after it stay open, since what follows a wrong step says nothing (Zhang et al., arXiv 2501.07301,
section 3.1, which keeps what Monte-Carlo labels and a judge agree on). All labels of other solutions are open, with the reason.
"""

import polars as pl

from fullstep_data.config import CONSENSUS, Config
from fullstep_data.probing import AFTER_ERROR
from fullstep_data.stage import Context, Outcome
from schemas import TABLES

NO_ERROR = -1
DISAGREE = "labellers disagree on the first wrong step"
UNKNOWN = "a labeller left open where the first wrong step is"


class ConsensusConfig(Config):
    """labellers: who must agree; the labels are those of the first."""

    labellers: tuple[str, ...]


def consensus(steps: pl.DataFrame, step_labels: pl.DataFrame, context: Context) -> Outcome:
    """A row for every step, by the labeller `consensus`."""
    config: ConsensusConfig = context.config
    by_labeller = [first_errors(steps, step_labels.filter(labeller=name)) for name in config.labellers]
    judged = by_labeller[0].rename({"first_error": "error"}).with_columns(reason=pl.lit(None, pl.String))
    for other in by_labeller[1:]:
        unlike = pl.col("error") != pl.col("first_error")
        open_ = pl.col("error").is_null() | pl.col("first_error").is_null()
        verdict = pl.when(open_).then(pl.lit(UNKNOWN)).when(unlike).then(pl.lit(DISAGREE))
        judged = judged.join(other, on="solution_id").with_columns(reason=pl.coalesce("reason", verdict)).drop("first_error")
    labels = step_labels.filter(labeller=config.labellers[0]).drop("problem_id", "labeller", "source", "reason")
    after = (pl.col("error") >= 0) & (pl.col("step_index") > pl.col("error"))
    rows = (
        steps.select("solution_id", "step_index", "problem_id")
        .join(labels, on=["solution_id", "step_index"], how="left")
        .join(judged, on="solution_id")
        .with_columns(
            pl.coalesce("reason", pl.when(after).then(pl.lit(AFTER_ERROR))).alias("reason"),
            pl.col("n_rollouts", "n_correct").fill_null(0),
            labeller=pl.lit(CONSENSUS),
            source=pl.lit(CONSENSUS),
        )
        .with_columns(pl.when(pl.col("reason").is_null()).then(pl.col(name)).alias(name) for name in ("label", "value"))
        .drop("error")
    )
    return Outcome(TABLES["step_labels"].check(rows, CONSENSUS))


def first_errors(steps: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """solution_id and first_error of every solution: the index of its first step labelled wrong, -1 where all are labelled right,
    null where a step before that is open. labels: of one labeller. The view `first_errors` says the same in SQL.
    """
    wrong = pl.col("step_index").filter(~pl.col("label")).min()
    unknown = pl.col("step_index").filter(pl.col("label").is_null()).min()
    known = unknown.is_null() | (wrong < unknown).fill_null(value=False)
    return (
        steps.select("solution_id", "step_index")
        .join(labels.select("solution_id", "step_index", "label"), on=["solution_id", "step_index"], how="left")
        .group_by("solution_id", maintain_order=True)
        .agg(pl.when(known).then(wrong.fill_null(NO_ERROR)).alias("first_error"))
    )


def disputed(step_labels: pl.DataFrame) -> list[str]:
    """The solutions that the consensus does not keep. step_labels: its rows."""
    return step_labels.filter(pl.col("reason").is_in([DISAGREE, UNKNOWN]))["solution_id"].unique().sort().to_list()
