"""Steps cover the text exactly; separators belong to the step they end; labels and preambles go where method.md puts them."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fullstep_data.config import StepsConfig
from fullstep_data.stage import Context
from fullstep_data.steps import split, steps, takers
from schemas import TABLES

SPLITTERS = [
    StepsConfig(splitter="step-label"),
    StepsConfig(splitter="newline"),
    StepsConfig(splitter="blank-line"),
    StepsConfig(splitter="regex", pattern=r"(?=[.;])|\n"),
]

texts = st.text() | st.lists(
    st.sampled_from(
        ["Step 1:", "step 2.", "\n", "\r\n", "\n\n", " ", "**Step 3:**", "3 + 4 = 7", "é", "👩‍👩‍👧", "\u2028", "e\u0301", "."]
    )
).map("".join)


def pieces(text: str, **config: str) -> list[str]:
    return [text[start:stop] for start, stop in split(text, StepsConfig(**config))]


@settings(max_examples=300, deadline=None)
@given(text=texts, config=st.sampled_from(SPLITTERS))
def test_joining_the_spans_gives_the_text(text, config):
    spans = split(text, config)
    if not text.strip():
        assert spans == []
        return
    assert "".join(text[start:stop] for start, stop in spans) == text
    assert spans[0][0] == 0
    assert spans[-1][1] == len(text)
    assert all(text[start:stop].strip() for start, stop in spans)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Step 1: a\nStep 2: b", ["Step 1: a\n", "Step 2: b"]),
        ("Let us see.\nStep 1: a\nStep 2: b", ["Let us see.\nStep 1: a\n", "Step 2: b"]),
        (" a + b\nStep 2: c", [" a + b\n", "Step 2: c"]),
        ("**Step 1:** a\n\n### Step 2. b\n", ["**Step 1:** a\n\n", "### Step 2. b\n"]),
        ("In step 1: we take step 2: too", ["In step 1: we take step 2: too"]),
        ("no label at all", ["no label at all"]),
        ("Step 1: a\r\nStep 2: b", ["Step 1: a\r\n", "Step 2: b"]),
        ("Step 10) a\nStep 11) b", ["Step 10) a\n", "Step 11) b"]),
    ],
)
def test_step_labels(text, expected):
    assert pieces(text, splitter="step-label") == expected


@pytest.mark.parametrize(
    ("splitter", "text", "expected"),
    [
        ("newline", "a\nb\r\nc", ["a\n", "b\r\n", "c"]),
        ("newline", "\n\na\n\n \nb\n", ["\n\na\n\n \n", "b\n"]),
        ("blank-line", "a\nb\n\nc\n \t\n\nd\n", ["a\nb\n\n", "c\n \t\n\n", "d\n"]),
    ],
)
def test_lines_and_blank_lines(splitter, text, expected):
    assert pieces(text, splitter=splitter) == expected


def test_a_regex_marks_where_steps_begin():
    assert pieces("1) a 2) b", splitter="regex", pattern=r"\d\)") == ["1) a ", "2) b"]


def solution(solution_id: str, text: str, problem_id: str = "p") -> dict[str, object]:
    return {
        "solution_id": solution_id,
        "problem_id": problem_id,
        "sample_index": 0,
        "seed": 0,
        "prompt": "",
        "text": text,
        "finish_reason": "eos",
        "answer_source": "none",
        "correct": False,
        "grade_path": "no-answer",
        "grader": "g",
        "sampler": "s",
    }


def test_the_stage_keeps_the_contract_and_rejects_what_has_no_text():
    solutions = TABLES["solutions"].frame([solution("a", "Step 1: x\nStep 2: y"), solution("b", " \n"), solution("c", "z")])
    outcome = steps(solutions, Context(config=StepsConfig(), tools={}))
    TABLES["steps"].check(outcome.rows, "test")
    assert outcome.rows.group_by("solution_id").len().sort("solution_id").rows() == [("a", 2), ("c", 1)]
    assert outcome.rejects.select("stage", "table", "key", "reason").rows() == [
        ("steps", "solutions", "b", "solution has no text")
    ]


def test_equal_prefixes_of_a_problem_have_equal_keys():
    solutions = TABLES["solutions"].frame(
        [
            solution("a", "Step 1: x\nStep 2: y"),
            solution("b", "Step 1: x\nStep 2: z"),
            solution("c", "Step 1: x\nStep 2: y", problem_id="q"),
        ]
    )
    rows = steps(solutions, Context(config=StepsConfig(), tools={})).rows
    key = {(row["solution_id"], row["step_index"]): row["prefix_key"] for row in rows.to_dicts()}
    assert key["a", 0] == key["b", 0]
    assert key["a", 1] != key["b", 1]
    assert key["a", 0] != key["c", 0]
    assert rows.schema == TABLES["steps"].polars_schema
    assert rows["stop"].dtype == pl.Int32


def test_takers_count_a_solution_once_however_often_it_takes_a_step():
    solutions = pl.DataFrame({"solution_id": ["a", "b", "c"], "problem_id": ["p", "p", "q"]})
    taken = pl.DataFrame({"solution_id": ["a", "a", "b", "c", "other"], "text": ["x", "x", "x", "x", "x"]})
    counts, sizes = takers(solutions, taken)
    assert sorted(counts.rows()) == [("p", "x", 2), ("q", "x", 1)]
    assert sorted(sizes.rows()) == [("p", 2), ("q", 1)]
