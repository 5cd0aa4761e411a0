"""What is chosen, and where answers go wrong. The files of a study are read in test_experiment.py, by its whole one."""

from pathlib import Path

import pytest

from cli.experiment_coverage import OPERATION, RESULT, SHOWN, errors, met, selections, shares, told_apart


def test_an_answer_is_looked_at_up_to_its_first_false_step() -> None:
    """8*5 is shown twice, 0+7 never; 0+7=8 is false, and what comes after it says nothing of tasks."""
    answer = "(1) 8*5=0\n(2) 0+7=8\n(3) 8-9=9\nAnswer: 9"
    found = list(met("facts", "8 (1)*5 (2)+7 (3)-9", answer, {"8*5": 2, "8-9": 1}))
    assert found == [("often", True, RESULT), ("never", False, RESULT)]
    swapped = list(met("facts", "8 (1)*5 (2)+7", "(1) 8+7=5\n(2) 5*5=5\nAnswer: 5", {"8*5": 1}))
    assert swapped == [("once", False, OPERATION)]


def test_an_operation_that_is_passed_over_is_an_error_of_the_operation() -> None:
    answer = "(2) 55-8=47\nAnswer: 47"
    assert list(met("skill", "47 (1)+8 (2)-5", answer, {})) == [("never", False, OPERATION)]


def test_shares_of_steps_and_of_first_errors() -> None:
    """Ten steps: of four at tasks never shown one is false, of two shown once one, of four shown often none."""
    counts = {("never", True, RESULT): 3, ("never", False, RESULT): 1, ("once", True, RESULT): 1, ("once", False, OPERATION): 1}
    found = shares(counts | {("often", True, RESULT): 4})
    assert [found[kind] for kind in SHOWN] == [0.25, 0.5, 0.0]
    assert (found["few"], found["rare"], found["result"]) == (pytest.approx(0.6), 1.0, 0.5)
    assert shares({})["rare"] is None


def test_a_folder_without_seeds_has_none(tmp_path: Path) -> None:
    assert selections(tmp_path).is_empty()
    assert errors(tmp_path).is_empty()
    assert told_apart(tmp_path).is_empty()


def test_a_study_of_a_recipe_has_no_truth_to_tell(tmp_path: Path) -> None:
    """Its worlds bear the name of the recipe, and no problems of the bench."""
    for family in ("mine", "facts"):
        base = tmp_path / family / "seed-0" / "base"
        base.mkdir(parents=True)
        (base / "results.parquet").touch()
    assert selections(tmp_path).is_empty()
    assert errors(tmp_path).is_empty()
