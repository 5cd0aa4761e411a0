"""step_scores: one reward per step, solutions with a common prompt scored together, refusals counted step by step."""

from fullstep_data.config import StepsConfig
from fullstep_data.stage import Context
from fullstep_data.step_scores import labels_as_rewards, public_step_scores, step_scores
from fullstep_data.steps import steps
from schemas import TABLES
from tests.fullstep_data.test_pairs import problem
from tests.fullstep_data.test_steps import solution


class LengthScorer:
    """Rewards a step by where it ends; refuses texts that hold the word `long`. Keeps what it was asked."""

    identity = "length"

    def __init__(self):
        self.asked = []

    def score(self, groups, tick):
        self.asked = groups
        tick(1, 1)
        return [
            [
                "longer than the context"
                if "long" in request.text
                else [stop / (1 + len(request.text)) for stop in request.stops]
                for request in group
            ]
            for group in groups
        ]


SOLUTIONS = TABLES["solutions"].frame(
    [
        {**solution("a", "one\ntwo"), "sample_index": 0},
        {**solution("b", "a long\none"), "sample_index": 1},
        {**solution("c", "three"), "sample_index": 2, "prompt": "other"},
        {**solution("d", "four", "q"), "finish_reason": "length"},
        {**solution("e", " "), "sample_index": 3},
    ]
)
STEPS = steps(SOLUTIONS, Context(StepsConfig(splitter="newline"), {})).rows


def test_rewards_and_rejects_cover_every_step():
    outcome = step_scores(SOLUTIONS, STEPS, Context(None, {"scorer": LengthScorer()}))
    rows = TABLES["step_scores"].check(outcome.rows, "test")
    # "one\ntwo": steps end at 4 and 7 of 7 characters -> 4/8, 7/8; "three" 5/6; "four" 4/5
    rewards = {(row["solution_id"], row["step_index"]): round(row["reward"], 4) for row in rows.to_dicts()}
    assert rewards == {("a", 0): 0.5, ("a", 1): 0.875, ("c", 0): 0.8333, ("d", 0): 0.8}
    assert outcome.rejects.select("table", "key", "reason").rows() == [
        ("steps", "b/0", "longer than the context"),
        ("steps", "b/1", "longer than the context"),
    ]


def test_groups_share_problem_and_prompt_and_cut_texts_are_unfinished():
    scorer = LengthScorer()
    ticks = []
    step_scores(SOLUTIONS, STEPS, Context(None, {"scorer": scorer}, tick=lambda done, total: ticks.append((done, total))))
    assert [[request.text for request in group] for group in scorer.asked] == [["one\ntwo", "a long\none"], ["three"], ["four"]]
    assert [request.finished for group in scorer.asked for request in group] == [True, True, True, False]
    assert ticks == [(1, 1)]


def test_a_public_prm_is_asked_about_the_question():
    scorer = LengthScorer()
    problems = TABLES["problems"].frame([problem("p"), problem("q")])
    public = public_step_scores(SOLUTIONS, STEPS, problems, Context(None, {"scorer": scorer}))
    assert {request.question for group in scorer.asked for request in group} == {"question p", "question q"}
    assert scorer.asked[0][0].steps == ["one", "two"]
    assert public.rows.equals(step_scores(SOLUTIONS, STEPS, Context(None, {"scorer": scorer})).rows)
    assert {request.question for group in scorer.asked for request in group} == {""}


def test_labels_stand_in_for_a_prm_and_open_ones_are_rejects():
    """Soft value 0.25; a hard label without a value (stopped early) is 1.0; an open label has no reward."""
    label = {"solution_id": "a", "labeller": "monte-carlo", "problem_id": "p", "n_rollouts": 4, "source": "monte-carlo"}
    rows = [
        {**label, "step_index": 0, "n_correct": 1, "label": True, "value": 0.25},
        {**label, "step_index": 1, "n_correct": 1, "label": True},
        {**label, "step_index": 2, "n_correct": 0, "reason": "budget spent"},
    ]
    outcome = labels_as_rewards(TABLES["step_labels"].frame(rows), Context(None, {}))
    assert outcome.rows.select("step_index", "scorer", "reward").rows() == [(0, "monte-carlo", 0.25), (1, "monte-carlo", 1.0)]
    assert outcome.rejects.select("key", "reason", "detail").rows() == [("a/2", "label is open", "budget spent")]
