"""reference_logprobs: what the reference model gives each token of a solution (or of a step of step_pairs).

Written by the stage `reference_logprobs`, before a policy is trained.
"""

import polars as pl

from schemas.table import Column, Reference, Table

REFERENCE_LOGPROBS = Table(
    name="reference_logprobs",
    version=2,
    grain="one text under one reference model",
    doc="Per-token log-probabilities of a text after its prompt (the end token included where the text is finished).",
    key=("token_hash", "reference"),
    columns=(
        Column("token_hash", pl.String, "Hash of the prompt's ids and the text's ids: another tokenizer gives another hash."),
        Column("reference", pl.String, "Identity of the reference model, type of its weights, type of the computation."),
        Column("problem_id", pl.String, "The problem."),
        Column("solution_id", pl.String, "The solution. Null: the text is a step of step_pairs.", nullable=True),
        Column("logprobs", pl.List(pl.Float32), "log pi_ref of each token of the text, in order.", unit="nats"),
    ),
    references=(
        Reference(("problem_id",), "problems"),
        Reference(("solution_id",), "solutions", ("solution_id",)),
    ),
)
