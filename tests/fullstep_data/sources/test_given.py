"""Solutions that were sampled elsewhere: by question, in the file's order, with row numbers for what fits no problem."""

import json
from pathlib import Path

import pytest

from fullstep_data.config import GivenSolutions
from fullstep_data.sources.given import GivenRow, GivenTool
from schemas import InputError

ROWS = [
    {"q": "2 + 2?", "text": "It is 4"},
    {"q": "3 + 3?", "text": "It is 6"},
    {"q": "2 + 2?", "text": "It is 5"},
    {"q": "2 + 2?", "text": "It is 4"},
    {"q": "2 + 2?", "text": " "},
    {"q": None, "text": "It is 7"},
]


def tool(folder: Path, rows: list[dict[str, str]] | list[dict[str, str | None]], **columns: str) -> GivenTool:
    file = folder / "samples.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return GivenTool(GivenSolutions.model_validate({"path": str(file), "question": "q", "solution": "text", **columns}))


def test_solutions_of_a_question_in_the_file_s_order(tmp_path: Path) -> None:
    given = tool(tmp_path, ROWS).open({})
    assert given.samples_of("2 + 2?") == ["It is 4", "It is 5", "It is 4", ""]
    assert given.samples_of("unknown") == []
    assert given.rows[1] == GivenRow(2, "3 + 3?", "It is 6")
    assert given.rows_beside(["2 + 2?"]) == [GivenRow(2, "3 + 3?", "It is 6"), GivenRow(6, None, "It is 7")]


def test_identity_is_the_file_s_content_wherever_it_lies(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    here, there = tool(tmp_path, ROWS), tool(tmp_path / "other", ROWS)
    assert here.identity({}) == there.identity({}) == here.open({}).identity
    assert tool(tmp_path / "other", ROWS[:2]).identity({}) != here.identity({})


def test_mistakes_are_the_user_s_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'solution'"):
        tool(tmp_path, ROWS, solution="solution").open({})
    with pytest.raises(InputError, match="no row has a question and a solution"):
        tool(tmp_path, [{"q": "a", "text": None}]).open({})
    with pytest.raises(InputError, match="no such file"):
        GivenTool(GivenSolutions(path=str(tmp_path / "no.jsonl"))).identity({})
