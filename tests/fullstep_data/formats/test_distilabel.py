"""distilabel: signs at the end of steps, lists or JSON texts, the gold answer out of the golden solution."""

from pathlib import Path

import pytest

from fullstep_data.formats.distilabel import ReadOptions, read
from fullstep_data.formats.group import Unusable
from tests.fullstep_data.formats.trips import golden, import_records


def test_golden(tmp_path: Path):
    version, report = import_records("distilabel", golden("distilabel"), tmp_path)
    assert report.rows_out == {"problems": 3, "solutions": 4, "steps": 8, "step_labels": 8}
    assert report.decisions == {"no gold answer: none is stated in golden_solution": 1}
    rows = version.frame("solutions").sort("answer").select("answer", "correct", "grade_path").rows()
    assert rows == [("0", None, "given"), ("4", True, "exact"), ("5", False, "rational"), ("9", True, "exact")]
    assert set(version.frame("step_labels")["source"]) == {"monte-carlo"}


def test_the_separator_is_an_option():
    (group,) = read(golden("distilabel")[1], ReadOptions(separator=" | "))
    assert group.solutions[0].text == "Step 1: 3 * 3 = 9. | The answer is: 9"


def test_a_generation_that_failed_is_left_out_and_told():
    (group,) = read(golden("distilabel")[0] | {"solutions": [["a +"], [], []]}, ReadOptions())
    assert len(group.solutions) == 1
    assert group.notes == ("an empty solution was left out: its generation failed",) * 2


@pytest.mark.parametrize(
    ("solutions", "reason"),
    [
        ("no JSON", "a text, but no JSON"),
        ({"a": 1}, "solutions is not a list"),
        ([["a +"], 1], "a solution is not a list of texts"),
        ([["a +", "b"]], "a step does not end in"),
        ([["+"]], "a step does not end in"),
    ],
)
def test_faulty_records(solutions: object, reason: str):
    with pytest.raises(Unusable, match=reason):
        list(read({"instruction": "Q", "solutions": solutions}, ReadOptions()))
