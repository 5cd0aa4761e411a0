"""TRL stepwise supervision: what the format leaves open is an option, soft labels are never cast in silence."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullstep_data.formats.group import Group, Left, Solution, Unusable
from fullstep_data.formats.trl_stepwise import ReadOptions, WriteOptions, read, write
from schemas import InputError
from tests.fullstep_data.formats.trips import export_records, golden, import_records, same

TEXT = st.text(min_size=1, max_size=20).filter(lambda text: text.strip() != "" and not text.endswith("\n"))


def test_golden(tmp_path: Path):
    version, report = import_records("trl-stepwise", golden("trl-stepwise"), tmp_path, labels_by="human", correct="all-steps")
    assert report.rows_out == {"problems": 2, "solutions": 3, "steps": 7, "step_labels": 7}
    assert set(version.frame("step_labels")["source"]) == {"human"}
    assert sorted(version.frame("solutions")["correct"]) == [False, True, True]
    assert "2 + 2 = 4.\nThe answer is 4" in version.frame("solutions")["text"].to_list()
    records, written = export_records("trl-stepwise", version, tmp_path)
    assert same(records, golden("trl-stepwise"))
    assert (written.rejected, written.decisions) == ({}, {})


def test_who_made_the_labels_is_asked(tmp_path: Path):
    with pytest.raises(InputError, match="set the option labels_by") as told:
        import_records("trl-stepwise", golden("trl-stepwise"), tmp_path)
    assert told.value.count == 3


@given(TEXT, st.lists(st.tuples(TEXT, st.booleans()), min_size=1, max_size=5))
def test_round_trip(prompt: str, steps: list[tuple[str, bool]]):
    record = {"prompt": prompt, "completions": [text for text, _ in steps], "labels": [label for _, label in steps]}
    (group,) = read(record, ReadOptions())
    assert group.solutions[0].text == "\n".join(record["completions"])
    assert list(write(group, WriteOptions())) == [record]


def test_the_prompt_may_be_a_message():
    record = {"prompt": [{"role": "user", "content": "Q"}], "completions": ["a"], "labels": [True]}
    (group,) = read(record, ReadOptions())
    assert group.question == "Q"
    for prompt in ([], [{"role": "system", "content": "Q"}], [{"role": "user", "content": "Q"}] * 2):
        with pytest.raises(Unusable, match="prompt is not a text"):
            list(read(record | {"prompt": prompt}, ReadOptions()))


@pytest.mark.parametrize(("how", "expected"), [("unknown", None), ("last-step", True), ("all-steps", False)])
def test_correct_is_what_the_option_says(how: str, expected: bool | None):
    record = {"prompt": "Q", "completions": ["a", "b"], "labels": [False, True]}
    (group,) = read(record, ReadOptions.model_validate({"correct": how}))
    assert group.solutions[0].correct is expected


def test_soft_labels_stay_beside():
    group = Group("Q", solutions=(Solution(("a\n", "b"), labels=(0.5, 0.0)),))
    record = {"prompt": "Q", "completions": ["a", "b"], "labels": [True, False]}
    hardened, written = write(group, WriteOptions())
    assert isinstance(hardened, Left)
    assert hardened.kept
    assert written == record
    assert list(write(group, WriteOptions(values=True))) == [record | {"values": [0.5, 0.0]}]
    assert next(read(record | {"values": [0.5, 0.0]}, ReadOptions())).solutions[0].labels == (0.5, 0.0)


def test_where_a_share_is_missing_the_hard_labels_count():
    record = {"prompt": "Q", "completions": ["a", "b"], "labels": [True, False], "values": [0.5, None]}
    (group,) = read(record, ReadOptions())
    assert group.solutions[0].labels == (1.0, 0.0)


def test_the_separator_is_an_option():
    record = {"prompt": "Q", "completions": ["a", "b"], "labels": [True, True]}
    (group,) = read(record, ReadOptions(separator=" | "))
    assert group.solutions[0].text == "a | b"
    assert list(write(group, WriteOptions(separator=" | "))) == [record]
    told, joined = write(group, WriteOptions())
    assert isinstance(told, Left)
    assert joined == record | {"completions": ["a | ", "b"]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"labels": [-100, "x"]}, "labels is not a list of booleans"),
        ({"completions": "text"}, "completions is not a list of texts"),
        ({"completions": []}, "completions is empty"),
        ({"completions": ["a", " "]}, "a text in completions is blank"),
        ({"prompt": ""}, "prompt is blank"),
        ({"prompt": None}, "prompt is not a text"),
    ],
)
def test_faulty_records(change: dict[str, object], reason: str):
    with pytest.raises(Unusable, match=reason):
        list(read({"prompt": "Q", "completions": ["a", "b"], "labels": [True, True], **change}, ReadOptions()))


def test_label_and_step_counts_must_agree(tmp_path: Path):
    rows = [*golden("trl-stepwise"), {"prompt": "Q", "completions": ["a"], "labels": [True, True]}]
    rows.append({"prompt": "Q", "completions": ["a"], "labels": [-100]})
    _, report = import_records("trl-stepwise", rows, tmp_path, labels_by="human")
    assert report.rejected == {"not as many labels as steps": 1, "labels are not all between 0 and 1": 1}
