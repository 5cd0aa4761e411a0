"""metrics: numbers worked by hand, and null with a reason where the data do not define them."""

import numpy as np
import pytest

from fullstep_train.metrics import (
    Bin,
    FirstErrors,
    best_threshold,
    by_position,
    expected_calibration_error,
    first_error,
    first_error_f1,
    lowest_is_last,
    reliability,
    validation_metrics,
)


def a(*numbers: float) -> np.ndarray:
    return np.array(numbers, dtype=np.float64)


def test_by_hand() -> None:
    """Labels 1 0 | 1 (one left open), rewards .9 .6 | .3 (.5 open).

    Accuracy: right, wrong, wrong = 1/3. Brier: (.01 + .36 + .49) / 3 = .286667. AUC: of the pairs (.9 > .6), (.3 < .6):
    1/2. ECE: bins .9, .6, .3 of one step each: (.1 + .6 + .7) / 3 = .466667. Lowest is last: yes (.6), no (.3 comes
    before .5): 1/2.
    """
    found = validation_metrics([a(1, 0), a(1, np.nan)], [a(0.9, 0.6), a(0.3, 0.5)])
    assert found == pytest.approx({"auc": 0.5, "accuracy": 1 / 3, "brier": 0.86 / 3, "ece": 1.4 / 3, "lowest_is_last": 0.5})


def test_one_class_has_no_auc() -> None:
    found = validation_metrics([a(1, 1)], [a(0.9, 0.6)])
    assert found["auc"] is None
    assert found["accuracy"] == 1.0
    assert found["undefined"] == "auc: every validation step has the label 1"


def test_nothing_to_measure_on() -> None:
    found = validation_metrics([], [])
    assert {found[name] for name in ("auc", "accuracy", "brier", "ece", "lowest_is_last")} == {None}
    assert found["undefined"] == "no labelled steps in the validation problems"


def test_a_reward_of_one_falls_in_the_last_bin() -> None:
    """Both steps share the bin [.9, 1]: mean score .975, frequency .5, gap .475."""
    assert expected_calibration_error(np.array([1, 0]), a(1.0, 0.95)) == pytest.approx(0.475)


def test_single_steps_have_no_lowest() -> None:
    assert lowest_is_last([a(0.2)]) is None


def test_reliability_by_hand() -> None:
    """Rewards .12 and .18 (one correct) share the bin [.1, .2): mean .15, share 1/2. 1.0 (correct) is in [.9, 1]. The step
    without a label (.55) is in no bin.
    """
    found = reliability([a(1, 0), a(np.nan, 1)], [a(0.12, 0.18), a(0.55, 1.0)])
    assert found == [Bin(0.1, 0.2, 2, pytest.approx(0.15), 0.5), Bin(0.9, 1.0, 1, 1.0, 1.0)]
    # The ECE from the same bins: (2 * |.15 - .5| + 1 * |1 - 1|) / 3.
    assert expected_calibration_error(np.array([1, 0, 1]), a(0.12, 0.18, 1.0)) == pytest.approx(0.7 / 3)


def test_positions_by_hand() -> None:
    """First steps: labels 1 0, rewards .9 .2: AUC 1. Second: 0 of one. Third and later together: labels 1 0 0, rewards .3
    .5 .1: of the pairs (.3 < .5), (.3 > .1) half are in order.
    """
    first, second, rest = by_position([a(1, 0, 1, 0, 0), a(0)], [a(0.9, 0.4, 0.3, 0.5, 0.1), a(0.2)], most=3)
    assert (first["position"], first["steps"], first["auc"], first["last"]) == (1, 2, 1.0, False)
    assert (second["label_mean"], second["reward_mean"], second["auc"]) == (0.0, 0.4, None)
    assert (rest["position"], rest["last"], rest["steps"], rest["auc"]) == (3, True, 3, 0.5)
    assert by_position([], []) == []


def test_the_first_step_below_the_threshold_is_the_error() -> None:
    assert first_error(a(0.9, 0.4, 0.1), 0.5) == 1
    assert first_error(a(0.9, 0.5), 0.5) == -1  # at the threshold is not below it


def test_processbench_f1_by_hand() -> None:
    """Three solutions with an error, at 1, 0 and 2; first rewards below .5 are at 1 (hit), 1 (miss), none (miss): 1/3.
    Two without: none below (hit), one below (miss): 1/2. F1 = 2 * 1/3 * 1/2 / (1/3 + 1/2) = 0.4. Exact: 2 of 5.
    """
    errors = [1, 0, 2, -1, -1]
    rewards = [a(0.9, 0.2, 0.1), a(0.8, 0.3), a(0.9, 0.9, 0.6), a(0.7, 0.8), a(0.7, 0.4)]
    found = first_error_f1(errors, rewards, 0.5)
    assert found == FirstErrors(0.5, 3, 2, pytest.approx(1 / 3), 0.5, pytest.approx(0.4), 0.4)


def test_f1_needs_both_kinds_and_is_0_where_nothing_is_hit() -> None:
    assert first_error_f1([-1], [a(0.9)], 0.5).f1 is None
    assert first_error_f1([0], [a(0.1)], 0.5).correct_accuracy is None
    assert first_error_f1([0, -1], [a(0.9), a(0.1)], 0.5).f1 == 0.0


def test_the_best_threshold_by_hand() -> None:
    """Error at 1 with rewards .7 .3, no error with .6: any threshold in (.3, .6] hits both; 0.31 is the lowest on the grid."""
    assert best_threshold([1, -1], [a(0.7, 0.3), a(0.6)]) == pytest.approx(0.31)
    assert best_threshold([-1], [a(0.7)]) == 0.5
