"""step_labels: is a step on the way to the right answer, who says so, and from how many tries. Written by `step_labels`."""

import polars as pl

from schemas.table import Column, Reference, Rule, Table

LABEL_SOURCES = ("outcome", "monte-carlo", "binary-search", "judge", "human", "consensus", "truth", "vote")

STEP_LABELS = Table(
    name="step_labels",
    version=4,
    grain="one step judged by one labeller",
    doc="Counts are kept, so hard, soft and any threshold are a query. A Monte-Carlo value is no proof of correctness.",
    key=("solution_id", "step_index", "labeller"),
    columns=(
        Column("solution_id", pl.String, "The solution."),
        Column("step_index", pl.Int32, "Index of the step in its solution, from 0."),
        Column("labeller", pl.String, "Identity of what made the label."),
        Column("problem_id", pl.String, "The problem."),
        Column(
            "n_rollouts",
            pl.Int32,
            "Completions of the prefix that were looked at, solutions included; of a vote the problem's other right samples; 0: "
            "a judge, the truth, a file that does not say.",
            unit="rollouts",
        ),
        Column(
            "n_correct", pl.Int32, "How many of them reached the gold answer; of a vote how many take the step.", unit="rollouts"
        ),
        Column(
            "label",
            pl.Boolean,
            "Hard label: n_correct > 0 (binary-search: also inferred from other steps; judge: value >= its threshold; consensus: "
            "that of its first labeller; imported: value > 0). Null: left open.",
            nullable=True,
        ),
        Column(
            "value",
            pl.Float32,
            "Soft label: n_correct / n_rollouts; of a judge P(yes). Null: left open, or rollouts were stopped early, which "
            "biases the share.",
            unit="probability",
            nullable=True,
        ),
        Column("source", pl.String, "Kind of labeller.", values=LABEL_SOURCES),
        Column("reason", pl.String, "Why the label is open.", nullable=True),
    ),
    rules=(
        Rule("0 <= n_correct <= n_rollouts", "n_correct >= 0 AND n_correct <= n_rollouts"),
        Rule("value is a probability", "value >= 0 AND value <= 1"),
        Rule("only an open label has a reason", "label IS NULL OR reason IS NULL"),
    ),
    references=(Reference(("solution_id", "step_index"), "steps"),),
)
