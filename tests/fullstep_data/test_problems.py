"""Every record of a source ends in rows or rejects; duplicates, unusable golds and splits go where the contract says."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fullstep_data.config import AuditConfig, Columns, FileSource, GivenSolutions, ProblemsToSolve
from fullstep_data.problems import problems
from fullstep_data.stage import Context, Outcome
from schemas import TABLES, InputError


def run(source: FileSource, held_out: float = 0.0) -> Outcome:
    outcome = problems(Context(config=ProblemsToSolve(source=source, held_out=held_out), tools={}))
    TABLES["problems"].check(outcome.rows, "test")
    TABLES["rejects"].check(outcome.rejects, "test")
    return outcome


@pytest.fixture
def outcome_of(tmp_path: Path) -> Any:
    def write_and_run(records: Sequence[dict[str, Any]], held_out: float = 0.0, **source: Any) -> Outcome:
        file = tmp_path / "a.jsonl"
        file.write_text("".join(json.dumps(record) + "\n" for record in records))
        return run(FileSource(path=str(file), **source), held_out)

    return write_and_run


def rejected(outcome: Outcome) -> list[tuple[str, str]]:
    assert set(outcome.rejects["stage"]) <= {"problems"}
    assert set(outcome.rejects["table"]) <= {"source"}
    return list(outcome.rejects.select("key", "reason").iter_rows())


def test_the_builtin_sums() -> None:
    outcome = run(FileSource(path="builtin:sums.jsonl"))
    assert outcome.rows.height == 48
    assert outcome.rejects.is_empty()
    assert outcome.rows.row(0, named=True) == {
        "problem_id": "d9950c3f253afa047f12",
        "question": "What is 5 + 9 - 18?",
        "answer": "-4",
        "reference_solution": None,
        "source": "builtin:sums.jsonl",
        "source_row": "1",
        "split": "train",
        "domain": "math",
    }


def test_duplicates(outcome_of: Any) -> None:
    outcome = outcome_of(
        [
            {"question": "How many apples?", "answer": "1000"},
            {"question": "How many apples?", "answer": "1,000"},  # the same number
            {"question": "How  many APPLES?\n", "answer": "1000"},
            {"question": "How many ａpples?", "answer": "1000"},  # a full-width a: NFKC
            {"question": "How many apples?", "answer": "7"},
            {"question": "how many apples?", "answer": "8"},
            {"question": "How many pears?", "answer": "1000"},
        ]
    )
    assert outcome.rows["source_row"].to_list() == ["1", "7"]
    assert rejected(outcome) == [
        ("2", "duplicate question"),
        ("3", "duplicate question after normalisation"),
        ("4", "duplicate question after normalisation"),
        ("5", "duplicate question with another answer"),
        ("6", "duplicate question with another answer"),
    ]
    assert outcome.rejects["detail"][3] == "answer '7', but '1000' in row 1"


def test_files_of_samples_repeat_their_questions(outcome_of: Any) -> None:
    records = [
        {"question": "a?", "answer": 1, "id": 5},
        {"question": "a?", "answer": 1, "id": 5},
        {"question": "A?", "answer": 1, "id": 5},
        {"question": "a?", "answer": 2, "id": 5},
    ]
    outcome = outcome_of(records, repeated_questions=True, columns=Columns(row_id="id"))
    assert outcome.rows.height == 1
    assert rejected(outcome) == [
        ("3", "duplicate question after normalisation"),
        ("4", "duplicate question with another answer"),
    ]


def test_records_that_are_no_problems(outcome_of: Any) -> None:
    outcome = outcome_of(
        [
            {"question": "a?", "answer": 0},
            {"question": "b?", "answer": None},
            {"question": "c?"},
            {"question": " ", "answer": 1},
            {"question": "d?", "answer": "See the solution above"},
            {"question": "e?", "answer": "n/a"},
            {"question": "f? \ud83d", "answer": 1},
            {"question": "g?", "answer": r"\frac{x+1}{2}"},
        ]
    )
    assert outcome.rows["question"].to_list() == ["a?", "g?"]
    assert rejected(outcome) == [
        ("2", "no gold answer"),
        ("3", "no gold answer"),
        ("4", "no question"),
        ("5", "gold answer cannot be parsed"),
        ("6", "gold answer cannot be parsed"),
        ("7", "text is not valid Unicode"),
    ]
    assert outcome.rejects["detail"].to_list()[3:5] == ["See the solution above", "n/a"]


def test_a_source_without_a_usable_problem_is_the_user_s_error(outcome_of: Any) -> None:
    with pytest.raises(InputError) as caught:
        outcome_of([{"question": "a?", "answer": None}, {"question": "b?", "answer": None}, {"question": "c?", "answer": "n/a"}])
    assert caught.value.count == 3
    assert list(caught.value.examples) == [
        "no gold answer (2 rows, the first: row 1)",
        "gold answer cannot be parsed (1 rows, the first: row 3: 'n/a')",
    ]


def test_limit_takes_the_first_rows(outcome_of: Any) -> None:
    records = [{"question": f"{number}?", "answer": number} for number in range(9)]
    assert outcome_of(records, limit=4).rows["question"].to_list() == ["0?", "1?", "2?", "3?"]


def test_held_out_is_a_stable_share(outcome_of: Any) -> None:
    records = [{"question": f"What is {number} + 1?", "answer": number + 1} for number in range(1000)]
    few, many = outcome_of(records[:500], held_out=0.25).rows, outcome_of(records, held_out=0.25).rows
    assert few["split"].to_list() == many["split"].to_list()[:500]  # growing moves no problem
    # 1000 draws at 1/4: mean 250, standard deviation sqrt(1000 · 1/4 · 3/4) = 13.7; the hash is fixed, so this cannot flicker
    assert abs((many["split"] == "test").sum() - 250) < 4 * 13.7
    assert set(outcome_of(records).rows["split"]) == {"train"}
    more = outcome_of(records, held_out=0.5).rows
    assert set(many.filter(split="test")["problem_id"]) < set(more.filter(split="test")["problem_id"])


def test_the_source_s_own_split_comes_first(outcome_of: Any) -> None:
    records = [{"question": f"{i}?", "answer": 1, "s": split} for i, split in enumerate(("train", "test", "validation"))]
    assert outcome_of(records, held_out=0.9, columns=Columns(split="s")).rows["split"].to_list() == ["train", "test", "test"]


def test_the_id_is_the_question_s(outcome_of: Any) -> None:
    one = outcome_of([{"question": "a?", "answer": 1}]).rows["problem_id"][0]
    other = outcome_of([{"question": "x?", "answer": 1}, {"question": "a?", "answer": "1.0", "extra": 1}]).rows["problem_id"][1]
    assert one == other


def test_solutions_of_other_questions_are_rejects(tmp_path: Path) -> None:
    """Rows of a file of solutions: 1 is taken up, 2 is held out, 3 belongs to no problem, 4 has no question."""
    problems_file, solutions_file = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    problems_file.write_text('{"question": "a?", "answer": 1, "s": "train"}\n{"question": "b?", "answer": 2, "s": "test"}\n')
    rows = [{"question": question, "solution": "x"} for question in ("a?", "b?", "c?", None)]
    solutions_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = FileSource(path=str(problems_file), columns=Columns(split="s"))
    config = ProblemsToSolve(source=source, solutions=GivenSolutions(path=str(solutions_file)))
    outcome = problems(Context(config, {}))
    assert outcome.rows.height == 2
    assert rejected(outcome) == [
        ("solutions/2", "question is held out for evaluation"),
        ("solutions/3", "question is not among the problems"),
        ("solutions/4", "question is not among the problems"),
    ]


LEAKED = "Natalia sold 48 clips in April and half as many in May, so how many clips did she sell in all?"
FREE = "How many apples are left when 3 of 7 apples are eaten?"


def avoiding(tmp_path: Path, questions: dict[str, str], held: Sequence[str], **audit: Any) -> Outcome:
    """Problems (question to split) without those that a set of the questions `held` has too."""
    (tmp_path / "set.jsonl").write_text("".join(json.dumps({"question": one, "answer": "1"}) + "\n" for one in held))
    records = [{"question": question, "answer": "1", "split": split} for question, split in questions.items()]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    source = FileSource(path=str(tmp_path / "a.jsonl"), columns=Columns(split="split"))
    asked = {"against": (str(tmp_path / "set.jsonl"),), **audit}
    outcome = problems(Context(config=ProblemsToSolve(source=source, audit=AuditConfig(**asked)), tools={}))
    TABLES["rejects"].check(outcome.rejects, "test")
    return outcome


def test_training_problems_of_an_evaluation_set_are_rejects(tmp_path: Path) -> None:
    outcome = avoiding(tmp_path, {LEAKED.upper() + "!": "train", FREE: "train", LEAKED + " Really?": "test"}, [LEAKED])
    assert outcome.rows["question"].to_list() == [FREE, LEAKED + " Really?"]  # a test problem in a test set is no leak
    assert outcome.rejects.select("key", "reason", "detail").rows() == [
        ("1", "in an evaluation set: normalised", f"set.jsonl: {LEAKED}")
    ]


@pytest.mark.parametrize(
    ("kinds", "left"), [(("exact",), 3), (("exact", "normalised"), 2), (("normalised", "13-gram"), 1), (("near",), 1)]
)
def test_only_the_kinds_that_count_are_rejects(tmp_path: Path, kinds: tuple[str, ...], left: int) -> None:
    questions = {FREE: "train", LEAKED.replace(",", ";"): "train", LEAKED + " Say it in words.": "train"}
    assert avoiding(tmp_path, questions, [LEAKED], kinds=kinds).rows.height == left


def test_every_set_is_looked_into(tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text(json.dumps({"question": FREE, "answer": "4"}) + "\n")
    against = (str(tmp_path / "set.jsonl"), str(tmp_path / "other.jsonl"))
    outcome = avoiding(tmp_path, {LEAKED: "train", FREE: "train", "What is 2 + 2?": "train"}, [LEAKED], against=against)
    assert [reason for _, reason in rejected(outcome)] == ["in an evaluation set: exact"] * 2
    assert outcome.rows.height == 1


def test_nothing_left_to_train_on_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="every training problem stands in an evaluation set") as caught:
        avoiding(tmp_path, {LEAKED: "train"}, [LEAKED])
    assert caught.value.count == 1


@pytest.mark.parametrize("missing", ["no-such-set", "gsm8k=nowhere.jsonl"])
def test_a_set_that_cannot_be_read_is_named(tmp_path: Path, missing: str) -> None:
    with pytest.raises(InputError) as caught:
        avoiding(tmp_path, {FREE: "train"}, [LEAKED], against=(missing,))
    assert caught.value.where.startswith(f"problems.audit.against, {missing}")
    assert caught.value.next_step
