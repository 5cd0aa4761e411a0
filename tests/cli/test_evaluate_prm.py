"""`fs-train eval-prm`: which problems count, first errors by hand, the tuned threshold, ProcessBench files, and mistakes."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cli.evaluate_prm import TUNED, measure
from fullstep_data.formats.judged import Annotated, Judged
from fullstep_data.formats.judged import annotated as tables_of
from schemas import InputError
from tests.cli.commands import done, invoke
from tests.fullstep_data.formats.trips import GOLDEN

# Three solutions with an error, two without: label, and the reward of each step.
CASE = [
    (1, (0.9, 0.2, 0.1)),
    (0, (0.8, 0.3)),
    (2, (0.9, 0.9, 0.6)),
    (-1, (0.7, 0.8)),
    (-1, (0.7, 0.4)),
]


def annotated(case: list[tuple[int, tuple[float, ...]]], parts: str = "p") -> tuple[Annotated, pl.DataFrame]:
    """The case as tables, and its rewards. parts: one letter per row in turn."""
    rows = []
    for index, (label, rewards) in enumerate(case):
        places = range(len(rewards))
        values = tuple(1.0 if label < 0 or place < label else 0.0 if place == label else None for place in places)
        rows.append(Judged(parts[index % len(parts)], f"q{index}", ("a",) * len(rewards), values, "human"))
    made = tables_of(rows, str, "step-labels")
    rewards = pl.Series([reward for _, of_one in case for reward in of_one], dtype=pl.Float32)
    return made, made.steps.select("solution_id", "step_index").with_columns(reward=rewards)


def test_first_errors_by_hand() -> None:
    # Below 0.5 first: at 1 (right place), at 1 (0 is right), nowhere (2 is right): 1/3. Nowhere (right), at 1: 1/2.
    # F1 = 2 * 1/3 * 1/2 / (5/6) = 0.4; exact 2/5. Labelled steps: 2 + 1 + 3 + 2 + 2 = 10.
    found = measure(*annotated(CASE), threshold=0.5)
    assert (found["solutions"], found["steps"], found["label_source"]) == (5, 10, ["human"])
    errors = found["first_errors"]
    assert errors["policy"] == "fixed"
    assert (errors["error_accuracy"], errors["correct_accuracy"]) == (pytest.approx(1 / 3), 0.5)
    assert (errors["f1"], errors["exact"]) == (pytest.approx(0.4), pytest.approx(0.4))
    # At 0.65 the third's error is found (0.6): 2 of 3 would be, were the first of the fifth not below; places: 1, 1, 2.
    assert measure(*annotated(CASE), threshold=0.65)["first_errors"]["error_accuracy"] == pytest.approx(2 / 3)


def test_steps_by_hand() -> None:
    # Labelled steps (label, reward): 1 .9, 0 .2 | 0 .8 | 1 .9, 1 .9, 0 .6 | 1 .7, 1 .8 | 1 .7, 1 .4: seven right, three wrong.
    found = measure(*annotated(CASE), threshold=0.5)["steps_all"]
    # AUC: of 7 x 3 pairs, right above wrong: against .2 all 7; against .8 the three .9 and half of the .8: 3.5; against .6 six.
    assert found["auc"] == pytest.approx((7 + 3.5 + 6) / 21)
    # Brier: right .1² * 3 + .3² * 2 + .2² + .6² = .03 + .18 + .04 + .36 = .61; wrong .2² + .8² + .6² = 1.04; (.61 + 1.04) / 10.
    assert found["brier"] == pytest.approx(0.165)
    # ECE, bins of .1 (in single precision .7 and .9 lie a hair below): 2: .2, none of 1 right: .2. 4: .4, 1 of 1: .6. 6: .6 +
    # .7 + .7 = 2, 2 of 3: 0. 8: .8 + .8 + .9 * 3 = 4.3, 4 of 5: .3. Together 1.1 of 10 steps.
    assert found["ece"] == pytest.approx(0.11, abs=1e-6)
    # Right at .5 or above: .9 .8 .9 .9 .6 .7 .8 .7, of which six of the seven right: F1 2 * 6 / (8 + 7) = .8.
    # Wrong below: .2 .4, of which one of the three wrong: F1 2 * 1 / (2 + 3) = .4. PRMScore .6.
    assert (found["f1_right"], found["f1_wrong"], found["prm_score"]) == (
        pytest.approx(0.8),
        pytest.approx(0.4),
        pytest.approx(0.6),
    )
    # First errors at step 1 (missed), 2 (found), 3 (missed).
    places = measure(*annotated(CASE), threshold=0.5)["first_errors"]["by_position"]
    assert [(one["position"], one["solutions"], one["exact"]) for one in places] == [(1, 1, 0.0), (2, 1, 1.0), (3, 1, 0.0)]


def test_steps_after_the_first_error_do_not_count() -> None:
    # The first solution's third step has no label: of 12 rewards 10 are measured.
    found = measure(*annotated(CASE[:2]), threshold=0.5)
    assert (found["steps"], sum(one["steps"] for one in found["reliability"])) == (3, 3)
    assert [row["steps"] for row in found["by_position"]] == [2, 1]


def test_a_tuned_threshold_comes_from_the_other_half() -> None:
    # Every error is at 1 with a reward of 0.3, every right step has 0.4: any threshold between is best in both halves, 0.31.
    case = [(1, (0.4, 0.3)), (-1, (0.4, 0.4))] * 20
    errors = measure(*annotated(case), threshold=None)["first_errors"]
    assert errors["policy"] == TUNED
    assert errors["thresholds"] == pytest.approx([0.31, 0.31])
    assert (errors["f1"], errors["threshold"]) == (1.0, None)
    assert measure(*annotated(case), threshold=0.5)["first_errors"]["f1"] == 0.0


def test_sources_are_measured_apart() -> None:
    found = measure(*annotated(CASE, parts="ab"), threshold=0.5)
    assert {name: part["solutions"] for name, part in found["by_source"].items()} == {"a": 3, "b": 2}
    # a: rows 0, 2, 4: errors 1 of 2, the one without wrongly doubted: F1 0. b: rows 1, 3: error missed, the other right: 0.
    assert {name: part["exact"] for name, part in found["first_errors"]["by_source"].items()} == {
        "a": pytest.approx(1 / 3),
        "b": 0.5,
    }
    assert measure(*annotated(CASE), threshold=0.5)["by_source"] == {}


def test_nothing_scored_is_nothing_measured() -> None:
    made, rewards = annotated(CASE)
    with pytest.raises(InputError, match="no labelled step was scored"):
        measure(made, rewards.clear(), 0.5)


def report(options: str, place: Path) -> dict[str, Any]:
    return json.loads(done(f"fs-train eval-prm --prm out/tiny {options} --format json", place).stdout)


def test_of_its_own_dataset_only_what_the_training_held_back_counts(built: Path):
    held = report("--data out/tiny", built)
    assert "that the training held back" in held["note"]
    assert "undefined" in held["first_errors"]
    everything = report("--data out/tiny --everything", built)
    assert held["problems"] < everything["problems"]
    # the figures are those that the training itself left
    (metrics,) = built.glob("out/tiny/models/*/metrics.json")
    validation = json.loads(metrics.read_text())["validation"]
    assert held["steps_all"]["auc"] == pytest.approx(validation["auc"], abs=1e-3)
    assert held["steps"] == validation["steps"]
    assert "Reliability" in done("fs-train eval-prm --prm out/tiny --data out/tiny", built).stdout


def test_prmbench_from_a_file_with_its_reliability_as_a_picture(built: Path, tmp_path: Path):
    picture = tmp_path / "reliability.png"
    found = report(f"--data {GOLDEN / 'prmbench.jsonl'} --plot {picture}", built)
    assert (found["solutions"], found["steps"], found["label_source"]) == (3, 8, ["judge"])
    assert set(found["by_source"]) == {"step_contradiction", "redundency", "missing_condition"}
    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_a_file_in_the_form_of_processbench(built: Path, tmp_path: Path):
    file = tmp_path / "bench.jsonl"
    rows = [{"id": "gsm8k-1", "problem": "1 + 2?", "steps": ["1 + 2 = 3", "So 3."], "label": -1}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows * 3))
    found = report(f"--data {file} --limit 2", built)
    assert (found["solutions"], found["first_errors"]["n_correct"], found["first_errors"]["f1"]) == (2, 2, None)
    other = report(f"--data {file} --limit 2 --form paragraphs", built)
    assert other["reliability"] != found["reliability"]
    assert report(f"--data {file} --limit 2 --template steps-zero-shot", built)["reliability"] != found["reliability"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--prm out/tiny-run --data out/tiny", "has no model prm"),
        ("--prm tiny-random --data out/tiny", "no process-reward model"),
        ("--prm out/tiny --data nowhere.jsonl", "there is no such file"),
        ("--prm out/tiny --data out/tiny --labeller people", "no labels by 'people'"),
        ("--prm out/tiny --data out/tiny --threshold high", "a number or `tuned` is wanted"),
        ("--prm out/tiny --data processbench/maths", "no part 'maths'"),
        ("--prm out/tiny --data out/tiny --plot curve.svg", "a plot is a PNG file"),
    ],
)
def test_what_cannot_be_measured_is_told(options: str, message: str, built: Path):
    result = invoke(f"fs-train eval-prm {options}", built)
    assert result.exit_code == 2
    assert message in result.stderr
