"""What of the test problems the training problems show. The files of a study are read in test_experiment.py, by its whole one."""

from pathlib import Path

import polars as pl
import pytest

from cli.experiment_coverage import UNSEEN, by_unseen, counted, of_problems, unseen

ROWS = pl.DataFrame(
    [("facts", 0, "a", 0), ("facts", 0, "b", 0), ("facts", 0, "c", 2), ("facts", 1, "a", 0)], schema=UNSEEN, orient="row"
)


def test_tasks_that_no_chosen_solution_shows_are_counted() -> None:
    """8*5 and 0+7 are shown, with other results or signs too; 7-9 is not, and of more than three three count."""
    chosen = ["(1) 8*5=4\n(2) 0+7 is 1\nAnswer: 1"]
    questions = ["8 (1)*5 (2)+7 (3)-9", "8 (1)*5 (2)+7", "1 (1)+2 (2)+2 (3)+2 (4)+2"]
    assert counted("facts", chosen, questions) == [1, 0, 3]
    assert counted("skill", ["(1) 47+8=55\n"], ["47 (1)+8 (2)-5"]) == [1]


def test_right_answers_among_them() -> None:
    right = {
        ("base", 0, "a"): True,
        ("base", 0, "b"): False,
        ("base", 0, "c"): False,
        ("base", 1, "a"): True,
        ("dpo", 0, "c"): True,
    }
    answers = pl.DataFrame(
        [
            {"family": "facts", "method": name, "seed": seed, "problem_id": key, "correct": value}
            for (name, seed, key), value in right.items()
        ],
        schema_overrides={"seed": pl.Int32},
    )
    found = by_unseen(ROWS, answers)
    assert found.columns == ["family", "method", "0", "2"]
    assert found["method"].to_list() == ["base", "dpo"]
    assert found.row(0)[2:] == pytest.approx((2 / 3, 0.0))
    assert found.row(1)[2:] == (None, 1.0)
    assert of_problems(ROWS).row(0) == ("facts", 0.75, 0.25)


def test_a_folder_without_seeds_has_none(tmp_path: Path) -> None:
    assert unseen(tmp_path).is_empty()
