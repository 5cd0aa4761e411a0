"""Evaluation sets by name, by file, and by file in the form of a name."""

from pathlib import Path

import pytest

from fullstep_data.config import Columns, FileSource, HubSource
from fullstep_data.sources import read
from fullstep_data.sources.sets import EVAL_SETS, FileForm, named_source
from schemas import InputError


def test_a_name_is_a_test_split_on_the_hub() -> None:
    name, source = named_source("gsm8k", FileForm(limit=5))
    assert name == "gsm8k"
    assert source == HubSource(name="openai/gsm8k", config="main", hub_split="test", preset="gsm8k", limit=5)


def test_a_file_is_read_as_the_form_says(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"body": "1 + 1?", "answer": "2"}\n')
    form = FileForm(columns=Columns(question="body"), limit=3)
    assert named_source(str(file), form) == ("mine.jsonl", FileSource(path=str(file), columns=form.columns, limit=3))


def test_a_file_in_the_form_of_a_set_is_read_as_that_set_is(tmp_path: Path) -> None:
    file = tmp_path / "test.jsonl"
    file.write_text('{"question": "1 + 1?", "answer": "1 + 1 = 2\\n#### 2"}\n')
    name, source = named_source(f"gsm8k={file}", FileForm(columns=Columns(question="not here")))
    assert name == "gsm8k"
    assert [(row.question, row.answer) for row in read(source)] == [("1 + 1?", "2")]


@pytest.mark.parametrize("text", ["gsm9k", "gsm9k=/tmp/nowhere.jsonl", "GSM8K"])
def test_an_unknown_set_names_the_near_ones(text: str) -> None:
    with pytest.raises(InputError, match="no such file, dataset or evaluation set") as caught:
        named_source(text, FileForm())
    assert ("did you mean gsm8k" in caught.value.next_step) == (text != "GSM8K")
    assert all(name in caught.value.next_step for name in EVAL_SETS)


def test_a_file_of_a_set_that_is_not_there_is_told_by_its_path() -> None:
    with pytest.raises(InputError, match="there is no such file") as caught:
        read(named_source("gsm8k=/tmp/nowhere.jsonl", FileForm())[1])
    assert "/tmp/nowhere.jsonl" in caught.value.where


def test_every_set_says_where_question_and_answer_stand() -> None:
    for source in EVAL_SETS.values():
        assert source.preset is None or not (source.columns.model_fields_set & {"question", "answer"})
        assert source.hub_split in ("test", "train")
