"""The views on labels, on eleven steps of two problems, counted by hand."""

from typing import Any

import duckdb
import polars as pl
import pytest

from fullstep_data.store import Version
from fullstep_data.store.label_health import LABEL_HEALTH, MAIN_LABELLER
from fullstep_data.store.views import join_statements, statements
from schemas import TABLES

# solution: (problem, text, correct, labels of its steps)
SOLUTIONS: dict[str, tuple[str, str, bool | None, tuple[bool | None, ...]]] = {
    "a": ("mixed", "one", True, (True, True)),
    "b": ("mixed", "two", True, (True, False)),  # a right answer through a step labelled wrong
    "c": ("mixed", "one", True, (True, True)),  # the text of a
    "d": ("mixed", "three", False, (True, False, None)),
    "e": ("hard", "four", False, (False,)),
    "f": ("hard", "four", None, (None,)),  # could not be graded
}
LABELLER = "monte-carlo n=4 first-error"


@pytest.fixture
def connection() -> Any:
    solution = {"seed": 0, "prompt": "p", "finish_reason": "eos", "answer": "5", "answer_source": "boxed", "grader": "g"}
    solutions: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []
    for number, (key, (problem, text, correct, values)) in enumerate(SOLUTIONS.items()):
        path = "exact" if correct is not None else "timeout"
        ids = {"solution_id": key, "problem_id": problem}
        solutions.append(
            {**solution, **ids, "sample_index": number, "text": text, "correct": correct, "grade_path": path, "sampler": "s"}
        )
        for index, label in enumerate(values):
            steps.append(
                {**ids, "step_index": index, "start": index, "stop": index + 1, "text": "x", "prefix_key": f"{key}{index}"}
            )
            reason = None if label is not None else "after the first error"
            reward = 0.5 if label is None else 0.9 * label
            scores.append({**ids, "step_index": index, "scorer": "prm", "reward": reward})
            labels.append(
                {
                    **ids,
                    "step_index": index,
                    "labeller": LABELLER,
                    "n_rollouts": 4,
                    "n_correct": int(bool(label)),
                    "label": label,
                    "source": "monte-carlo",
                    "reason": reason,
                }
            )
    tables = {"solutions": solutions, "steps": steps, "step_labels": labels, "step_scores": scores}
    with duckdb.connect() as opened:
        for name, rows in tables.items():
            opened.register(name, TABLES[name].frame(rows))
        for name, body in LABEL_HEALTH.items():
            opened.execute(f"CREATE VIEW {name} AS {body}")
        yield opened


def rows(connection: Any, text: str) -> list[tuple[Any, ...]]:
    return connection.execute(text).fetchall()


def test_agreement_by_position(connection: Any) -> None:
    # Position 0 (f is not graded): a, b, c agree, d does not, e does: 4/5; of the wrong d and e one is labelled right.
    # Position 1: a and c agree, b does not, d does: 3/4. Position 2: nothing is labelled.
    assert rows(connection, "FROM label_agreement") == [
        (LABELLER, 0, 5, 5, 0.8, 1.0, 0.5),
        (LABELLER, 1, 4, 4, 0.75, pytest.approx(2 / 3), 0.0),
        (LABELLER, 2, 1, 0, None, None, None),
    ]


def test_right_answers_through_steps_labelled_wrong(connection: Any) -> None:
    assert rows(connection, "SELECT problem_id, solution_id, step_index, n_rollouts, n_correct FROM doubted_right_answers") == [
        ("mixed", "b", 1, 4, 0)
    ]


def test_balance_and_open_labels(connection: Any) -> None:
    # Eleven steps: right a0 a1 b0 c0 c1 d0 = 6; wrong b1 d1 e0 = 3; open d2 f0 = 2. Of nine labelled 6/9 are right.
    assert rows(connection, "FROM label_balance") == [(LABELLER, "monte-carlo", 11, 6, 3, 2, pytest.approx(6 / 9), None)]
    assert rows(connection, "FROM open_labels") == [(LABELLER, "after the first error", 2)]


def test_equal_solutions_and_outcomes_of_problems(connection: Any) -> None:
    assert rows(connection, "FROM equal_solutions ORDER BY problem_id") == [
        ("hard", "four", 2, False, ["e", "f"]),
        ("mixed", "one", 2, True, ["a", "c"]),
    ]
    assert rows(connection, "FROM problem_outcomes ORDER BY problem_id") == [
        ("hard", 2, 0, 1, "all wrong", 1, 1),
        ("mixed", 4, 3, 1, "mixed", 3, 1),
    ]


def test_where_the_lowest_reward_is(connection: Any) -> None:
    # More than one step: a and c (0.9 twice: the first of equals counts), b (0 at its end), d (0.9, 0, 0.5). a, b, c are right.
    assert rows(connection, "FROM lowest_is_last") == [("prm", False, 1, 0.0), ("prm", True, 3, pytest.approx(1 / 3))]


def test_every_version_has_the_views(dataset: Version) -> None:
    text = "\n".join([*statements(dataset, str), *join_statements()])
    assert all(f"VIEW {name} AS" in text for name in LABEL_HEALTH)
    with duckdb.connect() as opened:
        opened.execute(text)
        ((problems,),) = opened.execute("SELECT count(*) FROM problem_outcomes").fetchall()
        assert problems == dataset.frame("solutions")["problem_id"].n_unique()


def test_of_several_labellers_the_one_that_says_most_is_shown_and_a_judge_last(connection: Any) -> None:
    frame = connection.sql("FROM step_labels").pl()
    more = {"label": True, "reason": None}
    judge = frame.with_columns(labeller=pl.lit("a judge"), source=pl.lit("judge"), **{k: pl.lit(v) for k, v in more.items()})
    connection.register("step_labels", pl.concat([frame, judge.cast(frame.schema)]))
    assert rows(connection, MAIN_LABELLER) == [("a judge",)]  # eleven labels against nine
    outcome = judge.with_columns(labeller=pl.lit("b"), source=pl.lit("outcome"))
    connection.register("step_labels", pl.concat([frame, judge.cast(frame.schema), outcome.cast(frame.schema)]))
    assert rows(connection, MAIN_LABELLER) == [("b",)]


def test_consensus_of_two_labellers(connection: Any) -> None:
    # A judge that finds all steps right: of the four solutions whose first error the labels tell (f is open), a and c are right
    # all through; b, d and e have an error that it missed.
    frame = connection.sql("FROM step_labels").pl()
    judge = frame.with_columns(labeller=pl.lit("judge"), source=pl.lit("judge"), label=pl.lit(value=True), reason=None)
    both = pl.concat([frame, judge.cast(frame.schema)])
    consensus = judge.with_columns(labeller=pl.lit("consensus"), source=pl.lit("consensus")).cast(frame.schema)
    connection.register("step_labels", pl.concat([both, consensus]))
    assert rows(connection, "SELECT solution_id, agree, keep, other_first_error FROM label_consensus ORDER BY ALL") == [
        ("a", True, True, -1),
        ("b", False, False, 1),
        ("c", True, True, -1),
        ("d", False, False, 1),
        ("e", False, False, 0),
        ("f", None, False, None),
    ]
