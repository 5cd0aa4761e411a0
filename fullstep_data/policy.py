"""policy: the model that is made from preferences and the reference's log-probs. The trainer is handed in by cli."""

from pathlib import Path

import polars as pl

from fullstep_data.stage import Context


def policy(
    pairs: pl.DataFrame,
    solutions: pl.DataFrame,
    steps: pl.DataFrame,
    step_scores: pl.DataFrame,
    reference_logprobs: pl.DataFrame,
    context: Context,
    folder: Path,
) -> None:
    """Learns from pairs of whole solutions. Leaves a model in `folder`; on the folder of a killed try it goes on from there."""
    preferences = {"pairs": pairs, "solutions": solutions, "steps": steps, "step_scores": step_scores}
    tables = {**preferences, "reference_logprobs": reference_logprobs}
    context.tools["policy_trainer"](tables, context.config, folder, context.tick)


def next_step_policy(step_pairs: pl.DataFrame, reference_logprobs: pl.DataFrame, context: Context, folder: Path) -> None:
    """Learns from pairs of next steps (Step-DPO)."""
    tables = {"step_pairs": step_pairs, "reference_logprobs": reference_logprobs}
    context.tools["policy_trainer"](tables, context.config, folder, context.tick)
