"""Math-Step-DPO: prefix and continuation become solutions, the compared step carries the label; both variants go out again."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullstep_data.formats.group import Group, Left, NoOptions, Pair, Solution, StepPair, Unusable
from fullstep_data.formats.math_step_dpo import WriteOptions, read, write
from tests.fullstep_data.formats.trips import export_records, golden, import_records
from tests.golden.twenty import build as golden_build

WORD = st.text(alphabet="abc +=1", min_size=1, max_size=12).map(str.strip).filter(bool)


def test_golden(tmp_path: Path):
    version, report = import_records("math-step-dpo", golden("math-step-dpo"), tmp_path)
    # Solutions: 2 + 2 + 2 + 1. Labels: (2 + 2) + (1 + 1) + (1 + 1) + 2, up to the compared step of each.
    assert report.rows_out == {"problems": 4, "solutions": 7, "steps": 16, "step_labels": 16, "pairs": 3}
    assert version.frame("step_labels")["label"].drop_nulls().len() == 10
    columns = {line for line in report.decisions if line.startswith("column ")}
    assert columns == {f"column {name} is not kept" for name in ("idx", "gt_output", "step_num", "input", "ori_filepath")}
    assert len(report.decisions) == 1 + len(columns)
    solutions = version.frame("solutions")
    assert solutions.filter(finish_reason="given").sort("answer", "correct").select("answer", "correct").rows() == [
        *(("10", False), ("13", False), ("14", True), ("4", False), ("4", True), ("42", True)),
    ]
    records, _ = export_records("math-step-dpo", version, tmp_path)
    assert all(record in records for record in golden("math-step-dpo")[:2])
    pipeline, _ = export_records("math-step-dpo", version, tmp_path, variant="pipeline")
    (third,) = [record for record in pipeline if record["prompt"] == "What is 8 / 2?"]
    assert third == golden("math-step-dpo")[2]


def test_the_compared_step_carries_the_label():
    (group,) = read(golden("math-step-dpo")[0], NoOptions())
    chosen, rejected = group.solutions
    assert chosen.steps == ("Step 1: 3 * 4 = 12.\n", "Step 2: 12 + 2 = 14.\n", "Step 3: The answer is: 14")
    assert (chosen.labels, rejected.labels) == ((1.0, 1.0, None), (1.0, 0.0, None))
    assert group.pairs == (Pair(0, 1),)


def test_a_prefix_may_be_empty():
    record = {"prompt": "Q", "initial_reason_steps": "", "chosen": "Step 1: a", "rejected": "Step 1: b", "answer": "1"}
    (group,) = read(record | {"full_chosen": "Step 1: a\nStep 2: c", "full_rejected": "Step 1: b"}, NoOptions())
    assert [solution.labels for solution in group.solutions] == [(1.0, None), (0.0,)]
    (written,) = write(group, WriteOptions())
    assert isinstance(written, dict)
    assert (written["initial_reason_steps"], written["chosen"], written["rejected"]) == ("Step 1:", " a", " b")


def test_a_repeated_prefix_is_not_doubled():
    record = golden("math-step-dpo")[0]
    doubled = record | {key: record["initial_reason_steps"] + record[key] for key in ("full_chosen", "full_rejected")}
    assert list(read(doubled, NoOptions())) == list(read(record, NoOptions()))


@given(st.lists(WORD, max_size=3), WORD, WORD, WORD)
def test_round_trip(before: list[str], chosen: str, rejected: str, end: str):
    # What follows the first difference must differ at once: the same beginning of a step would not be cut by the format.
    prefix = "".join(f"Step {place}: {text}\n" for place, text in enumerate(before, start=1))
    label = f"Step {len(before) + 1}:"
    record = {"dataset": "d", "prompt": "Q", "initial_reason_steps": prefix + label}
    record |= {"chosen": f" {chosen}", "rejected": f" {rejected}!"}
    tail = f"\nStep {len(before) + 2}: {end}"
    record |= {"full_chosen": f" {chosen}{tail}", "full_rejected": f" {rejected}!{tail}", "answer": "1"}
    (group,) = read(record, NoOptions())
    assert list(write(group, WriteOptions())) == [record]


def test_pairs_of_next_steps_go_out_where_there_are_some():
    steps = (
        ("Step 1: a\n", "Step 2: b\n", "Step 3: c"),
        ("Step 1: a\n", "Step 2: x\n", "Step 3: y"),
        ("Step 1: z\n", "Step 2: c"),
    )
    group = Group("Q", answer="1", solutions=tuple(map(Solution, steps)), pairs=(Pair(0, 2),), step_pairs=(StepPair(0, 1, 1),))
    written = list(write(group, WriteOptions()))
    assert written == [
        {
            "dataset": "",
            "prompt": "Q",
            "initial_reason_steps": "Step 1: a\nStep 2:",
            "chosen": " b",
            "rejected": " x",
            "full_chosen": " b\nStep 3: c",
            "full_rejected": " x\nStep 3: y",
            "answer": "1",
        }
    ]
    (whole,) = write(group, WriteOptions(records="pairs"))
    assert isinstance(whole, dict)
    assert (whole["initial_reason_steps"], whole["chosen"], whole["rejected"]) == ("Step 1:", " a", " z")
    without = replace(group, step_pairs=None)
    assert list(write(without, WriteOptions())) == [whole]
    assert list(write(without, WriteOptions(records="step-pairs"))) == []


def test_a_build_gives_the_rows_of_step_pairs(tmp_path: Path):
    version = golden_build(tmp_path / "dataset")
    records, report = export_records("math-step-dpo", version, tmp_path)
    rows = version.frame("step_pairs").join(version.frame("problems"), on="problem_id")
    assert len(records) == rows.height > 0
    assert report.rejected == {}
    texts = {solution["solution_id"]: solution["text"] for solution in version.frame("solutions").iter_rows(named=True)}
    wanted: list[tuple[str, ...]] = []
    for row in rows.iter_rows(named=True):
        steps = [row["prefix"] + row[side].rstrip() for side in ("chosen", "rejected")]
        wanted.append((row["question"], *steps, texts[row["chosen_id"]], texts[row["rejected_id"]]))
    sides = ("chosen", "rejected", "full_chosen", "full_rejected")
    written = [(one["prompt"], *(one["initial_reason_steps"] + one[side] for side in sides)) for one in records]
    assert sorted(written) == sorted(wanted)


def test_what_cannot_be_written():
    one, two = Solution(("a\n", "b")), Solution(("a\n",))
    told = list(write(Group("Q", answer="1", solutions=(one, two), pairs=(Pair(0, 1),)), WriteOptions()))
    assert told == [Left("one solution of the pair is the beginning of the other")]
    told = list(write(Group("Q", solutions=(one, Solution(("c",))), pairs=(Pair(0, 1),)), WriteOptions()))
    assert told == [Left("the problem has no gold answer")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"full_chosen": "something else"}, "does not begin with its step"),
        ({"initial_reason_steps": None}, "the prefix is not a text"),
        ({"chosen": ""}, "chosen is blank"),
    ],
)
def test_faulty_records(change: dict[str, object], reason: str):
    with pytest.raises(Unusable, match=reason):
        list(read(golden("math-step-dpo")[0] | change, NoOptions()))
