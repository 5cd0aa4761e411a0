"""ProcessBench: the first wrong step becomes labels up to it."""

from pathlib import Path

import pytest

from fullstep_data.formats.group import Unusable
from fullstep_data.formats.processbench import ReadOptions, read
from tests.fullstep_data.formats.trips import golden, import_records


def test_golden(tmp_path: Path):
    version, report = import_records("processbench", golden("processbench"), tmp_path)
    # Labels: all 3; 1 right + 1 wrong; 1 wrong.
    assert report.rows_out == {"problems": 3, "solutions": 3, "steps": 8, "step_labels": 8}
    assert version.frame("step_labels")["label"].drop_nulls().len() == 6
    assert sorted(version.frame("solutions")["correct"]) == [False, False, True]
    assert "2 + 2 = 4.\n\n4 + 3 = 7.\n\nThe answer is \\boxed{7}." in version.frame("solutions")["text"].to_list()
    assert set(version.frame("step_labels")["source"]) == {"human"}


@pytest.mark.parametrize(("label", "expected"), [(-1, (1.0, 1.0, 1.0)), (0, (0.0, None, None)), (2, (1.0, 1.0, 0.0))])
def test_labels_up_to_the_first_wrong_step(label: int, expected: tuple[float | None, ...]):
    (group,) = read({"problem": "Q", "steps": ["a", "b", "c"], "final_answer_correct": True, "label": label}, ReadOptions())
    assert group.solutions[0].labels == expected


def test_the_separator_is_an_option():
    (group,) = read(golden("processbench")[2], ReadOptions(separator=" "))
    assert group.solutions[0].text == "9 / 2 = 4. 4 / 2 = 2."


@pytest.mark.parametrize("change", [{"label": 3}, {"label": True}, {"label": None}, {"final_answer_correct": "yes"}])
def test_faulty_records(change: dict[str, object]):
    record = {"problem": "Q", "steps": ["a", "b", "c"], "final_answer_correct": True, "label": 0}
    with pytest.raises(Unusable):
        list(read(record | change, ReadOptions()))
