"""The charts of a report as Vega-Lite, made by Altair: a function per frame of `queries.facts`, and the two looks (light, dark).

    charts(found)["rewards"]           # a Vega-Lite specification as plain data, or None where there is nothing to draw
    style("dark")                      # what the page hands to Vega with it: fonts, colours

Blue stands for right, orange for wrong, everywhere: the two differ for every kind of colour vision.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import altair as alt
import polars as pl

from fullstep_data.report.queries import MOST

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', sans-serif"

Look = Literal["light", "dark"]

PALETTES: dict[Look, dict[str, str]] = {
    "light": {
        "paper": "#fbfbf9",
        "card": "#ffffff",
        "ink": "#1d2429",
        "muted": "#5b666f",
        "rule": "#e2e5e1",
        "wash": "#f3f4f1",
        "right": "#1f6fb4",
        "wrong": "#cf6a14",
        "open": "#8a939b",
    },
    "dark": {
        "paper": "#14181b",
        "card": "#1a1f23",
        "ink": "#e5e8ea",
        "muted": "#9ba6af",
        "rule": "#2c3338",
        "wash": "#20262a",
        "right": "#6fb3ec",
        "wrong": "#f0a35a",
        "open": "#7d8890",
    },
}

# A colour in a specification is a name of the palette after `@`; `painted` and the page put the colour of the look in its place.
COLOURS = {
    "label 1": "@right",
    "label 0": "@wrong",
    "no label": "@open",
    "right": "@right",
    "wrong": "@wrong",
    "undecided": "@open",
    "right and wrong ones": "@right",
    "all alike: no pairs": "@open",
    "0 or more": "@right",
    "below 0": "@wrong",
    "before": "@open",
    "after": "@right",
}

RIGHT_SHARES = ("none", "up to 20 %", "20 to 40 %", "40 to 60 %", "60 to 80 %", "over 80 %", "all")

HEIGHT = 220

# Altair's types say too little of what its methods take; the specification is checked against Vega-Lite's schema as it is made.
Chart = Any


def charts(found: Mapping[str, pl.DataFrame]) -> dict[str, dict[str, Any] | None]:
    """A specification per chart; None where its frame has no rows."""
    drawn: dict[str, Callable[[pl.DataFrame], Chart]] = {
        "rewards": lambda frame: histogram(frame, "reward of a step", "steps"),
        "positions": positions,
        "scores": lambda frame: histogram(frame, "score of a solution", "solutions"),
        "right_share": right_share,
        "diversity": lambda frame: counts(frame, "answers", "different answers to a problem", "problems"),
        "margins": lambda frame: signed(frame, "pairs", "score of the chosen less that of the rejected"),
        "pairs_per_problem": lambda frame: counts(frame, "pairs", "pairs of a problem", "problems"),
        "rewards_changed": lambda frame: histogram(frame, "reward of a step", "steps"),
        "drift": lambda frame: signed(frame, "steps", "reward after less reward before, of the same step"),
    }
    return {name: _specification(draw, found[name]) for name, draw in drawn.items() if name in found}


def style(look: Look) -> dict[str, Any]:
    """Vega's `config`: quiet axes, no frame, the palette's colours."""
    palette = PALETTES[look]
    words = {"labelColor": palette["muted"], "titleColor": palette["muted"], "labelFontSize": 12, "titleFontSize": 12}
    lines = {"domainColor": palette["rule"], "gridColor": palette["rule"], "ticks": False}
    above = {"titleAngle": 0, "titleAlign": "left", "titleAnchor": "end", "titleX": 0, "titleY": -10}
    key = {"orient": "top", "offset": 30, "title": None, "symbolType": "square", "symbolOpacity": 1}
    return {
        "background": "transparent",
        "font": FONT,
        "view": {"stroke": None},
        "axis": {**words, **lines, "titleFontWeight": "normal", "titlePadding": 8, "labelPadding": 6, "labelFlush": False},
        "axisX": {"grid": False},
        "axisY": {**above, "domain": False},
        "legend": {**words, **key, "labelColor": palette["ink"]},
        "bar": {"color": palette["right"]},
        "rule": {"color": palette["muted"]},
    }


def painted(specification: Any, look: Look) -> Any:
    """The specification with the colours of a look."""
    if isinstance(specification, dict):
        return {name: painted(value, look) for name, value in specification.items()}
    if isinstance(specification, list):
        return [painted(value, look) for value in specification]
    if isinstance(specification, str) and specification.startswith("@"):
        return PALETTES[look][specification.removeprefix("@")]
    return specification


def histogram(frame: pl.DataFrame, title: str, unit: str) -> Chart:
    """Histograms over [0, 1] of several series as outlines over each other; each is in shares of its own total.

    frame: low, high, series, count, share. What a pointer over a bin tells is a layer of its own: all series at once.
    """
    ends = frame.group_by("series", maintain_order=True).last().with_columns(low=pl.col("high")).select(frame.columns)
    outline = (
        alt.Chart(pl.concat([frame, ends]).sort("series", "low"))
        .mark_area(interpolate="step-after", fillOpacity=0.16, line={"strokeWidth": 1.75})
        .encode(
            x=alt.X("low:Q", title=title, scale=alt.Scale(domain=[0, 1])),
            y=alt.Y("share:Q", title=f"share of {unit}", stack=None, axis=alt.Axis(format=".0%", tickCount=4)),
            color=_colour("series", frame["series"]),
        )
    )
    told = frame.select("low", "high", "series", said=pl.format("{} ({} {})", _percent(), pl.col("count"), pl.lit(unit)))
    wide = told.pivot(on="series", index=["low", "high"], values="said").with_columns(bin=pl.format("{} to {}", "low", "high"))
    names = [name for name in wide.columns if name not in ("low", "high", "bin")]
    pointed = (
        alt.Chart(wide)
        .mark_rect(opacity=0, aria=False)
        .encode(
            x="low:Q", x2="high:Q", tooltip=[alt.Tooltip("bin:N", title=title), *(alt.Tooltip(f"{name}:N") for name in names)]
        )
    )
    return alt.layer(outline, pointed)


def positions(frame: pl.DataFrame) -> Chart:
    """Mean reward by position of the step, with the band that holds the middle 80 %."""
    last = f"datum.value == {MOST} ? '{MOST}+' : datum.value"
    base = alt.Chart(frame).encode(
        x=alt.X(
            "position:Q",
            title="position of the step",
            axis=alt.Axis(format="d", tickMinStep=1, labelExpr=last, tickCount=10),
            scale=alt.Scale(nice=False, padding=12),
        ),
        color=_colour("series", frame["series"]),
    )
    numbers = [
        alt.Tooltip("series:N", title="solution"),
        alt.Tooltip("position:Q"),
        alt.Tooltip("mean:Q", title="mean reward", format=".3f"),
        alt.Tooltip("p10:Q", title="10 % lie below", format=".3f"),
        alt.Tooltip("p90:Q", title="10 % lie above", format=".3f"),
        alt.Tooltip("steps:Q", format=","),
    ]
    band = base.mark_area(opacity=0.13).encode(
        y=alt.Y("p10:Q", title="reward", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=5)), y2="p90:Q"
    )
    return alt.layer(
        band, base.mark_line(point={"size": 36, "filled": True}, strokeWidth=1.75).encode(y="mean:Q", tooltip=numbers)
    )


def right_share(frame: pl.DataFrame) -> Chart:
    """Problems by the share of their solutions that is right; those between the ends can give pairs."""
    mixed = pl.col("bin").is_between(1, len(RIGHT_SHARES) - 2)
    named = pl.DataFrame({"bin": range(len(RIGHT_SHARES)), "right": RIGHT_SHARES}, schema_overrides={"bin": pl.Int32})
    whole = named.join(frame, on="bin", how="left").with_columns(
        pl.col("problems").fill_null(0),
        kind=pl.when(mixed).then(pl.lit("right and wrong ones")).otherwise(pl.lit("all alike: no pairs")),
    )
    return (
        alt.Chart(whole)
        .mark_bar(cornerRadiusTopLeft=2, cornerRadiusTopRight=2)
        .encode(
            x=alt.X("right:N", sort=list(RIGHT_SHARES), title="share of a problem's solutions that is right", axis=_upright()),
            y=_problems(),
            color=_colour("kind", whole["kind"]),
            tooltip=[alt.Tooltip("right:N", title="right"), alt.Tooltip("problems:Q", format=",")],
        )
    )


def counts(frame: pl.DataFrame, name: str, title: str, unit: str) -> Chart:
    """Bars over whole numbers; the last bar may stand for all beyond it."""
    highest = frame[name].max()
    numbers = pl.DataFrame({name: range(highest + 1 if isinstance(highest, int) else 0)}, schema={name: frame.schema[name]})
    said = pl.when(pl.col(name) == MOST).then(pl.lit(f"{MOST}+")).otherwise(pl.col(name).cast(pl.String)).alias("said")
    whole = numbers.join(frame, on=name, how="left").with_columns(pl.col(unit).fill_null(0), said)
    return (
        alt.Chart(whole)
        .mark_bar(cornerRadiusTopLeft=2, cornerRadiusTopRight=2)
        .encode(
            x=alt.X("said:N", sort=whole["said"].to_list(), title=title, axis=_upright()),
            y=_problems(),
            tooltip=[alt.Tooltip("said:N", title=title), alt.Tooltip(f"{unit}:Q", format=",")],
        )
    )


def signed(frame: pl.DataFrame, unit: str, title: str) -> Chart:
    """A histogram around 0, what lies below it in the other colour."""
    told = frame.with_columns(side=pl.when(pl.col("low") >= 0).then(pl.lit("0 or more")).otherwise(pl.lit("below 0")))
    bars = (
        alt.Chart(told)
        .mark_bar(binSpacing=1)
        .encode(
            x=alt.X("low:Q", title=title, bin="binned", axis=alt.Axis(tickCount=8, format="~g")),
            x2="high:Q",
            y=alt.Y(f"{unit}:Q", title=unit, axis=alt.Axis(format=",d", tickCount=4)),
            color=_colour("side", told["side"]),
            tooltip=[
                alt.Tooltip("low:Q", title="from", format="~g"),
                alt.Tooltip("high:Q", title="to", format="~g"),
                alt.Tooltip(f"{unit}:Q", format=","),
            ],
        )
    )
    zero = alt.Chart(pl.DataFrame({"at": [0.0]})).mark_rule(strokeDash=[3, 3], aria=False).encode(x="at:Q")
    return alt.layer(bars, zero)


def _specification(draw: Callable[[pl.DataFrame], Chart], frame: pl.DataFrame) -> dict[str, Any] | None:
    if frame.is_empty():
        return None
    chart = draw(frame).properties(width="container", height=HEIGHT)
    made: dict[str, Any] = chart.to_dict()
    made["autosize"] = {"type": "fit-x", "contains": "padding"}
    made.pop("config", None)  # the page brings its own
    return made


def _colour(column: str, series: Iterable[str]) -> Any:
    """The same meaning has the same colour in every chart, whatever else is in it."""
    shown = sorted(set(series), key=list(COLOURS).index)
    return alt.Color(f"{column}:N", scale=alt.Scale(domain=shown, range=[COLOURS[name] for name in shown]))


def _problems() -> Any:
    return alt.Y("problems:Q", title="problems", axis=alt.Axis(format=",d", tickCount=4, tickMinStep=1))


def _upright() -> Any:
    return alt.Axis(labelAngle=0, labelOverlap=True)


def _percent() -> pl.Expr:
    return pl.format("{} %", (pl.col("share") * 100).round(1))
