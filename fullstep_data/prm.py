"""prm: the process-reward model that a build trains between labels and scores. The trainer is handed in by cli."""

from pathlib import Path

import polars as pl

from fullstep_data.stage import Context


def prm(solutions: pl.DataFrame, steps: pl.DataFrame, step_labels: pl.DataFrame, context: Context, folder: Path) -> None:
    """Leaves a model in `folder`; called again on the folder of a killed try, it goes on from there."""
    tables = {"solutions": solutions, "steps": steps, "step_labels": step_labels}
    context.tools["prm_trainer"](tables, context.config, folder, context.tick)
