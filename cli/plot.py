"""Pictures: the course of a training (`fs-train run … --plot FILE.png`), the reliability of a PRM (`fs-train eval-prm … --plot`).

    require_plot(path)               # before the work: can it be drawn, and written there?
    write_plot(curve, path)          # one row of figures per optimiser step, as in training.json
    write_reliability(bins, path)    # the bins of `fullstep_train.metrics.reliability`

Needs the extra `report`.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl

from fullstep_data.store.disk import possible, replace
from schemas import InputError

PANELS: dict[str, dict[str, str]] = {
    "loss": {"loss": "loss"},
    "reward, beta * log-ratio": {"rewards/chosen": "chosen", "rewards/rejected": "rejected"},
    "share of pairs won": {"rewards/accuracies": "pairs"},
    "log-ratio per token, nats": {"log_ratio/token": "all"},
}
"""For each panel: the figures of the log that it shows, and what they are called there."""
COLOURS = {"chosen": "right", "rejected": "wrong", "loss": "ink", "pairs": "ink", "all": "ink"}
WIDTH, HEIGHT = 460, 140
"""Pixels of a panel; the picture has twice as many, for fine screens."""


def missing() -> list[str]:
    """The packages that draw and are not installed."""
    return [package for package in ("altair", "vl_convert") if find_spec(package) is None]


def require_plot(path: Path) -> None:
    """InputError: not a PNG by its name, no such folder, the extra `report` is not installed."""
    if missing():
        raise InputError(
            "a plot needs packages that are not installed", examples=missing(), next_step='pip install "fullstep[report]"'
        )
    if path.suffix.lower() != ".png":
        raise InputError("a plot is a PNG file", where=str(path), next_step=f"name it {path.name or 'training'}.png")
    with possible(path):
        if path.is_dir() or not path.parent.is_dir():
            raise InputError("the plot cannot be written there", where=str(path), next_step="name a file in a folder that exists")


def write_plot(curve: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw the curve into a file."""
    from vl_convert import vegalite_to_png

    replace(path, vegalite_to_png(specification(curve), scale=2))


def write_reliability(bins: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw the bins into a file."""
    from vl_convert import vegalite_to_png

    replace(path, vegalite_to_png(reliability_specification(bins), scale=2))


def reliability_specification(bins: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The picture as Vega-Lite: the mean reward of each bin against the share of its steps that are right, on the diagonal where
    the PRM is calibrated; below it how many steps each bin holds.
    """
    import altair as alt

    from fullstep_data.report.charts import PALETTES, style

    palette = PALETTES["light"]
    unit = alt.Scale(domain=[0, 1])
    rewards, right = ({"title": title, "scale": unit} for title in ("mean reward of the bin", "share of right steps"))
    frame = pl.DataFrame([{name: one[name] for name in ("low", "high", "steps", "reward_mean", "share")} for one in bins])
    even = alt.Chart(pl.DataFrame({"at": [0.0, 1.0]})).mark_line(strokeDash=[4, 4], color=palette["open"])
    diagonal = even.encode(x=alt.X("at:Q", **rewards), y=alt.Y("at:Q", **right))
    curve = alt.Chart(frame).mark_line(point={"size": 60, "filled": True}, color=palette["right"])
    measured = curve.encode(x=alt.X("reward_mean:Q", **rewards), y=alt.Y("share:Q", **right))
    counted = alt.Chart(frame).mark_bar(orient="vertical", color=palette["right"], opacity=0.5)
    sizes = counted.encode(
        x=alt.X("low:Q", title="reward", scale=unit), x2="high:Q", y=alt.Y("steps:Q", title="steps", axis=alt.Axis(tickCount=3))
    )
    panels = alt.vconcat(
        alt.layer(diagonal, measured).properties(width=WIDTH, height=WIDTH), sizes.properties(width=WIDTH, height=HEIGHT // 2)
    )
    return {**panels.to_dict(), "config": {**style("light"), "background": palette["paper"], "padding": 20}}


def specification(curve: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The picture as Vega-Lite: one panel under the other, optimiser steps along all of them."""
    import altair as alt

    from fullstep_data.report.charts import PALETTES, style

    palette = PALETTES["light"]
    panels: list[Any] = []
    for title, figures in PANELS.items():
        rows = [
            {"step": row["step"], "figure": word, "value": row[name]}
            for name, word in figures.items()
            for row in curve
            if name in row
        ]
        if not rows:
            continue
        colours = alt.Scale(domain=list(figures.values()), range=[palette[COLOURS[word]] for word in figures.values()])
        panels.append(
            alt.Chart(pl.DataFrame(rows))
            .mark_line(point=len(curve) < 50)
            .encode(
                x=alt.X("step:Q", title="optimiser step", axis=alt.Axis(format="d", tickMinStep=1)),
                y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False)),
                color=alt.Color("figure:N", scale=colours, legend=alt.Legend() if len(figures) > 1 else None),
            )
            .properties(width=WIDTH, height=HEIGHT)
        )
    look = {**style("light"), "background": palette["paper"], "padding": 20}
    return {**alt.vconcat(*panels).resolve_scale(color="independent").to_dict(), "config": look}
