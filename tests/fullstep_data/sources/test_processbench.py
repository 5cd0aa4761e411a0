"""ProcessBench rows as tables: spans that cover the text, labels up to the first error, and rows that are none."""

import json
from pathlib import Path
from typing import Any

import pytest

from fullstep_data.config import HubSource
from fullstep_data.sources.files import Row
from fullstep_data.sources.processbench import PARTS, Form, processbench, read_processbench
from schemas import TABLES, InputError

ROWS: list[dict[str, Any]] = [
    {"id": "gsm8k-0", "problem": "1 + 2?", "steps": ["1 + 2 = 3", " So 3.\n"], "label": -1},
    {"id": "math-7", "problem": "2 + 2?", "steps": ["2 + 2 = 4", "4 = 5", "So 5."], "label": 1},
]


def written(tmp_path: Path, rows: list[dict[str, Any]]) -> str:
    file = tmp_path / "bench.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def test_rows_become_tables_that_keep_their_contracts(tmp_path: Path) -> None:
    rows = read_processbench(written(tmp_path, ROWS))
    assert [part for part, _ in rows] == ["gsm8k", "math"]
    made = processbench(rows, lambda problem: f"Q: {problem}\n", "step-labels")
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
def test_steps_are_written_as_the_prm_knows_them(form: Form, text: str) -> None:
    (row,) = processbench([("p", Row(1, ROWS[0]))], str, form).solutions.to_dicts()
    assert row["text"] == text


def test_the_same_solution_twice_is_two_solutions() -> None:
    twice = [("p", Row(1, ROWS[0])), ("p", Row(2, ROWS[0]))]
    made = processbench(twice, str, "paragraphs")
    assert made.solutions["solution_id"].n_unique() == 2
    assert made.solutions["problem_id"].n_unique() == 1


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"label": 5}, "label 5 is no step of 2, nor -1"),
        ({"label": None}, "no label"),
        ({"label": True}, "label True"),
        ({"steps": []}, "steps is not a list of texts"),
        ({"steps": ["a", " "]}, "steps is not a list of texts"),
        ({"steps": "a"}, "steps is not a list of texts"),
        ({"problem": None}, "no problem"),
    ],
)
def test_rows_in_another_form_are_counted_and_shown(change: dict[str, Any], fault: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not in the form of ProcessBench") as caught:
        read_processbench(written(tmp_path, [ROWS[1], {**ROWS[0], **change}]))
    assert caught.value.count == 1
    assert str(caught.value.examples[0]).startswith(f"row 2: {fault}")


def test_the_parts_come_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[HubSource] = []

    def read_hub(source: HubSource) -> tuple[str, list[Row]]:
        asked.append(source)
        return source.name, [Row(1, ROWS[0])]

    monkeypatch.setattr("fullstep_data.sources.processbench.read_hub", read_hub)
    assert [part for part, _ in read_processbench("processbench", limit=3)] == list(PARTS)
    assert {(source.name, source.limit) for source in asked} == {("Qwen/ProcessBench", 3)}
    assert [part for part, _ in read_processbench("processbench/math")] == ["math"]
    with pytest.raises(InputError, match="no part 'maths'"):
        read_processbench("processbench/maths")
