"""RLHFlow: turns of a conversation to steps and labels, where the question ends is asked, test sets have verdicts instead."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullstep_data.formats.group import Group, Left, Question, Solution, Unusable
from fullstep_data.formats.rlhflow import RLHFLOW, ReadOptions, WriteOptions, read, write
from tests.fullstep_data.formats.trips import export_records, golden, import_records, same

STEP_1 = ReadOptions(first_step="step-1")
WORD = st.text(alphabet="abc +=1", min_size=1, max_size=12).map(str.strip).filter(bool)


def test_golden(tmp_path: Path):
    version, report = import_records("rlhflow", golden("rlhflow"), tmp_path, first_step="step-1")
    assert report.rows_out == {"problems": 2, "solutions": 3, "steps": 6, "step_labels": 6}
    assert set(version.frame("step_labels")["source"]) == {"monte-carlo"}
    records, written = export_records("rlhflow", version, tmp_path)
    assert same(records, golden("rlhflow"))
    assert written.decisions == {}


def test_golden_test_set(tmp_path: Path):
    assert RLHFLOW.looks_like(golden("rlhflow-test")[0])
    version, report = import_records("rlhflow", golden("rlhflow-test"), tmp_path)
    assert report.rows_out == {"problems": 1, "solutions": 2, "steps": 4}
    assert sorted(version.frame("solutions").select("text", "correct").rows()) == [
        ("2 + 2 = 5.\nThe answer is: 5", False),
        ("Step 1: 2 + 2 = 4.\nStep 2: The answer is: 4", True),
    ]


@given(WORD, st.lists(st.tuples(WORD, st.booleans()), min_size=1, max_size=4))
def test_round_trip(question: str, steps: list[tuple[str, bool]]):
    texts = [f"Step {place}: {text}" for place, (text, _) in enumerate(steps, start=1)]
    spans = (*(f"{text}\n" for text in texts[:-1]), texts[-1])
    group = Group(question, solutions=(Solution(spans, labels=tuple(float(sign) for _, sign in steps)),))
    (record,) = write(group, WriteOptions())
    assert isinstance(record, dict)
    assert list(read(record, STEP_1)) == [group]


def test_where_the_question_ends_is_asked():
    turn = [{"role": "user", "content": "What is\n2 + 2?\nIt is 4."}, {"role": "assistant", "content": "+"}]
    with pytest.raises(Question):
        list(read({"conversations": turn}, ReadOptions()))
    (group,) = read({"conversations": turn}, ReadOptions(first_step="line"))
    assert (group.question, group.solutions[0].text) == ("What is\n2 + 2?", "It is 4.")
    with pytest.raises(Unusable, match="cannot be told apart"):
        list(read({"conversations": turn}, STEP_1))
    turn[0]["content"] = "What is\n2 + 2?\n\nIt is\n4."
    (group,) = read({"conversations": turn}, ReadOptions(first_step="blank-line"))
    assert (group.question, group.solutions[0].text) == ("What is\n2 + 2?", "It is\n4.")


def test_labeller_and_separators_are_options():
    assert ReadOptions().labels_by == "monte-carlo"
    (group,) = read(golden("rlhflow")[0], ReadOptions(first_step="step-1", separator="\n\n"))
    assert group.solutions[0].steps[0].endswith("4.\n\n")
    (record,) = write(group, WriteOptions(separator="\n\n"))
    assert record == golden("rlhflow")[0]


def test_what_is_lost_on_the_way_out_is_told():
    group = Group("Q", solutions=(Solution(("a \n", "b"), labels=(0.5, 1.0)), Solution(("a",))))
    told = [one.reason for one in write(group, WriteOptions()) if isinstance(one, Left)]
    assert len(told) == 4
    assert told[-1] == "not every step is labelled"


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "user", "content": "Q Step 1: a"}],
        [{"role": "user", "content": "Q Step 1: a"}, {"role": "assistant", "content": "maybe"}],
        [{"role": "user", "content": "Q Step 1: a"}, {"role": "user", "content": "+"}],
        [{"role": "user", "content": " "}, {"role": "assistant", "content": "+"}],
    ],
)
def test_faulty_conversations(messages: list[dict[str, str]]):
    with pytest.raises(Unusable):
        list(read({"conversations": messages}, STEP_1))


def test_faulty_test_sets():
    with pytest.raises(Unusable, match="one per answer"):
        list(read(golden("rlhflow-test")[0] | {"label": [1]}, STEP_1))
