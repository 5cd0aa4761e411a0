"""Decoding rules on samples small enough to count by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullstep_data.decoding import (
    AGGREGATES,
    Beam,
    Choice,
    Greedy,
    Sample,
    Sampled,
    aggregate,
    answer_classes,
    choose,
    curve,
    parse,
    vote,
)
from fullstep_data.grading import Grader
from schemas import InputError

# Five samples of one problem: answer classes 0, 1, 1, 2 and none, with the rewards of their steps.
#             mean   min  product  last
# 0  class 0  0.85   0.8  0.72     0.8     (0.9, 0.8)
# 1  class 1  0.60   0.5  0.35     0.7     (0.5, 0.7)
# 2  class 1  0.40   0.2  0.12     0.6     (0.2, 0.6)
# 3  class 2  0.65   0.4  0.36     0.9     (0.4, 0.9)
# 4  no answer, and every step sure
SAMPLES = (
    Sample(0, (0.9, 0.8)),
    Sample(1, (0.5, 0.7)),
    Sample(1, (0.2, 0.6)),
    Sample(2, (0.4, 0.9)),
    Sample(None, (1.0, 1.0)),
)


def test_a_list_of_rules_is_read_in_order_and_each_once() -> None:
    assert parse("greedy, sc@8,bon-min@4,beam@4x2,beam-min@4x2,beam-last@1x3,sc@8") == (
        Greedy(),
        Sampled("sc", 8),
        Sampled("bon", 4, "min"),
        Beam(4, 2),
        Beam(1, 3, "last"),
    )


def test_a_rule_without_a_named_score_is_all_four() -> None:
    assert [rule.name for rule in parse("wsc@8")] == ["wsc-mean@8", "wsc-min@8", "wsc-product@8", "wsc-last@8"]


@pytest.mark.parametrize("name", ["greedy", "sc@8", "bon-last@16", "hybrid-product@4", "beam@4x4", "beam-mean@2x8"])
def test_a_name_is_read_back(name: str) -> None:
    assert [rule.name for rule in parse(name)] == [name]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("sc", "there is no such rule"),
        ("sc-min@8", "there is no such rule"),
        ("bon@0", "numbers begin at 1"),
        ("beam@4", "there is no such rule"),
        ("beam@4x0", "numbers begin at 1"),
        ("bon-median@8", "'median' is no score"),
        ("greedy@2", "there is no such rule"),
        ("SC@8", "there is no such rule"),
        (" , ", "no decoding rule"),
    ],
)
def test_what_is_no_rule_is_told(name: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        parse(name)
    assert "beam@WxB" in caught.value.next_step


def test_a_curve_goes_by_powers_of_two_and_ends_at_n() -> None:
    assert [rule.n for rule in curve(Sampled("sc", 8))] == [1, 2, 4, 8]
    assert [rule.n for rule in curve(Sampled("sc", 12))] == [1, 2, 4, 8, 12]
    assert [rule.n for rule in curve(Sampled("sc", 1))] == [1]


def test_scores_of_a_solution_by_hand() -> None:
    # 0.9 and 0.8: mean 1.7 / 2, least 0.8, product 0.72, last 0.8
    assert [aggregate((0.9, 0.8), how) for how in AGGREGATES] == pytest.approx([0.85, 0.8, 0.72, 0.8])


def test_self_consistency_takes_the_answer_that_most_give() -> None:
    # Votes 1 : 2 : 1 for classes 0, 1, 2 (sample 4 has no answer). Class 1 has 2 of 4; its first sample is 1.
    assert choose(Sampled("sc", 5), SAMPLES) == Choice(1, 0.5)


def test_a_tie_goes_to_the_answer_that_came_first() -> None:
    # The first two samples: one vote each. Class 0 was first.
    assert choose(Sampled("sc", 2), SAMPLES) == Choice(0, 0.5)


@pytest.mark.parametrize(("how", "place", "score"), [("mean", 0, 0.85), ("min", 0, 0.8), ("product", 0, 0.72), ("last", 3, 0.9)])
def test_best_of_n_takes_the_highest_score_among_samples_with_an_answer(how: str, place: int, score: float) -> None:
    # Sample 4 scores 1.0 by every measure, but states no answer.
    chosen = choose(Sampled("bon", 5, how), SAMPLES)
    assert (chosen.place, chosen.score) == (place, pytest.approx(score))


def test_a_weighted_vote_adds_scores_up() -> None:
    # By the mean: 0.85 for class 0, 0.6 + 0.4 = 1.0 for class 1, 0.65 for class 2. Class 1 has 1.0 / 2.5.
    assert choose(Sampled("wsc", 5, "mean"), SAMPLES) == Choice(1, pytest.approx(0.4))
    # By the product: 0.72, 0.35 + 0.12 = 0.47, 0.36. Class 0 has 0.72 / 1.55.
    assert choose(Sampled("wsc", 5, "product"), SAMPLES) == Choice(0, pytest.approx(0.72 / 1.55))


def test_the_hybrid_votes_with_the_evidence_of_each_score() -> None:
    # evidence = 1 + 4 * (score - 0.6) of the means 0.85, 0.6, 0.4, 0.65: 2.0, 1.0, 0.2, 1.2. Classes: 2.0, 1.2, 1.2.
    chosen = choose(Sampled("hybrid", 4, "mean"), SAMPLES, lambda score: 1 + 4 * (score - 0.6))
    assert chosen == Choice(0, pytest.approx(2.0 / 4.4))


def test_a_hybrid_without_evidence_is_self_consistency() -> None:
    assert choose(Sampled("hybrid", 5, "min"), SAMPLES, lambda score: 1.0) == choose(Sampled("sc", 5), SAMPLES)


def test_weights_below_zero_have_no_shares() -> None:
    # Class 0: 1 - 3 = -2, class 1: 0.5. A share of -1.5 would say nothing: the sum is given.
    assert vote([0, 0, 1], [1.0, -3.0, 0.5]) == Choice(2, 0.5)


def test_without_any_answer_the_first_sample_stands() -> None:
    silent = [Sample(None), Sample(None)]
    assert choose(Sampled("sc", 2), silent) == Choice(0, None)
    assert choose(Sampled("bon", 2, "min"), silent) == Choice(0, None)


def test_samples_that_no_prm_scored_are_the_last_choice() -> None:
    # Best-of-3: only sample 2 is scored. Weighted: votes 0, 0, 0.1. Nothing scored: the first with an answer, all votes 0.
    some = [Sample(0), Sample(0), Sample(1, (0.1,))]
    assert choose(Sampled("bon", 3, "mean"), some) == Choice(2, 0.1)
    assert choose(Sampled("wsc", 3, "mean"), some) == Choice(2, 1.0)
    assert choose(Sampled("bon", 2, "mean"), [Sample(None), Sample(4)]) == Choice(1, None)


def test_only_the_first_n_samples_count() -> None:
    assert choose(Sampled("bon", 2, "last"), SAMPLES).place == 0


def test_one_sample_is_every_rule_s_choice() -> None:
    assert {choose(rule, SAMPLES, lambda score: score).place for rule in parse("sc@1,bon@1,wsc@1,hybrid@1")} == {0}


def test_votes_are_cast_for_answers_and_not_for_spellings() -> None:
    # Spelled apart 5 has one vote of four, and 7 two; as numbers 1/2, 0.5 and \frac{1}{2} are one answer with three.
    answers = ["7", r"\frac{1}{2}", "0.5", "7", "1/2", None]
    with Grader() as grader:
        (groups,) = answer_classes([answers], lambda pairs: [bool(one.correct) for one in grader.grade(pairs)])
    assert groups == [0, 1, 1, 0, 1, None]
    assert choose(Sampled("sc", 6), [Sample(group) for group in groups]) == Choice(1, 0.6)


def alike(pairs: list[tuple[str, str]]) -> list[bool]:
    """Not transitive, as with 50, 50 % and 0.5: neighbours in the alphabet are equal."""
    return [abs(ord(left) - ord(right)) <= 1 for left, right in pairs]


def test_the_most_frequent_spelling_leads_a_class() -> None:
    # b leads (2 of 4) and takes a and c, though these differ from each other.
    assert answer_classes([["a", "b", "c", "b"]], alike) == [[0, 0, 0, 0]]
    # a, b, c once each: a leads and takes b; c equals b, but not the leader.
    assert answer_classes([["c", "b", "a"]], alike) == [[1, 0, 0]]


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=8), st.randoms())
def test_classes_do_not_depend_on_the_order_of_samples(answers: list[str], chance: object) -> None:
    (groups,) = answer_classes([answers], alike)
    shuffled = list(enumerate(answers))
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    (again,) = answer_classes([[answer for _, answer in shuffled]], alike)
    assert again == [groups[place] for place, _ in shuffled]


@given(st.lists(st.tuples(st.none() | st.integers(0, 3), st.floats(0, 1)), min_size=1, max_size=12))
def test_a_vote_goes_to_an_answer_with_the_greatest_sum(ballots: list[tuple[int | None, float]]) -> None:
    groups, weights = [group for group, _ in ballots], [weight for _, weight in ballots]
    chosen = vote(groups, weights)
    sums = {group: sum(w for g, w in ballots if g == group) for group in groups if group is not None}
    if sums:
        assert sums[groups[chosen.place]] == pytest.approx(max(sums.values()))
    else:
        assert chosen == Choice(0, None)


def test_equality_is_asked_once_for_all_problems() -> None:
    calls: list[int] = []

    def counted(pairs: list[tuple[str, str]]) -> list[bool]:
        calls.append(len(pairs))
        return [False] * len(pairs)

    # Three spellings make three pairs; the second problem has the same ones; the third has a single spelling.
    assert answer_classes([["1", "2", "3"], ["3", "2", "1"], ["4", "4"]], counted) == [[0, 1, 2], [2, 1, 0], [0, 0]]
    assert calls == [3]
