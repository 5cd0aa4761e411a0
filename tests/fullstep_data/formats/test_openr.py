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
    # Prefixes of one problem: solutions of 2 and 3 steps that share the first; the second step of the longer has no value.
    assert report.rows_out == {"problems": 4, "solutions": 7, "steps": 5 + 2 + 2 + 5, "step_labels": 14}
    labels = version.frame("step_labels")
    assert sorted(labels["value"].drop_nulls()) == [0.0, 0.0, 0.0, 0.25, 0.75, 0.75, 1.0, 1.0, 1.0, 1.0]
    assert labels.filter(value=0.25)["label"].to_list() == [True]  # any rollout right
    finished = version.frame("solutions").filter(finish_reason="given").sort("text")
    assert finished.select("answer", "correct").rows() == [
        ("7", True),
        ("8", False),
        ("4", False),
        ("5", True),
        ("4", None),
    ]


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


def test_prefixes_of_a_problem_are_put_together():
    (group,) = read(golden("openr")[4], ReadOptions())
    assert (group.question, group.answer) == ("What is 8 - 2 - 1?", "5")
    assert [solution.labels for solution in group.solutions] == [(0.75, 1.0), (None, None, 0.0)]
    alone = golden("openr")[4] | {"reasoning_steps": [{"solution_prefix": "What is 8 - 2 - 1?", "mc_value": 1}]}
    (nothing,) = read(alone, ReadOptions())
    assert nothing.solutions[0].steps == ()  # which no table can hold: the importer rejects it


def test_a_training_line_may_hold_the_question_or_paragraphs_with_one_label():
    """Both come out of OpenR's own conversion: of a tree, whose root is the question, and of a flat list."""
    tree = {"question": "Q?", "process": "Q? \n\n\n\n\n a \n\n\n\n\n b \n\n\n\n\n", "label": ["+", "+", "-"]}
    (group,) = read(tree, ReadOptions())
    assert (group.solutions[0].text, group.solutions[0].labels, group.notes) == ("a\n\nb", (1.0, 0.0), ())
    (group,) = read({"question": "Q?", "process": "Q?\n\na\n\nb \n\n\n\n\n", "label": ["-"]}, ReadOptions())
    assert (group.solutions[0].text, group.solutions[0].labels) == ("a\n\nb", (None, 0.0))
    assert "one label for several paragraphs" in group.notes[0]
    with pytest.raises(Unusable, match="question alone"):
        list(read({"question": "Q?", "process": "Q? \n\n\n\n\n", "label": ["+"]}, ReadOptions()))


def test_the_step_tag_is_an_option():
    record = {"question": "Q", "process": "a ки b ки", "label": ["+", "-"]}
    (group,) = read(record, ReadOptions(step_tag="ки"))
    assert (group.solutions[0].text, group.solutions[0].labels) == ("a\n\nb", (1.0, 0.0))


def test_faulty_records():
    for record in (
        {"text": "Q", "mc_value": 1, "children": "none"},
        {"text": "Q", "mc_value": 1, "children": [{"text": "a", "mc_value": "much", "children": []}]},
        {"reasoning_steps": ["a"], "question": "Q"},
        {"reasoning_steps": "a", "question": "Q"},
        {"question": "Q", "process": "a", "label": "+"},
    ):
        with pytest.raises(Unusable):
            list(read(record, BREAK))
    deep: dict[str, object] = {"text": "a", "mc_value": 1, "children": []}
    for _ in range(600):
        deep = {"text": "a", "mc_value": 1, "children": [deep]}
    with pytest.raises(Unusable, match="too deep"):
        list(read(deep, BREAK))
