"""Step-DPO pairs: the first wrong step against the next step of a right solution, from the same prefix."""

import pytest

from fullstep_data.config import StepPairsConfig
from fullstep_data.stage import Context
from fullstep_data.step_pairs import step_pairs
from schemas import TABLES
from schemas.ids import content_id
from tests.fullstep_data.test_pairs import problem
from tests.fullstep_data.test_steps import solution

# Steps are single letters here, so a solution's text spells its steps; capital letters are never shared.
TREE = {
    "r1": (True, "abc", [0.9, 0.8, 0.9]),
    "r2": (True, "abd", [0.9, 0.8, 0.7]),
    "w1": (False, "abX", [0.9, 0.8, 0.2]),  # goes wrong after "ab"
    "w2": (False, "aYc", [0.9, 0.4, 0.1]),  # goes wrong after "a"
    "w3": (False, "abX", [0.9, 0.8, 0.2]),  # as w1: one pair for both
}


def select(answers, labels=None, prompts=None, finish_reasons=None, problems=("p",), **config):
    """answers: solution id -> (correct, steps as letters, rewards). labels: solution id -> labels (default: the outcome)."""
    rows, steps, scores, judged = [], [], [], []
    for index, (solution_id, (correct, text, rewards)) in enumerate(answers.items()):
        of_solution = {"problem_id": "p", "solution_id": solution_id}
        rows.append(
            {
                **solution(solution_id, text, "p"),
                "sample_index": index,
                "correct": correct,
                "answer": "1",
                "answer_source": "boxed",
                "grade_path": "timeout" if correct is None else "exact",
                "prompt": (prompts or {}).get(solution_id, "Q: "),
                "finish_reason": (finish_reasons or {}).get(solution_id, "eos"),
            }
        )
        for k, letter in enumerate(text):
            key = of_solution | {"step_index": k}
            prefix = content_id("p", text[: k + 1])
            steps.append(key | {"start": k, "stop": k + 1, "text": letter, "prefix_key": prefix})
            if rewards:
                scores.append(key | {"scorer": "prm", "reward": rewards[k]})
            if correct is not None:
                label = (labels or {}).get(solution_id, [correct] * len(text))[k]
                counts = {"n_rollouts": int(label is not None), "n_correct": int(bool(label)), "source": "outcome"}
                judged.append(key | counts | {"labeller": "l", "label": label, "value": None if label is None else float(label)})
    outcome = step_pairs(
        TABLES["problems"].frame([problem(problem_id) for problem_id in problems]),
        TABLES["solutions"].frame(rows),
        TABLES["steps"].frame(steps),
        TABLES["step_labels"].frame(judged),
        TABLES["step_scores"].frame(scores),
        Context(StepPairsConfig(**config), {}),
    )
    TABLES["step_pairs"].check(outcome.rows, "test")
    return outcome


def told(outcome):
    return [tuple(row.values()) for row in outcome.rows.select("prefix", "chosen", "rejected").to_dicts()]


def test_the_first_step_that_no_right_solution_takes_against_the_best_that_one_takes():
    """After "a" only b goes on to the answer; after "ab" c (0.9) is preferred to d (0.7). w3 repeats w1."""
    outcome = select(TREE)
    assert told(outcome) == [("a", "b", "Y"), ("ab", "c", "X")]
    last = outcome.rows.row(1, named=True)
    assert (last["chosen_id"], last["step_index"], last["policy"]) == ("r1", 2, "label-top16")
    assert (last["chosen_score"], last["rejected_score"]) == (pytest.approx(0.9), pytest.approx(0.2))
    assert last["margin"] == pytest.approx(0.7)
    assert outcome.rejects.is_empty()


def test_labels_say_where_a_solution_goes_wrong():
    """Monte-Carlo labels found a way on from "aY" (label 1): c after it is the first wrong step, and nobody right goes there."""
    outcome = select({name: TREE[name] for name in ("r1", "w2")}, labels={"w2": [True, True, False]})
    assert told(outcome) == []
    reasons = outcome.rejects["reason"].to_list()
    assert reasons == ["no correct solution begins as one does before its first wrong step"]


def test_open_labels_are_not_wrong():
    outcome = select({name: TREE[name] for name in ("r1", "w1")}, labels={"w1": [True, True, None]})
    assert outcome.rejects["reason"].to_list() == ["no wrong step"]


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.5, [("a", "b", "Y"), ("ab", "c", "X")]),
        (0.3, [("ab", "c", "X")]),  # Y has 0.4, so w2's first wrong step is c, after "aY", where no right solution goes
    ],
)
def test_wrong_by_score(threshold, expected):
    outcome = select(TREE, wrong={"kind": "score", "threshold": threshold})
    assert told(outcome) == expected
    assert set(outcome.rows["policy"]) == {f"score{threshold}-top16"}


def test_a_step_of_a_right_solution_is_never_wrong():
    """The scorer dislikes "a", but r1 takes it too; the pair is at the second step."""
    outcome = select({"r1": (True, "ab", [0.1, 0.9]), "w1": (False, "aX", [0.1, 0.2])}, wrong={"kind": "score"})
    assert told(outcome) == [("a", "b", "X")]


def test_without_scores_there_is_no_margin():
    outcome = select({"r1": (True, "a", None), "w1": (False, "X", None)})
    assert told(outcome) == [("", "a", "X")]
    assert outcome.rows.select("chosen_score", "rejected_score", "margin").row(0) == (None, None, None)


def test_top_keeps_the_widest_margins():
    """Margins: Y 0.8 - 0.4 = 0.4, X 0.9 - 0.2 = 0.7."""
    assert told(select(TREE, top=1)) == [("ab", "c", "X")]


def test_steps_of_different_prompts_do_not_meet():
    outcome = select({"r1": (True, "a", [1.0]), "w1": (False, "X", [0.0])}, prompts={"w1": "Other: "})
    assert told(outcome) == []


def test_finished_says_whether_the_end_token_follows():
    """r1 goes on after its first step; w1 ends with its own; w2 was cut at the limit."""
    answers = {"r1": (True, "ab", [0.9, 0.9]), "w1": (False, "X", [0.1]), "w2": (False, "Y", [0.1])}
    rows = select(answers, finish_reasons={"w2": "length"}).rows
    ends = {row["rejected"]: (row["chosen_finished"], row["rejected_finished"]) for row in rows.to_dicts()}
    assert ends == {"X": (False, True), "Y": (False, False)}


def test_prefixes_are_cut_by_characters():
    outcome = select({"r1": (True, "é👩b", [0.9] * 3), "w1": (False, "é👩X", [0.1] * 3)})
    assert told(outcome) == [("é👩", "b", "X")]


def test_problems_without_a_pair_say_why():
    empty = select({}, problems=("p",))
    assert empty.rejects.select("table", "key", "reason").rows() == [("problems", "p", "no usable solution")]
    assert select({"w": (False, "X", [0.1])}).rejects["reason"].to_list() == ["no correct solution"]
    assert select({"r": (True, "a", [0.1])}).rejects["reason"].to_list() == ["no incorrect solution"]
    assert select({"r": (None, "a", [0.1])}).rejects["reason"].to_list() == ["no usable solution"]
