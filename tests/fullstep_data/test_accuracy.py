"""Accuracy with its intervals, pass@k and paired tests, against values worked out by hand."""

from itertools import combinations
from math import sqrt

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullstep_data.accuracy import (
    accuracy,
    compare,
    costs,
    mean_interval,
    paired,
    pass_at_k,
    process_errors,
    regressions,
    wilson,
)


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


def samples_of(**problems: list[bool | None]) -> pl.DataFrame:
    rows = [
        {"problem_id": problem, "model": "m", "decoding": "sample", "sample_index": index, "correct": correct}
        for problem, marks in problems.items()
        for index, correct in enumerate(marks)
    ]
    return pl.DataFrame(rows, schema_overrides={"correct": pl.Boolean})


def test_pass_at_k_by_hand() -> None:
    # p: 1 right of 4. pass@1 = 1/4, pass@2 = 1 - C(3,2)/C(4,2) = 1 - 3/6 = 1/2, pass@4 = 1.
    # q: 2 of 4.       pass@1 = 1/2, pass@2 = 1 - C(2,2)/6 = 5/6, pass@4 = 1.
    # r: none of 4 (one undecided): 0 throughout. Means: 1/4, 4/9, 2/3.
    found = pass_at_k(samples_of(p=[True, False, False, False], q=[False, True, True, False], r=[False, None, False, False]))
    assert found["k"].to_list() == [1, 2, 4]
    assert found["pass_at_k"].to_list() == pytest.approx([1 / 4, 4 / 9, 2 / 3])
    assert found["n"].to_list() == [3, 3, 3]


def test_pass_at_k_leaves_problems_with_fewer_samples_out() -> None:
    # k = 3 is known of p only (1 of 3 right: some of 3 is right for sure); k = 1: (1/3 + 1) / 2.
    found = pass_at_k(samples_of(p=[True, False, False], q=[True]))
    assert found.select("k", "n").rows() == [(1, 2), (2, 1), (3, 1)]
    assert found["pass_at_k"].to_list() == pytest.approx([2 / 3, 2 / 3, 1.0])
    assert pass_at_k(samples_of(p=[True]).clear()).is_empty()


@given(st.lists(st.booleans(), min_size=1, max_size=6), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(marks: list[bool], data: st.DataObject) -> None:
    found = pass_at_k(samples_of(p=marks))
    k, estimate = data.draw(st.sampled_from(found.select("k", "pass_at_k").rows()))
    subsets = list(combinations(marks, k))
    assert estimate == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_the_bootstrap_interval_of_a_mean() -> None:
    # 400 values, half 0 and half 1: s.e. of the mean = 0.5 / sqrt(400) = 0.025, so 0.5 -+ 1.96 * 0.025 = 0.451 to 0.549.
    low, high = mean_interval(np.repeat([0.0, 1.0], 200))
    assert (low, high) == (pytest.approx(0.451, abs=0.003), pytest.approx(0.549, abs=0.003))
    assert (low, high) == mean_interval(np.repeat([0.0, 1.0], 200))


def test_intervals_of_what_says_little() -> None:
    assert mean_interval(np.array([])) == (float("-inf"), float("inf"))
    assert mean_interval(np.array([1.0])) == (float("-inf"), float("inf"))
    assert mean_interval(np.array([0.5, 0.5])) == (0.5, 0.5)


def test_pairs_know_more_than_two_intervals() -> None:
    # 100 problems; the second is right wherever the first is (60), and on 10 more: difference 0.1, s.e. of the paired change
    # sqrt(0.1 * 0.9 / 100) = 0.03: 0.041 to 0.159. Apart, 60 and 70 of 100 overlap. McNemar: 2 / 2^10 = 0.00195.
    first, second = [True] * 60 + [False] * 40, [True] * 70 + [False] * 30
    frame = answers(a=first, b=second)
    found = compare(frame, "a", "b")
    assert found.difference == pytest.approx(0.1)
    assert (found.low, found.high) == (pytest.approx(0.041, abs=0.015), pytest.approx(0.159, abs=0.015))
    assert found.p_value == pytest.approx(2 / 2**10)
    assert wilson(60, 100)[1] > wilson(70, 100)[0]


def test_several_samples_count_as_their_share() -> None:
    # p: 1/2 -> 1 (rose), q: 1 -> 1/2 (fell), r: 0 -> 0. Mean change (0.5 - 0.5 + 0) / 3 = 0. Sign test of 1 : 1.
    first = samples_of(p=[True, False], q=[True, True], r=[False])
    second = samples_of(p=[True, True], q=[True, False], r=[None])
    found = paired(first, second)
    assert (found.n, found.gained, found.lost, found.difference, found.p_value) == (3, 1, 1, 0.0, 1.0)


def test_right_answers_by_doubted_steps() -> None:
    # Four right answers with least rewards 0.2, 0.5, 0.9 and one not scored; a wrong one with 0.1. Below 0.5: 1 of 3.
    frame = pl.DataFrame(
        {
            "model": ["m"] * 5,
            "decoding": ["greedy"] * 5,
            "correct": [True, True, True, True, False],
            "lowest_reward": [0.2, 0.5, 0.9, None, 0.1],
        }
    )
    (row,) = process_errors(frame, 0.5).to_dicts()
    assert (row["n"], row["doubted"], row["share"]) == (3, 1, pytest.approx(1 / 3))
    assert (row["low"], row["high"]) == wilson(1, 3)
    assert process_errors(frame.filter(~pl.col("correct")), 0.5).is_empty()


def test_costs_are_means_per_question() -> None:
    frame = pl.DataFrame({"model": "m", "decoding": "sc@2", "tokens": [10, 20], "sampled_tokens": [25, 45]})
    assert costs(frame).rows() == [("m", "sc@2", 15.0, 35.0)]


def test_regressions_begin_with_the_surest_mistake() -> None:
    def frame(marks: list[bool | None], scores: list[float | None]) -> pl.DataFrame:
        rows = [
            {
                "problem_id": f"p{index}",
                "source": "s",
                "question": f"q{index}",
                "gold": "1",
                "answer": "1" if mark else "2",
                "text": "t",
                "correct": mark,
                "score": score,
            }
            for index, (mark, score) in enumerate(zip(marks, scores, strict=True))
        ]
        return pl.DataFrame(rows, schema_overrides={"score": pl.Float64})

    # p0 stays right, p1 .. p4 are lost (p4 undecided), p5 was wrong before.
    first = frame([True, True, True, True, True, False], [None] * 6)
    second = frame([True, False, False, False, None, False], [0.9, 0.4, None, 0.8, 0.4, 1.0])
    found = regressions(first, second)
    assert found["problem_id"].to_list() == ["p3", "p1", "p4", "p2"]
    assert found.row(0, named=True)["answer_second"] == "2"
