"""step_scores: the reward that a PRM gives each step. Written by the stage `step_scores`."""

import polars as pl

from schemas.table import Column, Reference, Rule, Table

STEP_SCORES = Table(
    name="step_scores",
    version=1,
    grain="one step scored by one scorer",
    doc="reward = the scorer's probability that the step is correct.",
    key=("solution_id", "step_index", "scorer"),
    columns=(
        Column("solution_id", pl.String, "The solution."),
        Column("step_index", pl.Int32, "Index of the step in its solution, from 0."),
        Column("scorer", pl.String, "Identity of the PRM."),
        Column("problem_id", pl.String, "The problem."),
        Column("reward", pl.Float32, "Probability that the step is correct.", unit="probability"),
    ),
    rules=(Rule("reward is a probability", "reward >= 0 AND reward <= 1"),),
    references=(Reference(("solution_id", "step_index"), "steps"),),
)
