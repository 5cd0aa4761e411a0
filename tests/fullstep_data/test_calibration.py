"""The vote `hybrid`: what it is by hand, that it ignores a PRM that knows nothing, and listens to one that knows."""

import random
from collections.abc import Iterator
from math import exp, log

import polars as pl
import pytest

from fullstep_data.calibration import ERRORS, Kind, Known, calibrate, fit, known, probability, vote_of, votes
from fullstep_data.config import Calibration, Isotonic, Platt
from fullstep_data.decoding import Sampled
from fullstep_data.grading import Grader
from schemas import TABLES, InputError
from tests.benchmarks.hybrid_votes import study, summary

RULE = Sampled("hybrid", 8, "min")


@pytest.fixture
def grader() -> Iterator[Grader]:
    with Grader() as opened:
        yield opened


def calibration(weight: float, curve: Platt | Isotonic | None = None, base: float = 0.5) -> Calibration:
    return Calibration(score="min", curve=curve or Platt(slope=2, intercept=-1), base=base, weight=weight, problems=1)


def test_a_vote_by_hand() -> None:
    # logit p(0.8) = 2 * 0.8 - 1 = 0.6; base 0.25: logit = log(1/3) = -1.0986. Weight 0.5: 1 + 0.5 * (0.6 + 1.0986) = 1.8493.
    assert vote_of(calibration(0.5, base=0.25), 0.8) == pytest.approx(1.8493, abs=1e-4)


def test_a_sample_that_the_prm_is_sure_of_cannot_outvote_everything() -> None:
    # p is kept within 0.001 and 0.999: logit 6.907, however steep the curve.
    assert vote_of(calibration(1.0, Platt(slope=1e6, intercept=0)), 1.0) == pytest.approx(1 + log(999), abs=1e-6)


def test_weight_0_and_a_flat_curve_are_self_consistency() -> None:
    flat = Platt(slope=0.0, intercept=log(0.25 / 0.75))
    assert [vote_of(calibration(0.0), score) for score in (0.0, 0.3, 1.0)] == [1.0, 1.0, 1.0]
    assert [vote_of(calibration(5.0, flat, base=0.25), score) for score in (0.0, 1.0)] == pytest.approx([1.0, 1.0])


def test_probabilities_of_both_curves() -> None:
    assert probability(Platt(slope=2, intercept=-1), 1.0) == pytest.approx(1 / (1 + exp(-1)))
    # Half way between (0.2, 0.1) and (0.6, 0.5); flat beyond.
    curve = Isotonic(scores=(0.2, 0.6), shares=(0.1, 0.5))
    assert [probability(curve, score) for score in (0.0, 0.4, 0.9)] == pytest.approx([0.1, 0.3, 0.5])


def test_only_the_hybrid_of_that_score_is_weighted() -> None:
    one = calibration(1.0)
    found = votes([one], RULE)
    assert found is not None
    assert found(0.8) == vote_of(one, 0.8)
    assert votes([one], Sampled("hybrid", 8, "mean")) is None
    assert votes([one], Sampled("bon", 8, "min")) is None


def simulated(problems: int, skill: float, seed: int) -> list[Known]:
    """Problems with 8 samples. A sample is right with a chance drawn from U(0, 1), else it makes one of two mistakes; its
    score is uniform, shifted up by `skill` where it is right: 0 knows nothing, 1 everything.
    """
    chance = random.Random(seed)
    made: list[Known] = []
    for index in range(problems):
        ease = chance.random()
        right = [chance.random() < ease for _ in range(8)]
        groups = [0 if correct else chance.choice((1, 1, 1, 2)) for correct in right]
        scores = [(1 - skill) * chance.random() + skill * correct for correct in right]
        made.append(Known(f"p{seed}/{index}", groups, scores, right))
    return made


def right_answers(problems: list[Known], found: Calibration) -> int:
    from fullstep_data.calibration import _right

    return sum(_right(one, found) for one in problems)


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_a_prm_that_knows_is_listened_to(kind: Kind) -> None:
    found = fit(simulated(300, 0.5, seed=1), RULE, kind)
    assert found.weight > 0
    assert found.gain > ERRORS * found.error
    fresh = simulated(300, 0.5, seed=2)
    plain = right_answers(fresh, found.model_copy(update={"weight": 0.0}))
    assert right_answers(fresh, found) > plain + 30


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_a_prm_that_knows_nothing_costs_nothing(kind: Kind) -> None:
    for seed in range(8):
        found = fit(simulated(200, 0.0, seed=10 + seed), RULE, kind)
        fresh = simulated(300, 0.0, seed=30 + seed)
        plain = right_answers(fresh, found.model_copy(update={"weight": 0.0}))
        # of 300 questions no more than 1 % are lost, whatever was fitted to noise
        assert right_answers(fresh, found) >= plain - 3


def test_against_the_other_rules_on_worked_sums() -> None:
    """`tests.benchmarks.hybrid_votes` in small: 3 seeds x 50 questions. Its full run is over many seeds and graded PRMs."""
    random_prm, good_prm = summary(study(range(3), 100, error_rate=0.35, qualities=(0.0, 2.0)))
    assert random_prm["over_sc"] >= -0.02  # a PRM of noise costs nothing: 3 of 150 answers at most
    assert random_prm["over_bon"] > 0.1  # where Best-of-N loses much
    assert good_prm["over_sc"] > 0.1  # a good one is worth as much to it
    assert min(good_prm["over_bon"], good_prm["over_wsc"]) >= -0.02  # as to the rules that trust it blindly


def test_platt_finds_the_curve_that_made_the_data() -> None:
    chance = random.Random(3)
    scores = [chance.random() for _ in range(20_000)]
    right = [chance.random() < 1 / (1 + exp(-(3 * score - 1))) for score in scores]
    found = fit([Known("p", [0] * len(scores), scores, right)], RULE, "platt").curve
    assert isinstance(found, Platt)
    assert (found.slope, found.intercept) == (pytest.approx(3, abs=0.2), pytest.approx(-1, abs=0.1))


def test_the_isotonic_curve_is_made_of_pooled_shares() -> None:
    # Scores 0.1, 0.2, 0.3, 0.4 with verdicts wrong, right, wrong, right: 0.2 and 0.3 violate the order and share 1/2.
    found = fit([Known("p", [0] * 4, [0.1, 0.2, 0.3, 0.4], [False, True, False, True])], RULE, "isotonic").curve
    assert [probability(found, score) for score in (0.1, 0.2, 0.25, 0.3, 0.4)] == pytest.approx([0, 0.5, 0.5, 0.5, 1])


def test_scores_that_part_right_from_wrong_exactly_give_a_finite_slope() -> None:
    found = fit([Known("p", [0, 0], [0.2, 0.8], [False, True])], RULE, "platt")
    assert isinstance(found.curve, Platt)
    assert 0 < found.curve.slope < 10
    assert found.weight == 0  # one problem: nothing to choose a weight by


@pytest.mark.parametrize("right", [[True, True], [False, False], []])
def test_samples_of_one_kind_cannot_calibrate(right: list[bool]) -> None:
    with pytest.raises(InputError, match="both kinds, right and wrong") as caught:
        fit([Known("p", [0] * len(right), [0.5] * len(right), right)], RULE, "platt")
    assert caught.value.count == len(right)


def test_what_is_known_of_the_samples_of_a_dataset(grader: Grader) -> None:
    rest = {"seed": 0, "prompt": "?", "text": "t", "finish_reason": "eos", "grader": "g", "sampler": "s", "problem_id": "p"}
    graded = [("1/2", True, "rational"), ("0.5", True, "rational"), ("7", None, "timeout"), ("8", False, "rational")]
    solutions = TABLES["solutions"].frame(
        [
            {
                "solution_id": f"s{i}",
                "sample_index": i,
                "answer": a,
                "answer_source": "boxed",
                "correct": c,
                "grade_path": g,
                **rest,
            }
            for i, (a, c, g) in enumerate(graded)
        ]
    )
    scores = TABLES["step_scores"].frame(
        [
            {"solution_id": "s0", "step_index": step, "scorer": "x", "problem_id": "p", "reward": reward}
            for step, reward in enumerate((0.5, 0.25))
        ]
    )
    # The undecided one is left out; n = 4 takes sample 3 in, n = 2 does not. Only sample 0 is scored: least reward 0.25.
    (found,) = known(solutions, scores, Sampled("hybrid", 4, "min"), grader)
    assert (found.groups, found.scores, found.correct) == ([0, 0, 1], [0.25, None, None], [True, True, False])
    (found,) = known(solutions, scores, Sampled("hybrid", 2, "min"), grader)
    assert found.groups == [0, 0]
    with pytest.raises(InputError, match="both kinds"):
        calibrate(solutions, pl.DataFrame(schema=scores.schema), Sampled("hybrid", 4, "min"), grader, "platt")
