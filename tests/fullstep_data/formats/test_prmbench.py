"""PRMBench: marked steps count from 1, superfluous ones are asked about, the original solution comes once."""

from pathlib import Path

import pytest

from fullstep_data.formats.group import Unusable
from fullstep_data.formats.prmbench import ReadOptions, read
from schemas import InputError
from tests.fullstep_data.formats.trips import golden, import_records


def test_golden(tmp_path: Path):
    version, report = import_records("prmbench", golden("prmbench"), tmp_path, redundant="open")
    # Three modified solutions (3 + 3 + 2 steps) and the original one (2), which comes three times; one marked step stays open.
    assert report.rows_out == {"problems": 2, "solutions": 4, "steps": 10, "step_labels": 10}
    assert version.frame("step_labels")["label"].null_count() == 1
    labels = version.frame("step_labels").join(version.frame("steps"), on=["solution_id", "step_index"])
    assert sorted(labels.filter(label=False)["text"]) == [
        "4 is not 2 + 2, so take 5.\n",
        "5 + 3 = 8.",
        "The third number is 1: 4 + 1 = 5.",
    ]


@pytest.mark.parametrize(("redundant", "label"), [("right", 1.0), ("wrong", 0.0), ("open", None)])
def test_superfluous_steps_are_what_the_option_says(redundant: str, label: float | None):
    group, _ = read(golden("prmbench")[1], ReadOptions.model_validate({"redundant": redundant}))
    assert group.solutions[0].labels == (1.0, label, 1.0)


def test_superfluous_steps_are_asked_about(tmp_path: Path):
    with pytest.raises(InputError, match="set the option redundant") as told:
        import_records("prmbench", golden("prmbench"), tmp_path)
    assert told.value.count == 1


def test_the_original_may_be_left_out_and_the_separator_set():
    groups = list(read(golden("prmbench")[0], ReadOptions(original=False, separator=" ")))
    assert [group.solutions[0].text for group in groups] == ["2 + 2 = 4. 4 is not 2 + 2, so take 5. 5 + 3 = 8."]


def test_marks_after_the_last_step_are_asked_about(tmp_path: Path):
    """In the published files about two rows of a hundred have one."""
    record = golden("prmbench")[0] | {"error_steps": [2, 4]}  # of three steps
    (group, _) = read(record, ReadOptions(beyond="ignore"))
    assert (group.solutions[0].labels, group.notes) == ((1.0, 0.0, 1.0), ("a mark after the last step was ignored",))
    with pytest.raises(Unusable, match="after the last step"):
        list(read(record, ReadOptions(beyond="reject")))
    with pytest.raises(InputError, match="set the option beyond") as told:
        import_records("prmbench", [record], tmp_path)
    assert told.value.count == 1


def test_a_blank_step_is_left_out_with_its_mark():
    record = golden("prmbench")[0] | {"modified_process": ["a", " ", "b", "c"], "error_steps": [2, 3]}
    (group, _) = read(record, ReadOptions())
    assert (group.solutions[0].text, group.solutions[0].labels) == ("a\nb\nc", (1.0, 0.0, 1.0))
    assert group.notes == ("a blank step was left out",)


@pytest.mark.parametrize("wrong", [[0], ["2"], "2", None])
def test_marks_outside_the_steps(wrong: object):
    with pytest.raises(Unusable, match="step numbers from 1"):
        list(read(golden("prmbench")[0] | {"error_steps": wrong}, ReadOptions()))
