"""THE CONTRACT: one module per table, and nothing of ours below it.

    problems → samples → solutions → steps → step_labels → [PRM] → step_scores → pairs → [policy] → predictions
                                       ↘ rollouts ↗                 ↘ step_pairs ↗ ↘ reference_logprobs

`TABLES` maps each table's name to its `Table`; `rejects` collects what any stage dropped. Raising the version of a table is the
only way to change it: `schemas/lock/` holds what each one promised, and a test compares.
"""

from schemas.errors import ContractError, InputError
from schemas.pairs import PAIRS
from schemas.predictions import PREDICTIONS
from schemas.problems import PROBLEMS
from schemas.reference_logprobs import REFERENCE_LOGPROBS
from schemas.rejects import REJECTS
from schemas.rollouts import ROLLOUTS
from schemas.samples import SAMPLES
from schemas.solutions import SOLUTIONS
from schemas.step_labels import STEP_LABELS
from schemas.step_pairs import STEP_PAIRS
from schemas.step_scores import STEP_SCORES
from schemas.steps import STEPS
from schemas.table import Column, Reference, Rule, Table, Violation

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        PROBLEMS,
        SAMPLES,
        SOLUTIONS,
        STEPS,
        ROLLOUTS,
        STEP_LABELS,
        STEP_SCORES,
        PAIRS,
        STEP_PAIRS,
        REFERENCE_LOGPROBS,
        PREDICTIONS,
        REJECTS,
    )
}

__all__ = [
    "TABLES",
    "Column",
    "ContractError",
    "InputError",
    "Reference",
    "Rule",
    "Table",
    "Violation",
]
