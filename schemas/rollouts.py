"""rollouts: completions sampled from the end of a step, graded. Written by the stage `rollouts`, read by `step_labels`."""

import polars as pl

from schemas.samples import FINISH_REASONS
from schemas.solutions import ANSWER_SOURCES, GRADE_PATHS
from schemas.table import Column, Reference, Rule, Table

ROLLOUTS = Table(
    name="rollouts",
    version=1,
    grain="one completion sampled from a prefix",
    doc="Text of the solution up to the end of the step, then `text`: one more solution. Equal prefixes share it.",
    key=("prefix_key", "rollout_index"),
    columns=(
        Column("prefix_key", pl.String, "The prefix (see steps)."),
        Column("rollout_index", pl.Int32, "Index of the rollout among those of its prefix, from 0."),
        Column("problem_id", pl.String, "The problem."),
        Column("solution_id", pl.String, "The solution whose tokens were continued: the first that has the prefix."),
        Column("step_index", pl.Int32, "The step of that solution after which it goes on."),
        Column("seed", pl.Int64, "Seed of this one request: a hash of problem, prefix, rollout index and run seed."),
        Column("text", pl.String, "The completion, from the end of the step on."),
        Column("finish_reason", pl.String, "How it ended (see samples).", values=FINISH_REASONS),
        Column(
            "prefix_tokens",
            pl.Int32,
            "Sampled ids that the model read after the prompt. Null: it read the prefix as text.",
            unit="tokens",
            nullable=True,
        ),
        Column("tokens", pl.Int32, "Length of the completion.", unit="tokens", nullable=True),
        Column("answer", pl.String, "Extracted final answer; null where there is none.", nullable=True),
        Column("answer_source", pl.String, "Where the answer stood in the text.", values=ANSWER_SOURCES),
        Column("correct", pl.Boolean, "Answer equals gold; null where that could not be decided.", nullable=True),
        Column("grade_path", pl.String, "What decided `correct`.", values=GRADE_PATHS),
        Column("grader", pl.String, "Version of the grader."),
        Column("sampler", pl.String, "Identity of engine, model and sampling settings."),
    ),
    rules=(
        Rule("rollout_index is not negative", "rollout_index >= 0"),
        Rule("a rollout without an answer is not correct", "answer IS NOT NULL OR correct = FALSE"),
        Rule("correct is null only after a timeout or error", "correct IS NOT NULL OR grade_path IN ('timeout', 'error')"),
    ),
    references=(Reference(("solution_id", "step_index"), "steps"),),
)
