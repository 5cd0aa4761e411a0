"""The course of a training as a picture: `fs-train run … --plot FILE.png`.

    require_plot(path)               # before the training: can it be drawn, and written there?
    write_plot(curve, path)          # one row of figures per optimiser step, as in training.json

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


def require_plot(path: Path) -> None:
    """InputError: not a PNG by its name, no such folder, the extra `report` is not installed."""
    missing = [package for package in ("altair", "vl_convert") if find_spec(package) is None]
    if missing:
        raise InputError(
            "a plot needs packages that are not installed", examples=missing, next_step='pip install "fullstep[report]"'
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
