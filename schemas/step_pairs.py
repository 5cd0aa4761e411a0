"""step_pairs: preferences between two next steps of one prefix. Written by the stage `step_pairs`.

Step-DPO (Lai et al., arXiv 2406.18629) learns from these: the prefix is context, the loss is on the two steps.
"""

import polars as pl

from schemas.table import Column, Reference, Rule, Table

STEP_PAIRS = Table(
    name="step_pairs",
    version=1,
    grain="one preference between two next steps",
    doc="After the same prompt and the same first steps, chosen goes on to a right answer and rejected is a first wrong step.",
    key=("step_pair_id",),
    columns=(
        Column("step_pair_id", pl.String, "Hash of problem, prompt, prefix, both steps and policy."),
        Column("problem_id", pl.String, "The problem."),
        Column("prompt", pl.String, "The whole rendered prompt, special tokens included: tokenise it adding none."),
        Column("prefix", pl.String, "The steps before, as text; empty where the first step is the one that differs."),
        Column("step_index", pl.Int32, "Index of both steps in their solutions, from 0."),
        Column("chosen", pl.String, "The preferred next step."),
        Column("rejected", pl.String, "The other: the first wrong step of its solution."),
        Column("chosen_finished", pl.Boolean, "Whether the chosen step ends its solution (then the end token follows)."),
        Column("rejected_finished", pl.Boolean, "Whether the rejected step ends its solution."),
        Column("chosen_id", pl.String, "solution_id of the correct solution that the chosen step is from."),
        Column("rejected_id", pl.String, "solution_id of an incorrect solution that the rejected step is from."),
        Column("chosen_score", pl.Float64, "Reward of the chosen step. Null: not scored.", nullable=True),
        Column("rejected_score", pl.Float64, "Reward of the rejected step. Null: not scored.", nullable=True),
        Column("margin", pl.Float64, "chosen_score - rejected_score.", nullable=True),
        Column("policy", pl.String, "Selection policy: what tells the first wrong step and how many pairs, as `label-top16`."),
    ),
    rules=(
        Rule("chosen and rejected differ", "chosen <> rejected"),
        Rule("the steps are not empty", "LENGTH(chosen) > 0 AND LENGTH(rejected) > 0"),
        Rule("no prefix before the first step", "(step_index = 0) = (prefix = '')"),
    ),
    references=(
        Reference(("problem_id",), "problems"),
        Reference(("chosen_id",), "solutions", ("solution_id",)),
        Reference(("rejected_id",), "solutions", ("solution_id",)),
    ),
)
