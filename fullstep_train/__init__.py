"""The training layer: models from tables.

    solutions, steps, step_labels        → prm.train_prm       → a process-reward model → scorer.load_scorer → step_scores
    pairs, solutions, steps, step_scores → reference.logprobs  → reference_logprobs   (or step_pairs alone: preferences)
    all of these                         → policy.train_policy → a policy

One item of work is a problem's group: its distinct solutions, tokenised once (`tokens`), and the matrix of pairs among
them (`groups`). `forward` lays a group out as a tree of tokens, so that the prompt and shared beginnings are computed
once, forward and backward; `logprobs` and `losses` are pure functions on what comes out; `trainer` steps, checkpoints
and resumes. PRM training, PRM scoring and the policy use the same ids, the same layout, the same code. Never imports
fullstep_data, click or rich.

Axis letters, used in every docstring: G groups, S solutions of a group, T tokens of a solution (end token included), K
steps of a solution, P pairs of a group, V vocabulary, D hidden width; and in a layout B rows, N slots, Q distinct
scored tokens.
"""

import schemas

if not hasattr(schemas, "TABLES"):
    raise ImportError(
        f"fullstep needs its own package `schemas`, but {schemas.__file__} hides it: rename that module or run elsewhere"
    )
