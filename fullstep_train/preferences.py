"""What a policy learns from: preferences between whole solutions, or between next steps. Both become groups of one problem.

    preferences = SolutionPairs(pairs, solutions, steps, step_scores)      # step-wise DPO, DPO, SFT
    preferences = StepPairs(step_pairs)                                    # Step-DPO
    groups, dropped = preferences.groups(tokenizer, max_length=2048)

The frames keep the contracts of their tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from fullstep_train.groups import Dropped, Group, next_step_groups, preference_groups


@dataclass(frozen=True)
class SolutionPairs:
    """Pairs of whole solutions, with their texts, steps and step rewards."""

    pairs: pl.DataFrame
    solutions: pl.DataFrame
    steps: pl.DataFrame
    step_scores: pl.DataFrame

    @property
    def tables(self) -> Mapping[str, pl.DataFrame]:
        """The frames by the names of their tables; that of the pairs comes first."""
        return vars(self)

    def groups(self, tokenizer: Any, max_length: int) -> tuple[list[Group], Dropped]:
        """See `groups.preference_groups`."""
        return preference_groups(self.pairs, self.solutions, self.steps, self.step_scores, tokenizer, max_length)


@dataclass(frozen=True)
class StepPairs:
    """Pairs of next steps, each with its prompt and the steps before."""

    step_pairs: pl.DataFrame

    @property
    def tables(self) -> Mapping[str, pl.DataFrame]:
        """The frame by the name of its table."""
        return vars(self)

    def groups(self, tokenizer: Any, max_length: int) -> tuple[list[Group], Dropped]:
        """See `groups.next_step_groups`."""
        return next_step_groups(self.step_pairs, tokenizer, max_length)


Preferences = SolutionPairs | StepPairs


def preferences_of(tables: Mapping[str, pl.DataFrame]) -> Preferences:
    """The preferences in these tables, as `Preferences.tables` gives them."""
    return StepPairs(**tables) if "step_pairs" in tables else SolutionPairs(**tables)
