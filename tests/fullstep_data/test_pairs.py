"""Selection: top-T correct × bottom-T incorrect by the aggregated reward, ties by a stable hash, every problem accounted for."""

import hashlib
import operator
import random
from functools import reduce
from typing import Literal

import polars as pl
import pytest

from fullstep_data.config import PairsConfig
from fullstep_data.consensus import DISAGREE
from fullstep_data.pairs import agreed_pairs, pairs, pairs_by_steps, scored
from fullstep_data.pipeline import stages_of
from fullstep_data.stage import Context
from schemas import TABLES
from schemas.ids import content_id
from tests.fullstep_data.test_config import recipe
from tests.fullstep_data.test_steps import solution


def problem(problem_id: str) -> dict[str, object]:
    return {
        "problem_id": problem_id,
        "question": f"question {problem_id}",
        "answer": "1",
        "source": "test",
        "split": "train",
        "domain": "math",
    }


def given(answers: dict[str, tuple[str, bool | None, list[float]]], texts: dict[str, str] | None = None):
    """Problems, solutions and scores. answers: solution id -> (problem, correct, step rewards)."""
    rows, scores = [], []
    for index, (solution_id, (problem_id, correct, rewards)) in enumerate(answers.items()):
        rows.append(
            {
                **solution(solution_id, (texts or {}).get(solution_id, f"text {solution_id}"), problem_id),
                "sample_index": index,
                "answer": "1",
                "answer_source": "boxed",
                "correct": correct,
                "grade_path": "timeout" if correct is None else "exact",
            }
        )
        scores += [
            {"solution_id": solution_id, "step_index": k, "scorer": "prm", "problem_id": problem_id, "reward": reward}
            for k, reward in enumerate(rewards)
        ]
    problems = sorted({problem_id for problem_id, _, _ in answers.values()} | {"empty"})
    frames = {"problems": [problem(problem_id) for problem_id in problems], "solutions": rows, "step_scores": scores}
    return [TABLES[name].frame(made) for name, made in frames.items()]


def select(answers: dict[str, tuple[str, bool | None, list[float]]], texts: dict[str, str] | None = None, **config):
    outcome = pairs(*given(answers, texts), Context(PairsConfig(**config), {}))
    TABLES["pairs"].check(outcome.rows, "test")
    return outcome


def chosen_rejected(outcome):
    return list(outcome.rows.select("chosen_id", "rejected_id").iter_rows())


GROUP = {
    "w1": ("p", True, [0.5, 0.75]),  # mean .625 min .5 product .375 last .75
    "w2": ("p", True, [1.0, 0.25]),  # mean .625 min .25 product .25 last .25
    "w3": ("p", True, [0.75, 0.125]),  # mean .4375 min .125 product .09375 last .125
    "l1": ("p", False, [0.25, 0.5]),  # mean .375 min .25 product .125 last .5
    "l2": ("p", False, [0.875, 0.125]),  # mean .5 min .125 product .109375 last .125
    "l3": ("p", False, [0.5, 0.375]),  # mean .4375 min .375 product .1875 last .375
}


@pytest.mark.parametrize(
    ("score", "chosen", "rejected", "margin"),
    [
        ("min", ["w1", "w2"], ["l2", "l1"], 0.5 - 0.125),
        ("product", ["w1", "w2"], ["l2", "l1"], 0.375 - 0.109375),
        ("last", ["w1", "w2"], ["l2", "l3"], 0.75 - 0.125),
    ],
)
def test_top_correct_against_lowest_incorrect(score, chosen, rejected, margin):
    outcome = select(GROUP, top=2, score=score)
    assert chosen_rejected(outcome) == [(best, worst) for best in chosen for worst in rejected]
    first = outcome.rows.row(0, named=True)
    assert first["margin"] == pytest.approx(margin, abs=1e-12)
    assert (first["chosen_rank"], first["rejected_rank"], first["policy"]) == (0, 0, f"{score}-top2")


def test_a_tie_goes_by_the_hash_of_the_id():
    # w1 and w2 both have mean .625; the smaller md5 comes first
    first = min(("w1", "w2"), key=lambda name: hashlib.md5(name.encode()).hexdigest())
    assert chosen_rejected(select(GROUP, top=1, score="mean")) == [(first, "l1")]


def test_a_tie_over_the_last_place_goes_by_the_hash_too():
    # "b" .9 is the first; "a", "c", "d", "e" share .5, and only the two of the smallest md5 find a place
    answers = {name: ("p", True, [0.9 if name == "b" else 0.5]) for name in "abcde"} | {"l": ("p", False, [0.5])}
    tied = sorted("acde", key=lambda name: hashlib.md5(name.encode()).hexdigest())
    assert chosen_rejected(select(answers, top=3)) == [(name, "l") for name in ("b", *tied[:2])]


def test_sums_go_in_the_order_of_the_steps():
    # in this order the small ones are lost one by one: ((1 + 2**-53) + 2**-53) = 1, while 2**-53 + 2**-53 + 1 > 1
    small = 2.0**-53
    answers = {"w": ("p", True, [1.0, small, small]), "v": ("p", True, [small, small, 1.0]), "l": ("p", False, [0.0])}
    scores = dict(select(answers).rows.select("chosen_id", "chosen_score").iter_rows())
    assert scores == {"w": 1.0 / 3, "v": (1.0 + 2**-52) / 3}
    assert scores["v"] > scores["w"]


@pytest.mark.parametrize(("score", "takes_in"), [("mean", operator.add), ("min", min), ("product", operator.mul)])
def test_solutions_of_any_length_are_scored_step_by_step(score, takes_in):
    chance = random.Random(7)
    rewards = {f"s{place}": [chance.uniform(0.9, 1) for _ in range(length)] for place, length in enumerate((1, 40, 3, 9, 40, 2))}
    steps = given({name: ("p", True, values) for name, values in rewards.items()})[2]
    found = scored(steps, PairsConfig(score=score))
    told = {name: reduce(takes_in, steps.filter(solution_id=name)["reward"].to_list()) for name in rewards}
    if score == "mean":
        told = {name: total / len(rewards[name]) for name, total in told.items()}
    assert dict(found.select("solution_id", "score").iter_rows()) == told
    assert scored(steps.clear(), PairsConfig(score=score)).height == 0


def test_the_default_is_the_papers_four_by_four():
    answers = {f"{kind}{index}": ("p", kind == "w", [index / 10]) for kind in "wl" for index in range(6)}
    outcome = select(answers)
    assert outcome.rows.height == 16
    assert set(outcome.rows["chosen_id"]) == {"w5", "w4", "w3", "w2"}
    assert set(outcome.rows["rejected_id"]) == {"l0", "l1", "l2", "l3"}


def test_random_is_fixed_by_its_seed_and_ignores_rewards():
    same = {name: ("p", correct, [0.5]) for name, (_, correct, _) in GROUP.items()}
    picks = {seed: chosen_rejected(select(GROUP, top=1, score="random", seed=seed)) for seed in range(8)}
    assert chosen_rejected(select(same, top=1, score="random", seed=3)) == picks[3]
    assert len({tuple(pick) for pick in picks.values()}) > 2
    assert select(GROUP, top=1, score="random", seed=3).rows["policy"].to_list() == ["random-top1-seed3"]


def test_duplicates_lose_to_the_first_copy_and_are_counted():
    outcome = select(GROUP, texts={"w1": "same", "w2": "same"}, top=4, score="mean")
    assert set(outcome.rows["chosen_id"]) == {"w1", "w3"}
    assert ("solutions", "w2", "duplicate text") in outcome.rejects.select("table", "key", "reason").rows()


def test_every_problem_without_pairs_says_why():
    outcome = select(
        {
            "a": ("right", True, [0.5]),
            "b": ("wrong", False, [0.5]),
            "c": ("open", None, [0.5]),
            "d": ("unscored", True, []),
            "e": ("unscored", False, [0.5]),
        }
    )
    reasons = dict(outcome.rejects.select("key", "reason").iter_rows())
    assert reasons == {
        "right": "no incorrect solution",
        "wrong": "no correct solution",
        "open": "no usable solution",
        "unscored": "no correct solution",
        "empty": "no solutions",
        "c": "outcome undecided",
        "d": "not scored",
    }
    assert outcome.rows.is_empty()


@pytest.mark.parametrize("score", ["mean", "min", "product", "last", "random"])
def test_the_order_of_the_rows_decides_nothing(score):
    frames = given(GROUP, texts={"w3": "same", "l2": "same"})
    shuffled = [frame.sample(fraction=1, shuffle=True, seed=5) for frame in frames]
    for mixed in ((*frames[:2], shuffled[2]), shuffled, [frame.reverse() for frame in frames]):
        one, other = (pairs(*some, Context(PairsConfig(score=score, top=2), {})) for some in (frames, mixed))
        assert one.rows.equals(other.rows)
        assert one.rejects.sort("key").equals(other.rejects.sort("key"))


def test_equal_texts_of_different_problems_are_no_copies():
    answers = {"w": ("p", True, [0.5]), "l": ("p", False, [0.5]), "v": ("q", True, [0.5]), "m": ("q", False, [0.5])}
    outcome = select(answers, texts={"w": "same", "v": "same"})
    assert chosen_rejected(outcome) == [("w", "l"), ("v", "m")]


def test_a_reward_of_zero_is_a_score():
    outcome = select({"w": ("p", True, [0.0, 0.0]), "l": ("p", False, [0.0])})
    assert chosen_rejected(outcome) == [("w", "l")]
    assert outcome.rows["margin"].to_list() == [0.0]


def test_pair_ids_name_the_pair_and_the_policy():
    row = select({"w": ("p", True, [1.0]), "l": ("p", False, [0.0])}, top=1).rows.row(0, named=True)
    assert row["pair_id"] == content_id("pair", "w", "l", "mean-top1")


def test_solutions_that_the_labellers_dispute_are_left_out_where_that_is_asked_for():
    """l1 is disputed: of the wrong, l2 (.5) and l3 (.4375) are left, and l3 is the lowest."""
    rows = [
        {
            "solution_id": name,
            "step_index": 0,
            "labeller": "consensus",
            "problem_id": "p",
            "n_rollouts": 4,
            "n_correct": 0,
            "label": None if reason else False,
            "source": "consensus",
            "reason": reason,
        }
        for name, reason in (("l1", DISAGREE), ("l2", None), ("l3", None))
    ]
    problems, solutions, scores = given(GROUP)
    labels = TABLES["step_labels"].frame(rows)
    outcome = agreed_pairs(problems, solutions, scores, labels, Context(PairsConfig(top=1, agreed=True), {}))
    assert outcome.rows["rejected_id"].to_list() == ["l3"]
    assert ("solutions", "l1", "labellers disagree") in outcome.rejects.select("table", "key", "reason").rows()
    assert outcome.rows["policy"].to_list() == ["mean-top1-agreed"]
    assert select(GROUP, top=1).rows["rejected_id"].to_list() == ["l1"]


def test_pairs_that_are_too_close_are_left_out_and_their_problem_says_so() -> None:
    """Problem p: 0.9 and 0.5 right, 0.4 wrong: margins 0.5 and 0.1. Problem q: 0.6 right, 0.5 wrong."""
    answers = {
        "a": ("p", True, [0.9]),
        "b": ("p", True, [0.5]),
        "c": ("p", False, [0.4]),
        "d": ("q", True, [0.6]),
        "e": ("q", False, [0.5]),
    }
    outcome = select(answers, min_margin=0.2)
    assert chosen_rejected(outcome) == [("a", "c")]
    assert outcome.rows["policy"].unique().to_list() == ["mean-top4-margin0.2"]
    assert ("q", "no pair with such a margin") in outcome.rejects.select("key", "reason").rows()
    assert len(chosen_rejected(select(answers))) == 3


def test_diverse_takes_the_rarest_right_way_and_the_most_usual_wrong_one() -> None:
    """Five distinct solutions. Step x is taken by a, b, d; y by a; z by b, c; u by c; w by d, e; v by e.

    Rarity of a: (2/5 + 4/5) / 2 = .6, of b and d: (2/5 + 3/5) / 2 = .5, of c and e: (3/5 + 4/5) / 2 = .7. The rewards say the
    opposite. f is a copy of a.
    """
    ways = {"a": "xy", "b": "xz", "c": "zu", "d": "xw", "e": "wv", "f": "xy"}
    rewards = {"a": 0.8, "b": 0.9, "c": 0.1, "d": 0.9, "e": 0.1, "f": 0.8}
    right = {"a", "b", "c", "f"}
    answers = {key: ("p", key in right, [rewards[key]] * 2) for key in ways}
    frames = given(answers, ways)
    steps = pl.DataFrame(
        [{"solution_id": key, "step_index": index, "text": step} for key, way in ways.items() for index, step in enumerate(way)]
    )
    outcome = pairs_by_steps(*frames, steps, Context(PairsConfig(score="diverse", top=1), {}))
    TABLES["pairs"].check(outcome.rows, "test")
    row = outcome.rows.row(0, named=True)
    assert (row["chosen_id"], row["rejected_id"], row["policy"]) == ("c", "d", "diverse-top1")
    assert (row["chosen_score"], row["rejected_score"]) == (pytest.approx(0.7), pytest.approx(0.5))
    assert chosen_rejected(select(answers, ways, top=1)) == [("b", "e")]


def test_usual_takes_the_way_that_most_right_samples_take() -> None:
    """Four right samples, of which a and f are copies. Step x is taken by a, b, f; y by a, f; z by b, c; u by c; w, v by none.

    Least usual step of a: 2/4, of b: 2/4, of c: 1/4; of the wrong d (x, then w) and e (w, then v): 0. The rewards say c.
    """
    ways = {"a": "xy", "b": "xz", "c": "zu", "d": "xw", "e": "wv", "f": "xy"}
    right = {"a", "b", "c", "f"}
    answers = {key: ("p", key in right, [0.9 if key == "c" else 0.1] * 2) for key in ways}
    frames = given(answers, ways)
    steps = pl.DataFrame(
        [{"solution_id": key, "step_index": index, "text": step} for key, way in ways.items() for index, step in enumerate(way)]
    )

    def taken(**config: object):
        return pairs_by_steps(*frames, steps, Context(PairsConfig(score="usual", **config), {}))  # type: ignore[arg-type]

    rows = taken().rows
    assert dict(rows.select("chosen_id", "chosen_score").unique().rows()) == {"a": 0.5, "b": 0.5, "c": 0.25}
    assert set(rows["rejected_score"]) == {0.0}
    assert set(rows["policy"]) == {"usual-top4"}
    some = taken(min_score=0.3)
    assert set(some.rows["chosen_id"]) == {"a", "b"}
    assert set(some.rows["rejected_id"]) == {"d", "e"}
    assert set(some.rows["policy"]) == {"usual-top4-least0.3"}
    assert ("c", "score below min_score") in some.rejects.select("key", "reason").rows()
    none = taken(min_score=0.6)
    assert none.rows.is_empty()
    assert ("p", "no correct solution of such a score") in none.rejects.select("key", "reason").rows()


def test_least_score_is_asked_of_right_solutions_by_any_score() -> None:
    answers = {"a": ("p", True, [0.9, 0.2]), "b": ("p", True, [0.5, 0.5]), "c": ("p", False, [0.1, 0.1])}
    assert chosen_rejected(select(answers, score="min", min_score=0.3)) == [("b", "c")]
    assert len(chosen_rejected(select(answers, score="min"))) == 2


def test_copies_compete_where_they_are_asked_to() -> None:
    answers = {"a": ("p", True, [0.9]), "b": ("p", True, [0.9]), "c": ("p", False, [0.1])}
    texts = {"a": "one", "b": "one", "c": "two"}
    assert chosen_rejected(select(answers, texts)) == [("a", "c")]
    both = select(answers, texts, copies=True)
    assert sorted(chosen_rejected(both)) == [("a", "c"), ("b", "c")]
    assert set(both.rows["policy"]) == {"mean-top4-copies"}


@pytest.mark.parametrize("score", ["diverse", "usual", "mean"])
def test_a_build_hands_the_steps_to_scores_that_look_at_them(score: str) -> None:
    (stage,) = [stage for stage in stages_of(recipe(pairs={"score": score})) if stage.name == "pairs"]
    by_steps = score != "mean"
    assert ("steps" in [read.table for read in stage.reads]) == by_steps
    assert stage.run is (pairs_by_steps if by_steps else pairs)


@pytest.mark.parametrize("score", ["diverse", "usual"])
def test_scores_by_steps_and_agreed_are_not_asked_for_together(score: Literal["diverse", "usual"]) -> None:
    with pytest.raises(ValueError, match="do not go together"):
        PairsConfig(score=score, agreed=True)
