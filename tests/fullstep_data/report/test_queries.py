from typing import Any

import pytest

from fullstep_data.config import PairsConfig
from fullstep_data.pairs import scored
from fullstep_data.report.queries import BINS, MOST, around_zero, facts, prepare, score_of
from fullstep_data.store import Version
from schemas import TABLES
from tests.fullstep_data.report.conftest import Connected


def solution(name: str, correct: bool | None, problem: str = "p", answer: str | None = "1") -> dict[str, Any]:
    return {"solution_id": name, "problem_id": problem, "correct": correct, "answer": answer}


def scores(name: str, *rewards: float, scorer: str = "prm") -> list[dict[str, Any]]:
    return [{"solution_id": name, "step_index": at, "scorer": scorer, "reward": reward} for at, reward in enumerate(rewards)]


def labels(name: str, *values: bool | None, labeller: str = "outcome") -> list[dict[str, Any]]:
    return [{"solution_id": name, "step_index": at, "labeller": labeller, "label": value} for at, value in enumerate(values)]


def test_rewards_are_shares_of_their_own_label(connected: Connected):
    # label 1: .9 and .92 (bin 18) and 1.0 (the last bin, 19); label 0: .1 (bin 2); no label: .5 (bin 10).
    rewards = scores("a", 0.9, 0.92, 1.0, 0.1, 0.5)
    found = facts(connected(step_scores=rewards, step_labels=labels("a", True, True, True, False, None)), "mean")["rewards"]
    assert found.height == 3 * BINS
    full = [row for row in found.select("series", "low", "count", "share").iter_rows() if row[2]]
    assert full == [
        ("label 0", 0.1, 1, 1.0),
        ("label 1", 0.9, 2, 2 / 3),
        ("label 1", 0.95, 1, 1 / 3),
        ("no label", 0.5, 1, 1.0),
    ]


def test_auc_counts_couples_and_ties_half(connected: Connected):
    # right .8 and .5, wrong .5 and .3: .8 beats both, .5 ties once and wins once: (2 + 1.5) / 4 = .875. e is undecided.
    graded = [
        *(solution("a", correct=True), solution("b", correct=True), solution("c", correct=False)),
        *(solution("d", correct=False), solution("e", correct=None)),
    ]
    rewards = [*scores("a", 0.9, 0.7), *scores("b", 0.5), *scores("c", 0.75, 0.25), *scores("d", 0.3), *scores("e", 1.0)]
    found = facts(connected(solutions=graded, step_scores=rewards), "mean")
    assert found["auc"]["auc"].item() == pytest.approx(0.875)
    # By their lowest step: right .7 and .5, wrong .25 and .3: the right ones win all four couples.
    assert facts(connected(solutions=graded, step_scores=rewards), "min")["auc"]["auc"].item() == 1.0


@pytest.mark.parametrize("score", ["mean", "min", "product", "last"])
def test_a_solution_has_the_score_that_pairs_give_it(connected: Connected, score: str):
    rewards = [*scores("a", 0.9, 0.1, 0.7), *scores("b", 0.3), *scores("c", 0.2, 0.8)]
    connection = connected(step_scores=rewards)
    prepare(connection, score)
    shown = connection.execute("SELECT solution_id, score FROM solution_scores ORDER BY solution_id").fetchall()
    frame = TABLES["step_scores"].frame([{**row, "problem_id": "p"} for row in rewards])
    config = PairsConfig.model_validate({"score": score})
    expected = scored(frame, config).sort("solution_id").select("solution_id", "score").rows()
    assert [solution for solution, _ in shown] == [solution for solution, _ in expected]
    assert [score for _, score in shown] == pytest.approx([score for _, score in expected], rel=1e-12)


def test_without_a_wrong_solution_there_is_no_auc(connected: Connected):
    found = facts(connected(solutions=[solution("a", correct=True)], step_scores=scores("a", 0.5)), "mean")
    assert found["auc"]["auc"].item() is None


def test_quantiles_of_a_position(connected: Connected):
    # Ten first steps with rewards .05, .15 … .95: a tenth of them is at most .05, nine tenths are at most .85; the mean is .5.
    names = [f"s{at}" for at in range(10)]
    rewards = [row for at, name in enumerate(names) for row in scores(name, (at + 0.5) / 10)]
    found = facts(connected(solutions=[solution(name, correct=True) for name in names], step_scores=rewards), "mean")["positions"]
    (row,) = found.iter_rows(named=True)
    assert (row["steps"], row["p10"], row["p90"]) == (10, 0.05, 0.85)
    assert row["mean"] == pytest.approx(0.5)


def test_positions_count_from_one_and_the_far_ones_together(connected: Connected):
    long = scores("a", *([0.5] * (MOST - 1)), 0.2, 0.4, 0.6)
    found = facts(connected(solutions=[solution("a", correct=False)], step_scores=long), "mean")["positions"]
    assert found["position"].to_list() == list(range(1, MOST + 1))
    last = found.row(-1, named=True)
    # The steps from position 20 on are .2, .4 and .6: their mean is .4.
    assert (last["series"], last["steps"], round(last["mean"], 6)) == ("wrong", 3, 0.4)


def test_right_share_keeps_none_and_all_apart(connected: Connected):
    # p: 0 of 2 (bin 0); q: 1 of 2 = .5, floor(.5 * 5) + 1 = bin 3; r: 9 of 10 = .9, floor(4.5) + 1 = bin 5; s: 1 of 1 (bin 6).
    given = {"p": (0, 2), "q": (1, 2), "r": (9, 10), "s": (1, 1)}
    rows = [
        solution(f"{name}{index}", correct=index < right, problem=name)
        for name, (right, count) in given.items()
        for index in range(count)
    ]
    assert facts(connected(solutions=rows), "mean")["right_share"].rows() == [(0, 1), (3, 1), (5, 1), (6, 1)]


def test_answers_and_pairs_of_a_problem(connected: Connected):
    # p: answers 1, 2, none: two; q: 1 twice: one. p has two pairs, q none.
    rows = [
        *(
            solution("a", correct=True, answer="1"),
            solution("b", correct=False, answer="2"),
            solution("c", correct=False, answer=None),
        ),
        *(solution("d", correct=True, problem="q"), solution("e", correct=True, problem="q")),
    ]
    pairs = [{"pair_id": str(at), "problem_id": "p", "margin": margin} for at, margin in enumerate((0.03, -0.01))]
    found = facts(connected(solutions=rows, pairs=pairs), "mean")
    assert found["diversity"].rows() == [(1, 1), (2, 1)]
    assert found["pairs_per_problem"].rows() == [(0, 1), (2, 1)]
    assert found["totals"]["in_order"].item() == 0.5


def test_no_pairs_at_all_is_nothing_to_draw(connected: Connected):
    assert facts(connected(solutions=[solution("a", correct=True)]), "mean")["pairs_per_problem"].is_empty()


@pytest.mark.parametrize(("margins", "width"), [((-0.011, 0.031), 0.002), ((-0.5, 0.9), 0.05), ((0.2,), 0.002)])
def test_bins_of_differences_fit_their_span_and_meet_at_zero(connected: Connected, margins: tuple[float, ...], width: float):
    # span .042 / .002 = 21 bins; span 1.4: .02 would take 70, .05 takes 28; one value spans nothing.
    rows = [{"pair_id": str(at), "margin": margin} for at, margin in enumerate(margins)]
    found = around_zero(connected(pairs=rows), "margin", "pairs", "pairs")
    assert found["pairs"].to_list() == [1] * len(margins)
    for (low, high), margin in zip(found.select("low", "high").iter_rows(), margins, strict=True):
        assert low <= margin < high
        assert high - low == pytest.approx(width)
        assert round(low / width) == pytest.approx(low / width)


def test_of_two_scorers_the_one_with_more_rows_is_shown(connected: Connected):
    rewards = [*scores("a", 0.9, 0.9, scorer="small"), *scores("a", 0.1, 0.1, 0.1, scorer="large")]
    found = facts(connected(step_scores=rewards), "mean")
    assert found["rewards"]["count"].sum() == 3
    assert found["totals"]["scorers"].item() == 2


def test_predictions_before_come_before_those_after(connected: Connected):
    rows = [
        {"problem_id": problem, "model": model, "decoding": "greedy", "correct": correct}
        for model, correct in (("after", True), ("before", False))
        for problem in "pq"
    ]
    found = facts(connected(predictions=rows), "mean")["predictions"]
    assert found.rows() == [("before", "greedy", 2, 0), ("after", "greedy", 2, 2)]


def test_an_empty_version_has_every_frame_without_rows(connected: Connected):
    found = facts(connected(), "mean")
    assert {name for name, frame in found.items() if frame.height} == {"totals", "auc"}
    assert found["totals"]["solutions"].item() == 0


def test_a_real_build_is_counted_whole(version: Version):
    from fullstep_data.query import connect

    with connect(version) as connection:
        found = facts(connection, score_of(version))
    assert found["rewards"]["count"].sum() == version.tables["step_scores"].rows
    assert found["positions"]["steps"].sum() == version.tables["step_scores"].rows
    assert found["scores"]["count"].sum() == version.tables["solutions"].rows
    assert found["margins"]["pairs"].sum() == version.tables["pairs"].rows
    assert found["rejects"]["records"].sum() == version.tables["rejects"].rows
    # SumScorer sees every wrong sum, so right solutions mostly score higher.
    assert found["auc"]["auc"].item() > 0.7


@pytest.mark.parametrize(
    ("recipe", "score"),
    [
        ({"pairs": {"score": "min"}}, "min"),
        ({"pairs": {"score": "random"}}, "mean"),
        ({"pairs": None}, "mean"),
        ({}, "mean"),
        ("no recipe", "mean"),
    ],
)
def test_the_score_is_the_recipes(version: Version, recipe: object, score: str):
    manifest = version.manifest.model_copy(update={"recipe": recipe})
    assert score_of(Version(version.path, manifest)) == score
