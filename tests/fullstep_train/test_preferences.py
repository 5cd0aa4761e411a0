"""preferences: each kind gives the groups of its tables, and names them."""

from typing import Any

from fullstep_train.groups import next_step_groups, preference_groups
from fullstep_train.preferences import SolutionPairs, StepPairs
from tests.fullstep_train.frames import make_tables

FEW = make_tables(problems=2)


def hashes(groups: Any) -> list[list[str]]:
    return [[solution.token_hash for solution in group.solutions] for group in groups[0]]


def test_pairs_of_solutions(tiny_tokenizer: Any) -> None:
    preferences = SolutionPairs(FEW.pairs, FEW.solutions, FEW.steps, FEW.step_scores)
    assert list(preferences.tables) == ["pairs", "solutions", "steps", "step_scores"]
    expected = preference_groups(FEW.pairs, FEW.solutions, FEW.steps, FEW.step_scores, tiny_tokenizer, 2048)
    assert hashes(preferences.groups(tiny_tokenizer, 2048)) == hashes(expected)


def test_pairs_of_steps(tiny_tokenizer: Any) -> None:
    preferences = StepPairs(FEW.step_pairs())
    assert list(preferences.tables) == ["step_pairs"]
    assert hashes(preferences.groups(tiny_tokenizer, 2048)) == hashes(next_step_groups(FEW.step_pairs(), tiny_tokenizer, 2048))
