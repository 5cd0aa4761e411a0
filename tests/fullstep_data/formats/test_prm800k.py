"""PRM800K: the chosen path, the completions beside it, neutral ratings, and whole solutions that are graded."""

from pathlib import Path

import pytest

from fullstep_data.formats.group import Question, Unusable
from fullstep_data.formats.prm800k import ReadOptions, read
from schemas import InputError
from tests.fullstep_data.formats.trips import golden, import_records

RIGHT = ReadOptions(neutral="right")


def test_golden(tmp_path: Path):
    version, report = import_records("prm800k", golden("prm800k"), tmp_path, neutral="right")
    assert report.rejected == {"the labeller found the problem bad": 1}
    # Solutions: 1 chosen + 1 beside; 1 (its rest from the sampled solution); 1 chosen + 2 beside.
    assert report.rows_out == {"problems": 3, "solutions": 6, "steps": 2 + 1 + 3 + 2 + 1 + 1, "step_labels": 10}
    assert version.frame("step_labels")["label"].drop_nulls().len() == 3 + 2 + 3
    solutions = version.frame("solutions").filter(finish_reason="given").sort("answer")
    assert solutions.select("answer", "correct").rows() == [("22", True), ("24", False), ("25", True)]
    assert set(version.frame("step_labels")["source"]) == {"human"}


def test_the_sampled_solution_is_made_whole():
    (group,) = read(golden("prm800k")[1], RIGHT)
    (solution,) = group.solutions
    assert len(solution.steps) == 3
    assert solution.labels == (1.0, 0.0, None)  # neutral, wrong, and what no one rated
    assert (solution.stated, solution.finished, group.answer) == ("24", True, "4")


def test_a_shared_step_is_labelled_once():
    (group,) = read(golden("prm800k")[0], RIGHT)
    chosen, beside = group.solutions
    assert chosen.labels == (1.0, 1.0)
    assert beside.labels == (0.0,)
    assert beside.steps == ("I add first: $7 + 1 = 9$.",)
    assert not beside.finished


def test_a_step_that_the_labeller_wrote_is_not_rated():
    (group,) = read(golden("prm800k")[2], RIGHT)
    chosen, *beside = group.solutions
    assert chosen.labels == (None, 1.0)
    assert chosen.steps[0] == "$5^2 = 5 \\cdot 5$.\n"
    assert [solution.labels for solution in beside] == [(0.0,), (0.0,)]
    assert "a step that the labeller wrote is not rated: its label is open" in group.notes


@pytest.mark.parametrize("flag", ["is_quality_control_question", "is_initial_screening_question"])
def test_what_every_labeller_was_served_is_told(flag: str):
    (group,) = read(golden("prm800k")[0] | {flag: True}, RIGHT)
    assert any("served to every labeller" in note for note in group.notes)
    (plain,) = read(golden("prm800k")[0], RIGHT)
    assert plain.solutions == group.solutions
    assert not any("served" in note for note in plain.notes)


@pytest.mark.parametrize(("neutral", "label"), [("right", 1.0), ("wrong", 0.0), ("open", None)])
def test_neutral_is_what_the_option_says(neutral: str, label: float | None):
    (group,) = read(golden("prm800k")[1], ReadOptions.model_validate({"neutral": neutral}))
    assert group.solutions[0].labels[0] == label


def test_neutral_is_asked(tmp_path: Path):
    with pytest.raises(InputError, match="set the option neutral") as told:
        import_records("prm800k", golden("prm800k"), tmp_path)
    assert told.value.count == 1
    assert "as Qwen reads it" in told.value.next_step
    with pytest.raises(Question):
        list(read(golden("prm800k")[1], ReadOptions()))


def test_the_separator_is_an_option():
    (group,) = read(golden("prm800k")[0], ReadOptions(neutral="right", separator="\n\n"))
    assert group.solutions[0].steps[0].endswith("21$.\n\n")


def test_faulty_records():
    record = golden("prm800k")[0]
    record["label"]["steps"][0]["completions"][0]["rating"] = 5
    with pytest.raises(Unusable, match="a rating is none of"):
        list(read(record, RIGHT))
    record["label"]["steps"][0]["completions"][0]["text"] = None
    with pytest.raises(Unusable, match="a completion has no text"):
        list(read(record, RIGHT))
    with pytest.raises(Unusable, match="no question or no label"):
        list(read({"question": {}}, RIGHT))
