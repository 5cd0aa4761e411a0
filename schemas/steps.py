"""steps: the steps of each solution as character spans that cover its text exactly. Written by the stage `steps`."""

import polars as pl

from schemas.table import Column, Reference, Rule, Table

STEPS = Table(
    name="steps",
    version=1,
    grain="one step of a solution",
    doc="Joining the spans of a solution in order gives its text. A separator belongs to the step that it ends.",
    key=("solution_id", "step_index"),
    columns=(
        Column("solution_id", pl.String, "The solution."),
        Column("step_index", pl.Int32, "Index of the step in its solution, from 0."),
        Column("problem_id", pl.String, "The problem."),
        Column("start", pl.Int32, "First character of the step in the solution's text.", unit="characters"),
        Column("stop", pl.Int32, "One past its last character.", unit="characters"),
        Column("text", pl.String, "The step."),
        Column("prefix_key", pl.String, "Hash of problem and text up to `stop`: equal prefixes have equal keys."),
    ),
    rules=(
        Rule("step_index is not negative", "step_index >= 0"),
        Rule("the span is not empty", "start >= 0 AND stop > start"),
        Rule("the text is as long as the span", "LENGTH(text) = stop - start"),
    ),
    references=(Reference(("solution_id",), "solutions"),),
)
