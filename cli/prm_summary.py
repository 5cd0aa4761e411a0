"""What `fs-train eval-prm` shows: figures of steps, first errors, bins and positions.

show(prm_summary(report))       # `report`: the dict of cli.evaluate_prm, which --format json prints
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from cli.render import bar, counted, plain_table, section

FIGURES = ("auc", "accuracy", "brier", "ece", "lowest_is_last", "f1_right", "f1_wrong", "prm_score")
MEANING = (
    "auc: are right steps above wrong ones; brier, ece: is a reward a probability (0 is best); f1_right, f1_wrong: right and "
    "wrong steps found at the threshold; prm_score: their mean, as PRMBench"
)


def prm_summary(report: Mapping[str, Any]) -> list[RenderableType]:
    """All blocks."""
    size = f"{counted(report['steps'], 'labelled step')} of {counted(report['solutions'], 'solution')}"
    left = [Text(f"{count:,} steps left out: {reason}") for reason, count in report["left_out"].items()]
    head = [Text(f"{size}, labels: {', '.join(report['label_source'])}"), Text(str(report["note"]), style="dim"), *left]
    return [
        section(f"PRM {report['prm']} on {report['data']}", *head, *_figures(report)),
        section("First errors", *_first_errors(report["first_errors"])),
        section("Reliability", *_reliability(report["reliability"])),
        section("By position of the step", _positions(report["by_position"])),
    ]


def _figures(report: Mapping[str, Any]) -> list[RenderableType]:
    view = plain_table("", *FIGURES, right=FIGURES)
    rows = {"all": report["steps_all"], **report["by_source"]}
    for name, found in rows.items():
        view.add_row(name, *(_number(found[figure]) for figure in FIGURES))
    undefined = [Text(str(found["undefined"])) for found in rows.values() if "undefined" in found]
    return [view, *undefined, Text(MEANING, style="dim")]


def _first_errors(found: Mapping[str, Any]) -> list[RenderableType]:
    if "undefined" in found:
        return [Text(str(found["undefined"]))]
    view = plain_table("", "F1", "with an error", "without", "exact", "threshold", right=("F1", "exact", "threshold"))
    for name, row in {"all": found, **found["by_source"]}.items():
        threshold = _number(row["threshold"]) if row["threshold"] is not None else " and ".join(map(_number, row["thresholds"]))
        cells = (
            _share(row["f1"]),
            f"{_share(row['error_accuracy'])} of {row['n_error']:,}",
            f"{_share(row['correct_accuracy'])} of {row['n_correct']:,}",
            _share(row["exact"]),
            threshold,
        )
        view.add_row(name, *cells)
    told = "F1: harmonic mean of the accuracy on solutions with an error (its place) and without one (none seen), as ProcessBench"
    blocks: list[RenderableType] = [view]
    if found["by_position"]:
        right = ("first error at step", "solutions", "found exactly")
        places = plain_table(*right, right=right)
        for row in found["by_position"]:
            place = f"{row['position']}{' and later' if row['last'] else ''}"
            places.add_row(place, f"{row['solutions']:,}", _share(row["exact"]))
        blocks.append(places)
    return [*blocks, Text(f"{told}; threshold {found['policy']}", style="dim")]


def _reliability(bins: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    view = plain_table("reward", "steps", "mean reward", "correct", "", right=("steps", "mean reward", "correct"))
    for one in bins:
        span = f"{one['low']:.1f} to {one['high']:.1f}"
        view.add_row(span, f"{one['steps']:,}", f"{one['reward_mean']:.3f}", f"{one['share']:.3f}", bar(one["share"]))
    return [view, Text("a calibrated PRM has the two in the middle equal", style="dim")]


def _positions(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    right = ("step", "steps", "correct", "mean reward", "auc", "brier", "ece")
    view = plain_table(*right, right=right)
    for row in rows:
        place = f"{row['position']}{' and later' if row['last'] else ''}"
        figures = (_number(row[name]) for name in ("label_mean", "reward_mean", "auc", "brier", "ece"))
        view.add_row(place, f"{row['steps']:,}", *figures)
    return view


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.1%}"
