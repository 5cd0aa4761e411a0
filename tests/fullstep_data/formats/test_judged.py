"""ProcessBench and PRMBench as tables: spans that cover the text, labels as the formats give them, and records of neither."""

import json
from pathlib import Path
from typing import Any

import pytest

from fullstep_data.config import HubSource
from fullstep_data.formats.judged import BENCHMARKS, Form, annotated, read_judged
from fullstep_data.sources.files import Row
from schemas import TABLES, InputError
from tests.fullstep_data.formats.trips import golden

ROWS: list[dict[str, Any]] = [
    {"id": "gsm8k-0", "problem": "1 + 2?", "steps": ["1 + 2 = 3", " So 3.\n"], "label": -1},
    {"id": "math-7", "problem": "2 + 2?", "steps": ["2 + 2 = 4", "4 = 5", "So 5."], "label": 1},
]


def written(tmp_path: Path, rows: list[dict[str, Any]]) -> str:
    file = tmp_path / "bench.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def test_rows_become_tables_that_keep_their_contracts(tmp_path: Path) -> None:
    rows = read_judged(written(tmp_path, ROWS))
    assert [row.part for row in rows] == ["gsm8k", "math"]
    made = annotated(rows, lambda problem: f"Q: {problem}\n", "step-labels")
    for name in ("solutions", "steps", "step_labels"):
        TABLES[name].check(getattr(made, name), name)
    assert made.solutions["prompt"].to_list() == ["Q: 1 + 2?\n", "Q: 2 + 2?\n"]
    assert made.solutions["text"].to_list() == [
        "Step 1: 1 + 2 = 3\nStep 2: So 3.",
        "Step 1: 2 + 2 = 4\nStep 2: 4 = 5\nStep 3: So 5.",
    ]
    for solution_id, text in made.solutions.select("solution_id", "text").iter_rows():
        assert "".join(made.steps.filter(solution_id=solution_id)["text"]) == text
    # no error: right, right. First error at 1: right, wrong, and nothing is said of the third step.
    assert made.step_labels["label"].to_list() == [True, True, True, False, None]
    assert set(made.step_labels["source"]) == {"human"}
    assert sorted(made.source.values()) == ["gsm8k", "math"]


@pytest.mark.parametrize(
    ("form", "text"), [("paragraphs", "1 + 2 = 3\n\nSo 3."), ("step-labels", "Step 1: 1 + 2 = 3\nStep 2: So 3.")]
)
def test_steps_are_written_as_the_prm_knows_them(form: Form, text: str, tmp_path: Path) -> None:
    (row,) = annotated(read_judged(written(tmp_path, ROWS[:1])), str, form).solutions.to_dicts()
    assert row["text"] == text


def test_prmbench_judges_every_step(tmp_path: Path) -> None:
    """By hand, of the golden records: 2 and 3 of 3 wrong; 2 of 3 superfluous, which counts as wrong; 2 of 2 wrong."""
    made = annotated(read_judged(written(tmp_path, golden("prmbench"))), str, "paragraphs")
    labels = made.step_labels.join(made.solutions, on="solution_id").sort("sample_index", "step_index")
    assert labels["label"].to_list() == [True, False, False, True, False, True, True, False]
    assert list(made.source.values()) == ["step_contradiction", "redundency", "missing_condition"]
    assert made.solutions["problem_id"].n_unique() == 2  # one question stands in two classes
    assert set(labels["source"]) == {"judge"}


def test_prmbench_marks_after_the_last_step_count_for_nothing(tmp_path: Path) -> None:
    (row,) = read_judged(written(tmp_path, [golden("prmbench")[0] | {"error_steps": [2, 9]}]))
    assert row.labels == (1.0, 0.0, 1.0)


def test_the_same_solution_twice_is_two_solutions(tmp_path: Path) -> None:
    made = annotated(read_judged(written(tmp_path, [ROWS[0], ROWS[0]])), str, "paragraphs")
    assert made.solutions["solution_id"].n_unique() == 2
    assert made.solutions["problem_id"].n_unique() == 1


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"label": 5}, "label is not -1 or the number of a step (5)"),
        ({"label": None}, "label is not -1 or the number of a step (None)"),
        ({"label": True}, "label is not -1 or the number of a step (True)"),
        ({"steps": []}, "steps is empty"),
        ({"steps": ["a", " "]}, "a text in steps is blank"),
        ({"steps": "a"}, "steps is not a list of texts"),
        ({"problem": None}, "problem is not a text"),
    ],
)
def test_rows_in_another_form_are_counted_and_shown(change: dict[str, Any], fault: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not in the form of processbench") as caught:
        read_judged(written(tmp_path, [ROWS[1], {**ROWS[0], **change}]))
    assert caught.value.count == 1
    assert str(caught.value.examples[0]).startswith(f"record 2: {fault}")


def test_a_file_in_the_form_of_neither_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither ProcessBench nor PRMBench") as caught:
        read_judged(written(tmp_path, golden("math-shepherd")))
    assert "its keys: input, label, task" in caught.value.examples
    assert "import it" in caught.value.next_step


def test_a_set_that_is_misspelt_is_told_its_near_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file, dataset or set") as caught:
        read_judged("procesbench/gsm8k")
    assert "did you mean processbench?" in (caught.value.next_step or "")
    with pytest.raises(InputError, match="there is no such file"):
        read_judged(str(tmp_path / "mine.jsonl"))


def test_the_parts_come_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[HubSource] = []

    def read_hub(source: HubSource) -> tuple[str, list[Row]]:
        asked.append(source)
        return source.name, [Row(1, ROWS[0])]

    monkeypatch.setattr("fullstep_data.formats.judged.read_hub", read_hub)
    assert len(read_judged("processbench", limit=3)) == len(BENCHMARKS["processbench"].splits) == len(asked)
    assert {(source.name, source.limit) for source in asked} == {("Qwen/ProcessBench", 3)}
    read_judged("processbench/math")
    assert asked[-1].hub_split == "math"
    with pytest.raises(InputError, match="no part 'maths'"):
        read_judged("processbench/maths")
