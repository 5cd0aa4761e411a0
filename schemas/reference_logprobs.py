"""reference_logprobs: what the reference model gives each token of a solution. Written before a policy is trained."""

import polars as pl

from schemas.table import Column, Reference, Table

REFERENCE_LOGPROBS = Table(
    name="reference_logprobs",
    version=1,
    grain="one solution under one reference model",
    doc="Per-token log-probabilities of the solution's tokens (end token included where the solution is finished).",
    key=("solution_id", "reference"),
    columns=(
        Column("solution_id", pl.String, "The solution."),
        Column("reference", pl.String, "Identity of the reference model."),
        Column("token_hash", pl.String, "Hash of prompt ids and solution ids: says whether a tokenizer is the same."),
        Column("logprobs", pl.List(pl.Float32), "log pi_ref of each solution token, in order.", unit="nats"),
    ),
    references=(Reference(("solution_id",), "solutions", ("solution_id",)),),
)
