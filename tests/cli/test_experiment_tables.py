"""The tables of an experiment keep a contract like all others."""

import pytest

from cli.experiment_tables import ANSWERS, FIGURES, GRADED, RESULTS, TRIALS
from schemas import ContractError

ROW = {
    "family": "facts",
    "seed": 0,
    "method": "dpo",
    "decoding": "greedy",
    "settings": "[]",
    "learning_rate": 1e-4,
    "validation_accuracy": 0.5,
    "test_correct": 3,
    "test_n": 4,
    "test_accuracy": 0.75,
    "completions": 16.0,
    "cpu_seconds": 1.0,
}


def test_a_key_is_there_once_and_counts_add_up() -> None:
    assert RESULTS.check(RESULTS.frame([ROW]), "here").height == 1
    with pytest.raises(ContractError, match="key"):
        RESULTS.check(RESULTS.frame([ROW, ROW]), "here")
    with pytest.raises(ContractError, match="no more right ones than problems"):
        RESULTS.check(RESULTS.frame([ROW | {"test_correct": 5}]), "here")


@pytest.mark.parametrize("table", [ANSWERS, FIGURES, GRADED, RESULTS, TRIALS], ids=lambda table: table.name)
def test_every_column_is_explained_and_the_key_is_of_columns(table) -> None:
    assert all(column.doc for column in table.columns)
    assert set(table.key) <= {column.name for column in table.columns}
