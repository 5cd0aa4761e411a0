"""rejects: every record that a stage dropped, with the reason. Written by every stage beside its rows."""

import polars as pl

from schemas.table import Column, Table

REJECTS = Table(
    name="rejects",
    version=1,
    grain="one dropped record",
    doc="Together with a stage's rows it accounts for every key that went in.",
    key=("stage", "table", "key", "reason"),
    columns=(
        Column("stage", pl.String, "The stage that dropped it."),
        Column("table", pl.String, "The table the record belongs to; `source` for rows of an input file."),
        Column("key", pl.String, "The record's key; parts joined by `/`. For sources: the row number, from 1."),
        Column("reason", pl.String, "Why, in a few words that are the same for every such row."),
        Column("detail", pl.String, "What exactly, for this row.", nullable=True),
    ),
)
