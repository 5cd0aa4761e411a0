"""The stage hands its tables to the reference model, and gives back what that makes of them."""

import polars as pl
import pytest

from fullstep_data.reference_logprobs import next_step_logprobs, reference_logprobs
from fullstep_data.stage import Context, rejects
from schemas import TABLES

ROW = {"token_hash": "h", "reference": "r", "problem_id": "p", "solution_id": "s", "logprobs": [-1.0, -2.0]}
ROWS = TABLES["reference_logprobs"].frame([ROW])
DROPPED = rejects("reference_logprobs", "solutions", [("long", "longer than max_length", None)])


@pytest.mark.parametrize(
    ("stage", "names"),
    [(reference_logprobs, ["pairs", "solutions", "steps", "step_scores"]), (next_step_logprobs, ["step_pairs"])],
)
def test_tables_go_to_the_tool_by_their_names(stage, names):
    seen = {}

    def tool(tables, tick):
        seen.update(tables)
        tick(1, 2)
        return ROWS, DROPPED

    frames = [TABLES[name].empty().with_columns(pl.lit(name).alias("which")) for name in names]
    ticks = []
    outcome = stage(*frames, Context(None, {"reference": tool}, tick=lambda *now: ticks.append(now)))
    assert list(seen) == names
    assert all(seen[name].equals(frame) for name, frame in zip(names, frames, strict=True))
    assert outcome.rows.equals(ROWS)
    assert outcome.rejects.equals(DROPPED)
    assert ticks == [(1, 2)]
