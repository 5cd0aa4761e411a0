"""OpenR / OmegaPRM: trees, prefixes and training lines; a shared step is labelled once."""

from pathlib import Path

import pytest

from fullstep_data.formats.group import Question, Unusable
from fullstep_data.formats.openr import ReadOptions, read
from tests.fullstep_data.formats.trips import golden, import_records

BREAK = ReadOptions(question_ends="first-break")


def test_golden(tmp_path: Path):
    version, report = import_records("openr", golden("openr"), tmp_path, question_ends="first-break")
    assert report.rejected == {"the prefix is the question alone": 1}
    # Tree: two solutions of 2 steps that share the first, one of 1 step: 4 labels. Prefix: 2 steps, 1 label. Line: 2 and 2.
    assert report.rows_out == {"problems": 3, "solutions": 5, "steps": 5 + 2 + 2, "step_labels": 9}
    labels = version.frame("step_labels")
    assert sorted(labels["value"].drop_nulls()) == [0.0, 0.0, 0.25, 0.75, 1.0, 1.0, 1.0]
    assert labels.filter(value=0.25)["label"].to_list() == [True]  # any rollout right
    finished = version.frame("solutions").filter(finish_reason="given").sort("text")
    assert finished.select("answer", "correct").rows() == [("7", True), ("8", False), ("4", None)]


def test_a_tree_may_stand_alone():
    tree = golden("openr")[0]["reasoning_steps"]
    (group,) = read(tree, ReadOptions())
    assert (group.question, group.answer) == ("What is 2 + 2 + 3?", None)
    assert [solution.labels for solution in group.solutions] == [(0.75, 1.0), (None, 0.0), (0.0,)]
    assert group.solutions[0].text == "2 + 2 = 4.\n\n4 + 3 = 7. The answer is 7"


def test_where_the_question_ends_is_asked_unless_the_record_says_it():
    flat = golden("openr")[1]
    with pytest.raises(Question):
        list(read(flat, ReadOptions()))
    (guessed,), (told,) = read(flat, BREAK), read(flat | {"question": "What is 6 / 3?"}, ReadOptions())
    assert guessed == told
    assert guessed.solutions[0].labels == (None, 0.25)


def test_the_step_tag_is_an_option():
    record = {"question": "Q", "process": "a ки b ки", "label": ["+", "-"]}
    (group,) = read(record, ReadOptions(step_tag="ки"))
    assert (group.solutions[0].text, group.solutions[0].labels) == ("a\n\nb", (1.0, 0.0))


def test_faulty_records():
    for record in (
        {"text": "Q", "mc_value": 1, "children": "none"},
        {"text": "Q", "mc_value": 1, "children": [{"text": "a", "mc_value": "much", "children": []}]},
        {"reasoning_steps": [], "question": "Q"},
        {"question": "Q", "process": "a", "label": "+"},
    ):
        with pytest.raises(Unusable):
            list(read(record, BREAK))
    deep: dict[str, object] = {"text": "a", "mc_value": 1, "children": []}
    for _ in range(600):
        deep = {"text": "a", "mc_value": 1, "children": [deep]}
    with pytest.raises(Unusable, match="too deep"):
        list(read(deep, BREAK))
