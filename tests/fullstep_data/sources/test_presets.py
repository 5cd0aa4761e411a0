"""Presets read rows of the public schema of each data set (the rows are ours)."""

import json
from pathlib import Path

import pytest

from fullstep_data.config import Columns, FileSource, Preset
from fullstep_data.sources import read
from schemas import InputError

ROWS: dict[Preset, dict[str, object]] = {
    "gsm8k": {
        "question": "Ann has 1,000 eggs and sells half. How many are left, and 580 more?",
        "answer": "She keeps 1000/2 = <<1000/2=500>>500 eggs.\nWith more: 500+580 = <<500+580=1080>>1,080\n#### 1,080",
    },
    "math": {
        "problem": "Halve $x$ twice.",
        "level": "Level 1",
        "type": "Algebra",
        "solution": r"Once is $\boxed{\frac{x}{2}}$, twice is $\boxed{\frac{x}{\sqrt{16}}}$.",
    },
    "svamp": {
        "Body": "Ann has 290 plums in 2 baskets",
        "Question": "How many are in each?",
        "Answer": 145.0,
        "Equation": "( 290.0 / 2.0 )",
        "Type": "Common-Division",
        "ID": "chal-1",
    },
    "aqua": {"question": "What is 2 + 2?", "options": ["A)3", "B)4", "C)5"], "rationale": "2 + 2 = 4.\nB", "correct": "B"},
    "metamath": {
        "query": "What is 2 + 3?",
        "response": "2 + 3 = 5\n#### 5\nThe answer is: 5",
        "type": "GSM_Rephrased",
        "original_question": "What is 3 + 2?",
    },
}
PARSED: dict[Preset, tuple[str, str, str | None]] = {
    "gsm8k": (
        "Ann has 1,000 eggs and sells half. How many are left, and 580 more?",
        "1080",
        "She keeps 1000/2 = 500 eggs.\nWith more: 500+580 = 1,080",
    ),
    "math": ("Halve $x$ twice.", r"\frac{x}{\sqrt{16}}", str(ROWS["math"]["solution"])),
    "svamp": ("Ann has 290 plums in 2 baskets How many are in each?", "145", None),
    "aqua": ("What is 2 + 2?\nA)3\nB)4\nC)5", "B", "2 + 2 = 4.\nB"),
    "metamath": ("What is 2 + 3?", "5", "2 + 3 = 5\n#### 5\nThe answer is: 5"),
}


def source(folder: Path, preset: Preset, row: dict[str, object], columns: Columns | None = None) -> FileSource:
    file = folder / f"{preset}.jsonl"
    file.write_text(json.dumps(row) + "\n")
    return FileSource(path=str(file), preset=preset, columns=columns or Columns())


@pytest.mark.parametrize("preset", list(ROWS))
def test_preset(tmp_path: Path, preset: Preset) -> None:
    (candidate,) = read(source(tmp_path, preset, ROWS[preset]))
    assert (candidate.question, candidate.answer, candidate.reference_solution) == PARSED[preset]
    assert candidate.source == f"{preset}.jsonl"


@pytest.mark.parametrize(("preset", "column", "value"), [
    ("gsm8k", "answer", "It is 5."), ("math", "solution", "It is 5."), ("svamp", "Answer", None),
    ("aqua", "correct", ""), ("metamath", "response", "It is 5."),
])  # fmt: skip
def test_a_row_without_the_mark_has_no_gold_answer(tmp_path: Path, preset: Preset, column: str, value: object) -> None:
    (candidate,) = read(source(tmp_path, preset, {**ROWS[preset], column: value}))
    assert candidate.answer is None


@pytest.mark.parametrize("written", ["145.0", "145", "145.00", 145, 145.0])
def test_svamp_answers_as_the_hub_and_the_file_write_them(tmp_path: Path, written: object) -> None:
    (candidate,) = read(source(tmp_path, "svamp", {**ROWS["svamp"], "Answer": written}))
    assert candidate.answer == "145"


def test_row_ids_go_with_a_preset_but_other_columns_do_not(tmp_path: Path) -> None:
    (candidate,) = read(source(tmp_path, "svamp", ROWS["svamp"], Columns(row_id="ID")))
    assert candidate.source_row == "chal-1"
    with pytest.raises(InputError, match="already says"):
        read(source(tmp_path, "svamp", ROWS["svamp"], Columns(answer="Equation")))


def test_a_preset_on_another_data_set_names_the_missing_columns(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(source(tmp_path, "math", ROWS["gsm8k"]))
    assert "'problem', 'solution'" in caught.value.what
    assert "preset = 'math'" in caught.value.where
