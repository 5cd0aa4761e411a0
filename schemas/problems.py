"""problems: the questions, their gold answers and where they come from. Written by the stage `problems`."""

import polars as pl

from schemas.table import Column, Rule, Table

PROBLEMS = Table(
    name="problems",
    version=2,
    grain="one problem",
    doc="A question with its gold answer. The id is a hash of the question, so a problem is itself wherever it comes from.",
    key=("problem_id",),
    columns=(
        Column("problem_id", pl.String, "Hash of the question."),
        Column("question", pl.String, "The question as the source has it."),
        Column(
            "answer",
            pl.String,
            "Gold answer: the final answer alone, parseable by the grader. Null: an imported format has none.",
            nullable=True,
        ),
        Column("reference_solution", pl.String, "The source's own worked solution.", nullable=True),
        Column("source", pl.String, "Name of the source: a file name, a Hub data set, a generator."),
        Column("source_row", pl.String, "The row's id or number in the source.", nullable=True),
        Column("split", pl.String, "train: sampled and trained on. test: held out for evaluation.", values=("train", "test")),
        Column("domain", pl.String, "Field of the problem.", values=("math", "code")),
    ),
    rules=(
        Rule("question is not blank", "LENGTH(TRIM(question)) > 0"),
        Rule("answer is not blank", "LENGTH(TRIM(answer)) > 0"),
    ),
)
