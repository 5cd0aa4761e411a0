"""Columns are mapped as the recipe says, values become text, and a wrong mapping is one error that names what there is."""

from collections.abc import Mapping

import pytest

from fullstep_data.config import Columns, Preset
from fullstep_data.sources.columns import Candidate, as_text, candidates
from fullstep_data.sources.files import Row
from schemas import InputError


def read(*records: Mapping[str, object], unique_ids: bool = True, **columns: object) -> list[Candidate]:
    rows = [Row(number, dict(record)) for number, record in enumerate(records, start=1)]
    return candidates(rows, Columns.model_validate(columns), None, name="a.jsonl", where="data/a.jsonl", unique_ids=unique_ids)


def test_every_column_is_mapped() -> None:
    columns = {"question": ("body", "q"), "answer": "a", "reference_solution": "r", "row_id": "id", "split": "s"}
    record = {"body": " Tom has 3. ", "q": "How many?", "a": 3.0, "r": "He has 3.", "id": 7, "s": "Validation"}
    assert read(record, **columns) == [Candidate("1", "Tom has 3. How many?", "3", "He has 3.", "a.jsonl", "7", "test")]


def test_rows_without_an_id_are_numbered_and_absent_values_are_none() -> None:
    records = ({"question": " a ", "answer": None}, {"answer": "", "id": "x"})
    assert read(*records, row_id="id") == [
        Candidate("1", " a ", None, None, "a.jsonl", "1"),
        Candidate("2", None, None, None, "a.jsonl", "x"),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (145.0, "145"), (-0.5, "-0.5"), (True, "true"), ("3.0", "3.0"), (" ", None), (None, None), (float("nan"), None)],
)
def test_values_as_text(value: object, text: str | None) -> None:
    assert as_text(value) == text


def test_a_wrong_column_names_those_there_are_and_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        read({"Question": "a", "answers": 1}, {"Question": "b"}, question="Question")
    message = str(caught.value)
    assert "'answer'" in caught.value.what
    assert "Question, answers" in message
    assert "did you mean 'answers'?" in message
    assert "data/a.jsonl" in message


def test_ids_used_twice() -> None:
    records = [{"question": str(number), "answer": 1, "id": number % 2} for number in range(5)]
    with pytest.raises(InputError) as caught:
        read(*records, row_id="id")
    assert caught.value.count == 2
    assert caught.value.examples[0] == "'0' in rows 1, 3, 5"
    assert len(read(*records, row_id="id", unique_ids=False)) == 5  # several rows per question: the id is the question's


def test_unknown_splits() -> None:
    records = [{"question": "a", "answer": 1, "s": split} for split in ("train", "dev", "dev", None)]
    with pytest.raises(InputError) as caught:
        read(*records, split="s")
    assert caught.value.count == 3
    assert "'dev' (2 rows)" in caught.value.examples


@pytest.mark.parametrize("value", [["4"], {"final": 4}, b"4"])
@pytest.mark.parametrize("column", ["question", "answer", "reference"])
def test_values_that_are_no_text_are_refused(column: str, value: object) -> None:
    record = {"question": "What is 2 + 2?", "answer": 4, "reference": "2 + 2 = 4"}
    with pytest.raises(InputError, match=f"the column '{column}' holds values that are neither text nor numbers") as caught:
        read(record, record | {column: value}, reference_solution="reference")
    assert caught.value.count == 1
    assert str(caught.value.examples[0]).startswith("row 2: ")


def test_a_preset_takes_lists_only_where_the_data_set_has_them() -> None:
    def preset(name: Preset, record: dict[str, object]) -> list[Candidate]:
        return candidates([Row(1, record)], Columns(), name, name="a", where="a")

    (aqua,) = preset("aqua", {"question": "Which?", "options": ["A)1", "B)2"], "correct": "A"})
    assert aqua.question == "Which?\nA)1\nB)2"
    with pytest.raises(InputError, match="the column 'answer' holds values that are neither"):
        preset("gsm8k", {"question": "How many?", "answer": ["#### 4"]})
