"""Math-Shepherd: signs to labels and back, the label inside a question, and what cannot be told apart."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullstep_data.formats.group import Group, Question, Solution, Unusable
from fullstep_data.formats.math_shepherd import MATH_SHEPHERD, ReadOptions, WriteOptions, read, tagged, write
from schemas import InputError
from tests.fullstep_data.formats.trips import export_records, golden, import_records, same

WORDS = st.text(alphabet="abc +-=<>1$\\", min_size=1, max_size=12).map(str.strip).filter(bool)


def test_golden(tmp_path: Path):
    version, report = import_records("math-shepherd", golden("math-shepherd"), tmp_path, prompt_label="reject")
    assert report.rejected == {"a label stands inside the question": 1}
    # 2 + 2 + 3 steps; two solutions of the first problem, one of the second.
    assert report.rows_out == {"problems": 2, "solutions": 3, "steps": 7, "step_labels": 7}
    solutions = version.frame("solutions").sort("text")
    assert solutions["answer"].to_list() == ["9", "12", "7"]
    assert solutions["correct"].to_list() == [True, True, False]
    assert set(version.frame("step_labels")["source"]) == {"monte-carlo"}
    assert set(version.frame("problems")["source"]) == {"GSM8K", "MATH"}
    records, written = export_records("math-shepherd", version, tmp_path)
    assert same(records, golden("math-shepherd")[:3])
    assert written.decisions == {}


def test_a_label_inside_the_question_is_asked_about(tmp_path: Path):
    with pytest.raises(InputError, match="set the option prompt_label") as told:
        import_records("math-shepherd", golden("math-shepherd"), tmp_path)
    assert told.value.count == 1
    assert "drop (" in told.value.next_step
    assert not (tmp_path / "dataset").exists()
    version, report = import_records("math-shepherd", golden("math-shepherd"), tmp_path, prompt_label="drop")
    assert report.decisions == {"a label inside the question was dropped": 1}
    rounded = version.frame("problems").filter(question="Round to the nearest ten : 36.")
    assert rounded.height == 1
    with pytest.raises(Question):
        list(read(golden("math-shepherd")[3], ReadOptions()))


def test_steps_without_numbers_are_asked_about(tmp_path: Path):
    """Some published rows have no "Step 1:"; where they have one question mark, the question may end there."""
    record = {"input": "What is 2 + 2? 2 + 2 = 4. ки\nThe answer is: 4 ки", "task": "GSM8K"}
    record["label"] = record["input"].replace("ки", "+")
    with pytest.raises(InputError, match="set the option unnumbered") as told:
        import_records("math-shepherd", [record], tmp_path)
    assert told.value.count == 1
    (group,) = read(record, ReadOptions(unnumbered="question-mark"))
    assert (group.question, group.solutions[0].text) == ("What is 2 + 2?", "2 + 2 = 4.\nThe answer is: 4")
    with pytest.raises(Unusable, match="the steps are not numbered"):
        list(read(record, ReadOptions(unnumbered="reject")))
    for text in ("What is 2 + 2? Is it 4? 4 ки", "It is 4. ки", "What? ки"):
        with pytest.raises(Unusable, match="no question before"):
            list(read({"input": text, "label": text.replace("ки", "+")}, ReadOptions(unnumbered="question-mark")))


@given(WORDS, st.lists(st.tuples(WORDS, st.booleans()), min_size=1, max_size=5))
def test_round_trip(question: str, steps: list[tuple[str, bool]]):
    texts = [f"Step {place}: {text}" for place, (text, _) in enumerate(steps, start=1)]
    spans = (*(f"{text}\n" for text in texts[:-1]), texts[-1])
    labels = tuple(float(sign) for _, sign in steps)
    group = Group(question, source="GSM8K", solutions=(Solution(spans, labels=labels, correct=steps[-1][1]),))
    (record,) = write(group, WriteOptions())
    assert isinstance(record, dict)
    assert record["input"].count("ки") == len(steps)
    assert list(read(record, ReadOptions())) == [group]


@pytest.mark.parametrize(
    ("text", "label", "reason"),
    [
        ("Q Step 1: a", "Q Step 1: a", "input has no tag"),
        ("Q Step 1: a ки rest", "Q Step 1: a + rest", "text after the last tag"),
        ("Q Step 1: a ки", "Q Step 1: b +", "differ in more than tags"),
        ("Q Step 1: a ки", "Q Step 1: a ?", "differ in more than tags"),
        ("Q Step 1: aки ки", "Q Step 1: a+ +", "a step is blank"),
    ],
)
def test_what_cannot_be_read(text: str, label: str, reason: str):
    with pytest.raises(Unusable, match=reason):
        tagged(text, label)


def test_what_cannot_be_written_is_told():
    def told(*steps: str, labels: tuple[float | None, ...]) -> list[object]:
        return [getattr(one, "reason", one) for one in write(Group("Q", solutions=(Solution(steps, labels=labels),)), options)]

    options = WriteOptions()
    assert told("Step 1: a", labels=()) == ["not every step is labelled"]
    assert told("Step 1: ки", labels=(1.0,)) == ["the text holds the tag ки"]
    assert "'Step 1:'" in str(told("First", labels=(1.0,))[0])
    record, soft = told("Step 1: a", labels=(0.25,))
    assert record == {"input": "Q Step 1: a ки", "label": "Q Step 1: a +", "task": ""}  # 0.25 > 0
    assert soft == "soft labels were made hard (value > 0)"
    blanks, record = told("Step 1: a \n", "b", labels=(1.0, 0.0))
    assert blanks == "blanks around steps were not kept"
    assert record == {"input": "Q Step 1: a ки\nb ки", "label": "Q Step 1: a +\nb -", "task": ""}


def test_options_of_the_export_show():
    group = Group("Q", solutions=(Solution(("Step 1: a\n\n", "b"), labels=(1.0, 1.0)),))
    (record,) = write(group, WriteOptions(tag="<T>", separator="\n\n"))
    assert isinstance(record, dict)
    assert record["input"] == "Q Step 1: a <T>\n\nb <T>"
    assert not MATH_SHEPHERD.looks_like(record)
