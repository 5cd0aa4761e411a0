"""Rows to groups: what was imported comes out again, and of several labellers one must be named."""

from pathlib import Path

import pytest

from fullstep_data.formats.from_tables import groups
from fullstep_data.formats.group import Group, Pair, Solution
from fullstep_data.store import Store
from schemas import InputError
from tests.fullstep_data.formats.trips import golden, import_records
from tests.fullstep_data.small_chain import Recipe, build


def test_groups_are_what_was_imported(tmp_path: Path):
    version, _ = import_records("trl-stepwise", golden("trl-stepwise"), tmp_path, labels_by="human")
    found = {group.question: group for group in groups(version)}
    assert [solution.steps for solution in found["What is 2 + 2?"].solutions] == [
        ("2 + 2 = 4.\n", "The answer is 4"),
        ("2 + 2 = 5.\n", "The answer is 5"),
    ]
    assert [solution.labels for solution in found["What is 2 + 2?"].solutions] == [(1.0, 1.0), (0.0, 0.0)]
    assert found["Which is larger, 9.8 or 9.11?"].solutions[0].stated == "9.8"


def test_a_built_dataset_with_rewards_and_pairs(tmp_path: Path):
    build(tmp_path / "dataset", Recipe(problems=6))
    version = Store.open(tmp_path / "dataset").version()
    found = list(groups(version))
    assert {group.question for group in found} <= set(version.frame("problems")["question"])
    assert sum(len(group.solutions) for group in found) == version.tables["steps"].frame()["solution_id"].n_unique()
    assert sum(len(group.pairs) for group in found) == version.tables["pairs"].rows


def test_of_several_labellers_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    version, _ = import_records("trl-stepwise", golden("trl-stepwise"), tmp_path, labels_by="human")
    with pytest.raises(InputError, match="no labeller 'judge'"):
        list(groups(version, labeller="judge"))
    assert list(groups(version, labeller="trl-stepwise")) == list(groups(version))


def test_a_group_is_plain_data():
    group = Group("Q", solutions=(Solution(("a",)), Solution(("b",))), pairs=(Pair(0, 1),))
    assert group == Group("Q", solutions=(Solution(("a",)), Solution(("b",))), pairs=(Pair(0, 1),))
