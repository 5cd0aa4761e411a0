"""What `fs-train eval-prm` shows of a report."""

from typing import Any

from rich.console import Group

from cli.prm_summary import prm_summary
from tests.cli.test_render import shown

FIGURES = {"auc": 0.75, "accuracy": 0.5, "brier": 0.2, "ece": 0.1, "lowest_is_last": 0.3}
FIGURES |= {"f1_right": 0.8, "f1_wrong": 0.4, "prm_score": 0.6}
ERRORS = {"n_error": 3, "n_correct": 2, "error_accuracy": 1 / 3, "correct_accuracy": 0.5, "f1": 0.4, "exact": 0.4}
ERRORS |= {"by_position": [{"position": 2, "last": False, "solutions": 3, "exact": 1 / 3}]}


def text(**changes: Any) -> str:
    report = {
        "prm": "out/prm",
        "data": "bench.jsonl",
        "note": "5 solutions judged by people",
        "steps": 12,
        "solutions": 5,
        "label_source": ["human"],
        "steps_all": FIGURES,
        "by_source": {},
        "by_position": [{"position": 8, "last": True, "steps": 4, "label_mean": 0.5, "reward_mean": 0.25, **FIGURES}],
        "reliability": [{"low": 0.1, "high": 0.2, "steps": 4, "reward_mean": 0.15, "share": 0.5}],
        "first_errors": {"policy": "fixed", "threshold": 0.5, "by_source": {}, **ERRORS},
        "left_out": {},
    }
    return shown(Group(*prm_summary({**report, **changes})))


def line(shown: str, begin: str) -> list[str]:
    return next(line.split() for line in shown.splitlines() if line.strip().startswith(begin))


def test_figures_bins_positions_and_first_errors() -> None:
    found = text()
    assert "12 labelled steps of 5 solutions, labels: human" in found
    assert line(found, "all")[1:] == ["0.750", "0.500", "0.200", "0.100", "0.300", "0.800", "0.400", "0.600"]
    assert line(found, "0.1 to 0.2")[3:6] == ["4", "0.150", "0.500"]
    assert line(found, "8 and later")[3:] == ["4", "0.500", "0.250", "0.750", "0.200", "0.100"]
    assert line(found.split("First errors")[1], "all") == [
        "all",
        "40.0%",
        "33.3%",
        "of",
        "3",
        "50.0%",
        "of",
        "2",
        "40.0%",
        "0.500",
    ]
    assert line(found.split("First errors")[1], "2 ") == ["2", "3", "33.3%"]
    assert "threshold fixed" in found


def test_sources_have_rows_and_tuned_thresholds_are_both_shown() -> None:
    tuned = {"policy": "tuned: out of fold", "threshold": None, "thresholds": [0.25, 0.75], **ERRORS}
    found = text(by_source={"gsm8k": FIGURES}, first_errors={**tuned, "by_source": {"gsm8k": {**tuned, "f1": None}}})
    assert line(found, "gsm8k")[1] == "0.750"
    errors = found.split("First errors")[1]
    assert line(errors, "all")[-3:] == ["0.250", "and", "0.750"]
    assert line(errors, "gsm8k")[1] == "none"
    assert "tuned: out of fold" in " ".join(found.split())


def test_what_is_not_defined_or_left_out_is_said() -> None:
    found = text(
        first_errors={"undefined": "outcome labels do not say"},
        steps_all={**FIGURES, "auc": None, "undefined": "auc: every validation step has the label 1"},
        left_out={"longer than max_length": 3},
    )
    assert "outcome labels do not say" in found
    assert "every validation step has the label 1" in found
    assert "3 steps left out: longer than max_length" in found
