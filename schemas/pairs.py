"""pairs: preference pairs of whole solutions of one problem. Written by the stage `pairs`."""

import polars as pl

from schemas.table import Column, Reference, Rule, Table

PAIRS = Table(
    name="pairs",
    version=2,
    grain="one preference pair",
    doc="chosen is a correct solution, rejected an incorrect one of the same problem; their scores come from the step rewards.",
    key=("pair_id",),
    columns=(
        Column("pair_id", pl.String, "Hash of chosen, rejected and policy."),
        Column("problem_id", pl.String, "The problem."),
        Column("chosen_id", pl.String, "solution_id of the preferred solution."),
        Column("rejected_id", pl.String, "solution_id of the other."),
        Column(
            "chosen_score",
            pl.Float64,
            "Score of the chosen solution under `policy`. Null: imported without scores.",
            nullable=True,
        ),
        Column("rejected_score", pl.Float64, "Score of the rejected solution under `policy`. Null as above.", nullable=True),
        Column("margin", pl.Float64, "chosen_score - rejected_score.", nullable=True),
        Column(
            "chosen_rank",
            pl.Int32,
            "Rank among the problem's correct solutions, 0 = highest score. Null: imported.",
            nullable=True,
        ),
        Column(
            "rejected_rank",
            pl.Int32,
            "Rank among the problem's incorrect solutions, 0 = lowest score. Null: imported.",
            nullable=True,
        ),
        Column(
            "policy",
            pl.String,
            "Selection policy: aggregation and group size, as `mean-top4`; or the format it was imported from.",
        ),
        Column("scorer", pl.String, "Identity of the PRM whose rewards were aggregated; or `given`."),
    ),
    rules=(
        Rule("chosen and rejected differ", "chosen_id <> rejected_id"),
        Rule("a margin goes with two scores", "(margin IS NULL) = (chosen_score IS NULL OR rejected_score IS NULL)"),
        Rule("ranks are not negative", "chosen_rank >= 0 AND rejected_rank >= 0"),
    ),
    references=(
        Reference(("problem_id",), "problems"),
        Reference(("chosen_id",), "solutions", ("solution_id",)),
        Reference(("rejected_id",), "solutions", ("solution_id",)),
    ),
)
