"""samples: what an engine gave for a prompt, untouched. Written by the stage `samples` (or read from a user's file).

Kept apart from `solutions` so that a better grader or step splitter never asks for new samples.
"""

import polars as pl

from schemas.table import Column, Reference, Rule, Table

FINISH_REASONS = ("eos", "stop", "length", "given")

SAMPLES = Table(
    name="samples",
    version=1,
    grain="one completion sampled for a problem",
    doc="Raw output of the sampler: prompt, text, token ids, seed. Never published unless asked for.",
    key=("problem_id", "sample_index"),
    columns=(
        Column("problem_id", pl.String, "The problem."),
        Column("sample_index", pl.Int32, "Index of the sample among the problem's samples, from 0."),
        Column("seed", pl.Int64, "Seed of this one request: a hash of problem, sample index and run seed."),
        Column("prompt", pl.String, "The whole rendered prompt, special tokens included: tokenise it adding none."),
        Column("text", pl.String, "The completion, stop string and end token removed."),
        Column("token_ids", pl.List(pl.Int32), "Sampled token ids of `text`.", nullable=True),
        Column(
            "finish_reason",
            pl.String,
            "eos: ended by the model. stop: a stop string. length: cut. given: read from a file, taken as finished.",
            values=FINISH_REASONS,
        ),
        Column("prompt_tokens", pl.Int32, "Length of the prompt.", unit="tokens", nullable=True),
        Column("tokens", pl.Int32, "Length of the completion.", unit="tokens", nullable=True),
        Column("sampler", pl.String, "Identity of engine, model and sampling settings."),
    ),
    rules=(Rule("sample_index is not negative", "sample_index >= 0"),),
    references=(Reference(("problem_id",), "problems"),),
)
