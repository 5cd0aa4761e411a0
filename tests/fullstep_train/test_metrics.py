"""metrics: numbers worked by hand, and null with a reason where the data do not define them."""

import numpy as np
import pytest

from fullstep_train.metrics import expected_calibration_error, lowest_is_last, validation_metrics


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
