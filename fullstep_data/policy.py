"""policy: the model that step-wise DPO makes from pairs and rewards. The trainer is handed in by cli."""

from pathlib import Path

import polars as pl

from fullstep_data.stage import Context


def policy(
    pairs: pl.DataFrame, solutions: pl.DataFrame, steps: pl.DataFrame, step_scores: pl.DataFrame, context: Context, folder: Path
) -> None:
    """Leaves a model in `folder`; called again on the folder of a killed try, it goes on from there."""
    context.tools["policy_trainer"](pairs, solutions, steps, step_scores, context.config, folder, context.tick)
