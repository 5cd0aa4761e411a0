"""reference_logprobs: log-probs of each preferred and rejected text under the model that a policy is trained from.

The reference model is handed in by cli. The pairs are those of whole solutions, or (Step-DPO) of next steps.
"""

import polars as pl

from fullstep_data.stage import Context, Outcome


def reference_logprobs(
    pairs: pl.DataFrame, solutions: pl.DataFrame, steps: pl.DataFrame, step_scores: pl.DataFrame, context: Context
) -> Outcome:
    """One row per distinct solution of the pairs; what cannot be trained on (too long, say) is a reject, as are its pairs."""
    tables = {"pairs": pairs, "solutions": solutions, "steps": steps, "step_scores": step_scores}
    return Outcome(*context.tools["reference"](tables, context.tick))


def next_step_logprobs(step_pairs: pl.DataFrame, context: Context) -> Outcome:
    """One row per distinct step of the step pairs, each after its own prefix; pairs that cannot be trained on are rejects."""
    return Outcome(*context.tools["reference"]({"step_pairs": step_pairs}, context.tick))
