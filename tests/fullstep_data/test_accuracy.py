"""Accuracy with Wilson's interval and McNemar's exact test, against values worked out by hand."""

from math import sqrt

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullstep_data.accuracy import accuracy, compare, wilson


def answers(**models: list[bool | None]) -> pl.DataFrame:
    rows = [
        {"problem_id": f"p{index}", "model": model, "decoding": "greedy", "sample_index": 0, "correct": correct}
        for model, marks in models.items()
        for index, correct in enumerate(marks)
    ]
    return pl.DataFrame(rows, schema_overrides={"correct": pl.Boolean})


def test_wilson_s_interval_by_hand() -> None:
    # 3 of 10, z = 1.959964: centre (p + z²/2n) / (1 + z²/n) = (0.3 + 0.192073) / 1.384146 = 0.355507
    # half width z/(1 + z²/n) * sqrt(p(1-p)/n + z²/4n²) = 1.416010 * sqrt(0.021 + 0.009604) = 0.247716
    z = 1.959964
    centre = (0.3 + z**2 / 20) / (1 + z**2 / 10)
    half = z / (1 + z**2 / 10) * sqrt(0.3 * 0.7 / 10 + z**2 / 400)
    assert centre == pytest.approx(0.355507, abs=1e-6)
    assert half == pytest.approx(0.247716, abs=1e-5)
    low, high = wilson(3, 10)
    assert low == pytest.approx(centre - half, abs=1e-6)
    assert high == pytest.approx(centre + half, abs=1e-6)


def test_nothing_right_in_ten_still_leaves_room() -> None:
    # p = 0: low 0, high z²/(n + z²) = 3.841459 / 13.841459
    assert wilson(0, 10) == (0.0, pytest.approx(3.841459 / 13.841459, abs=1e-6))


@given(st.integers(1, 500), st.data())
def test_the_interval_holds_the_share(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    low, high = wilson(successes, trials)
    assert 0 <= low <= successes / trials + 1e-12
    assert successes / trials - 1e-12 <= high <= 1


def test_accuracy_counts_per_model_in_the_order_of_the_rows() -> None:
    table = accuracy(answers(before=[True, False, None, False], after=[True, True, True, False]))
    assert table.select("model", "decoding", "n", "correct", "undecided", "accuracy").rows() == [
        ("before", "greedy", 4, 1, 1, 0.25),
        ("after", "greedy", 4, 3, 0, 0.75),
    ]
    assert (table["low"][0], table["high"][0]) == wilson(1, 4)


def test_accuracy_of_nothing_has_no_rows() -> None:
    table = accuracy(answers(before=[True]).clear())
    assert table.is_empty()
    assert {"n", "correct", "accuracy", "low", "high"} <= set(table.columns)


def test_mcnemar_by_hand() -> None:
    # gained 5 (problems 0-4), lost 1 (problem 5), equal 2: p = 2 * (C(6,0) + C(6,1)) / 2^6 = 2 * 7 / 64
    frame = answers(
        before=[False, False, None, False, False, True, True, False],
        after=[True, True, True, True, True, False, True, False],
    )
    found = compare(frame, "before", "after")
    assert (found.n, found.gained, found.lost) == (8, 5, 1)
    assert found.p_value == pytest.approx(14 / 64)


def test_equal_models_are_not_told_apart() -> None:
    assert compare(answers(before=[True, False], after=[True, False]), "before", "after").p_value == 1.0


def test_only_problems_that_both_answered_are_compared() -> None:
    assert compare(answers(before=[True, False, False], after=[False]), "before", "after").n == 1
