"""predictions: what a model answers to held-out problems. Written by the stage `predictions`."""

import polars as pl

from schemas.samples import FINISH_REASONS
from schemas.solutions import ANSWER_SOURCES, GRADE_PATHS
from schemas.table import Column, Rule, Table

PREDICTIONS = Table(
    name="predictions",
    version=2,
    grain="one answer of one model to one problem under one decoding rule",
    doc="Question and gold answer stand in the row, so a folder of predictions can be read alone. A rule over samples (`sc@8`) "
    "has one row per problem: the sample that speaks for its answer; the samples themselves are the rows of the rule `sample`.",
    key=("problem_id", "model", "decoding", "sample_index"),
    columns=(
        Column("problem_id", pl.String, "The problem."),
        Column("model", pl.String, "Name of the model in this run, as `before` or `after`."),
        Column("decoding", pl.String, "Decoding rule: greedy, sample, sc@8, bon-min@8, wsc-min@8, hybrid-min@8, beam@4x4 …"),
        Column("sample_index", pl.Int32, "Index of the sample whose text this is; 0 for greedy and beam."),
        Column("source", pl.String, "Where the problem comes from (see problems): the name of the evaluation set."),
        Column("seed", pl.Int64, "Seed of the request; of a text made of several, that of the last."),
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
        Column("n_samples", pl.Int32, "Texts, or steps of a search, that were sampled for this answer.", unit="samples"),
        Column("sampled_tokens", pl.Int32, "Length of all of them: what the answer cost.", unit="tokens", nullable=True),
        Column(
            "score",
            pl.Float64,
            "What the rule chose by: share of the (weighted) votes, or PRM score; null where it had nothing to choose by.",
            nullable=True,
        ),
        Column(
            "lowest_reward", pl.Float32, "Least step reward of the text; null without a PRM.", unit="probability", nullable=True
        ),
    ),
    rules=(
        Rule("correct is null only after a timeout or error", "correct IS NOT NULL OR grade_path IN ('timeout', 'error')"),
        Rule("an answer has at least one sample", "n_samples >= 1"),
        Rule("lowest_reward is a probability", "lowest_reward >= 0 AND lowest_reward <= 1"),
    ),
)
