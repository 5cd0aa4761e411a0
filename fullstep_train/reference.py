"""Log-probabilities under the reference model: computed once, before anything is trained, and kept as the table
reference_logprobs.

    reference = reference_logprobs(model, groups, runs, identity, folder / "reference_logprobs.parquet", tick)
    reference[solution_id]        # [T] float32

The model is the policy before its first update (with LoRA: without adapters). Nothing random happens here, and the
order of training is not touched. A table that is already there is used if it is of this model and these token ids.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from fullstep_train.forward import Runs
from fullstep_train.groups import Group
from fullstep_train.progress import Tick
from schemas import TABLES


def reference_logprobs(
    model: Any, groups: Sequence[Group], runs: Runs, identity: str, path: Path, tick: Tick
) -> dict[str, Tensor]:
    """[T] log pi_ref of each solution's tokens, by solution. Ticks groups. identity: of the reference model."""
    hashes = {solution.solution_id: solution.token_hash for group in groups for solution in group.solutions}
    table = _stored(path, identity, hashes)
    if table is None:
        table = _computed(model, groups, runs, identity, hashes, tick)
        part = path.with_name(f".{path.name}.part")
        table.write_parquet(part)
        part.replace(path)
    tick(len(groups), len(groups))
    return {solution_id: torch.tensor(logps) for solution_id, logps in table.select("solution_id", "logprobs").iter_rows()}


def _stored(path: Path, identity: str, hashes: dict[str, str]) -> pl.DataFrame | None:
    if not path.is_file():
        return None
    table = pl.read_parquet(path)
    known = dict(table.filter(pl.col("reference") == identity).select("solution_id", "token_hash").iter_rows())
    return table if known == hashes else None


def _computed(model: Any, groups: Sequence[Group], runs: Runs, identity: str, hashes: dict[str, str], tick: Tick) -> pl.DataFrame:
    rows: dict[str, dict[str, Any]] = {}
    training = model.training
    model.eval()
    with torch.no_grad():
        for done, group in enumerate(groups, start=1):
            logps = runs.logprobs(model, [solution.tokens for solution in group.solutions])
            for solution, logp in zip(group.solutions, logps, strict=True):
                rows[solution.solution_id] = {
                    "solution_id": solution.solution_id,
                    "reference": identity,
                    "token_hash": hashes[solution.solution_id],
                    "logprobs": logp.float().cpu().tolist(),
                }
            tick(done, len(groups))
    model.train(training)
    table = TABLES["reference_logprobs"]
    return table.check(table.frame([rows[key] for key in sorted(rows)]), where="reference_logprobs")
