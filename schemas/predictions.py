"""predictions: what a model answers to held-out problems. Written by the stage `predictions`."""

import polars as pl

from schemas.samples import FINISH_REASONS
from schemas.solutions import ANSWER_SOURCES, GRADE_PATHS
from schemas.table import Column, Rule, Table

PREDICTIONS = Table(
    name="predictions",
    version=1,
    grain="one answer of one model to one problem under one decoding rule",
    doc="Question and gold answer stand in the row, so a folder of predictions can be read alone.",
    key=("problem_id", "model", "decoding", "sample_index"),
    columns=(
        Column("problem_id", pl.String, "The problem."),
        Column("model", pl.String, "Name of the model in this run, as `before` or `after`."),
        Column("decoding", pl.String, "Decoding rule."),
        Column("sample_index", pl.Int32, "Index of the sample, 0 for greedy."),
        Column("seed", pl.Int64, "Seed of the request."),
        Column("question", pl.String, "The question."),
        Column("gold", pl.String, "Gold answer."),
        Column("text", pl.String, "What the model wrote."),
        Column("finish_reason", pl.String, "How it ended (see samples).", values=FINISH_REASONS),
        Column("tokens", pl.Int32, "Length of the text.", unit="tokens", nullable=True),
        Column("answer", pl.String, "Extracted final answer; null where there is none.", nullable=True),
        Column("answer_source", pl.String, "Where the answer stood in the text.", values=ANSWER_SOURCES),
        Column("correct", pl.Boolean, "Answer equals gold; null where that could not be decided.", nullable=True),
        Column("grade_path", pl.String, "What decided `correct`.", values=GRADE_PATHS),
        Column("grader", pl.String, "Version of the grader."),
        Column("sampler", pl.String, "Identity of engine, model and sampling settings."),
    ),
    rules=(Rule("correct is null only after a timeout or error", "correct IS NOT NULL OR grade_path IN ('timeout', 'error')"),),
)
