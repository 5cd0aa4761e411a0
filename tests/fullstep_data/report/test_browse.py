from typing import Any

import pytest

from fullstep_data.report.browse import browse
from fullstep_data.report.queries import prepare
from tests.fullstep_data.report.conftest import Connected

PROBLEMS = [{"problem_id": name, "question": f"{name}?", "answer": "1", "split": "train"} for name in ("q", "p", "r")]
# p has three solutions: 0 and 2 make a pair, 1 does not.
SOLUTIONS = [
    {"solution_id": f"p{index}", "problem_id": "p", "sample_index": index, "correct": index == 2, "text": f"text {index}"}
    for index in range(3)
]
SCORES = [
    {"solution_id": f"p{index}", "problem_id": "p", "step_index": step, "reward": reward}
    for index, rewards in enumerate(((0.2, 0.4), (0.9, 0.9), (0.6, 0.8)))
    for step, reward in enumerate(rewards)
]
STEPS = [
    {"solution_id": f"p{index}", "problem_id": "p", "step_index": step, "text": f"step {step}"}
    for index in range(2)
    for step in range(2)
]
PAIRS = [
    {
        "pair_id": "1",
        "problem_id": "p",
        "chosen_id": "p2",
        "rejected_id": "p0",
        "margin": 0.4,
        "chosen_score": 0.7,
        "rejected_score": 0.3,
    }
]


@pytest.fixture
def connection(connected: Connected) -> Any:
    made = connected(problems=PROBLEMS, solutions=SOLUTIONS, step_scores=SCORES, steps=STEPS, pairs=PAIRS)
    prepare(made, "mean")
    return made


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ({"source": "outcome", "label": True, "n_rollouts": 1, "n_correct": 1}, None),
        ({"source": "monte-carlo", "label": True, "n_rollouts": 8, "n_correct": 3}, "3/8"),
        ({"source": "monte-carlo", "label": False}, "label 0"),  # a file that does not say how many there were
        ({"source": "human", "label": True, "value": 1.0}, "label 1"),
        ({"source": "judge", "label": True, "value": 0.75}, "label 1, 0.75"),
        ({"source": "judge", "label": None, "reason": "unclear"}, "open"),
    ],
)
def test_a_label_is_told_where_it_says_more_than_the_verdict(connected: Connected, label: dict[str, Any], said: str | None):
    labels = [{"solution_id": "p0", "problem_id": "p", "step_index": 0, "labeller": "one", **label}]
    made = connected(problems=PROBLEMS, solutions=SOLUTIONS, steps=STEPS, step_labels=labels)
    prepare(made, "mean")
    (solution,) = [one for one in browse(made, problems=1).details[0]["solutions"] if one["sample"] == 0]
    assert solution["steps"][0] == ["step 0", None, said]


def test_a_problem_without_pairs_says_why(connected: Connected):
    dropped = [{"stage": "pairs", "table": "problems", "key": "p", "reason": "no correct solution"}]
    made = connected(problems=PROBLEMS, solutions=SOLUTIONS, rejects=dropped)
    prepare(made, "mean")
    assert [row["reason"] for row in browse(made, problems=2).index] == ["no correct solution", None]


def test_the_sample_is_the_first_problems_by_id(connection: Any):
    book = browse(connection, problems=2)
    assert [row["id"] for row in book.index] == ["p", "q"]
    assert (book.total, len(book.details), book.cut) == (3, 2, 0)


def test_no_problem_at_all_may_be_asked_for(connection: Any):
    book = browse(connection, problems=0)
    assert (book.index, book.details, book.total) == ([], [], 3)


def test_the_index_says_what_the_filters_ask(connection: Any):
    first, second, _ = browse(connection, problems=3).index
    told = {name: first[name] for name in ("solutions", "right_ones", "wrong_ones", "lowest", "pairs", "widest")}
    assert told == {"solutions": 3, "right_ones": 1, "wrong_ones": 2, "lowest": 0.2, "pairs": 1, "widest": 0.4}
    assert (second["solutions"], second["lowest"], second["pairs"]) == (0, None, 0)


def test_solutions_stand_by_score_and_pairs_point_at_them(connection: Any):
    found = browse(connection, problems=1).details[0]
    # Means: p0 .3, p1 .9, p2 .7; so the places are p1, p2, p0.
    assert [(one["sample"], one["score"]) for one in found["solutions"]] == [(1, 0.9), (2, 0.7), (0, 0.3)]
    assert found["pairs"] == [[1, 2, 0.7, 0.3, 0.4]]
    # p2 was not cut into steps: its text stands for them.
    assert [one.get("steps") for one in found["solutions"]] == [
        [["step 0", 0.9, None], ["step 1", 0.9, None]],
        None,
        [["step 0", 0.2, None], ["step 1", 0.4, None]],
    ]
    assert found["solutions"][1]["text"] == "text 2"


def test_solutions_in_pairs_are_taken_first(connection: Any):
    book = browse(connection, problems=3, solutions=2)
    assert [one["sample"] for one in book.details[0]["solutions"]] == [2, 0]
    assert book.cut == 1


def test_a_pair_whose_solution_is_left_out_is_left_out(connection: Any):
    assert browse(connection, problems=3, solutions=1).details[0]["pairs"] == []


@pytest.mark.parametrize(("source", "shown"), [("monte-carlo", "3/8"), ("outcome", None)])
def test_counts_of_rollouts_are_shown_where_there_were_some(connected: Connected, source: str, shown: str | None):
    label: dict[str, Any] = {"solution_id": "p0", "problem_id": "p", "step_index": 0, "n_rollouts": 8, "n_correct": 3}
    made = connected(problems=PROBLEMS, solutions=SOLUTIONS, steps=STEPS, step_labels=[{**label, "source": source}])
    prepare(made, "mean")
    by_sample = {one["sample"]: one for one in browse(made, problems=1).details[0]["solutions"]}
    assert by_sample[0]["steps"] == [["step 0", None, shown], ["step 1", None, None]]
