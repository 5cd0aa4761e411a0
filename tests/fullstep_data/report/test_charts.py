import itertools
import json

import polars as pl
import pytest
import vl_convert

from fullstep_data.query import connect
from fullstep_data.report.charts import COLOURS, PALETTES, charts, painted, style
from fullstep_data.report.queries import facts
from fullstep_data.store import Version


@pytest.fixture(scope="module")
def frames(version: Version) -> dict[str, pl.DataFrame]:
    with connect(version) as connection:
        return facts(connection, "mean")


def test_every_chart_is_drawn_by_vega_with_what_is_in_its_frame(frames: dict[str, pl.DataFrame]):
    made = charts(frames)
    assert set(made) == {"rewards", "positions", "scores", "right_share", "diversity", "margins", "pairs_per_problem"}
    for name, specification in made.items():
        assert specification is not None, name
        drawn = {**painted(specification, "light"), "width": 400, "config": style("light")}
        svg = vl_convert.vegalite_to_svg(drawn)
        assert svg.count("<path") > 3, name
        assert "@" not in svg, name


def test_a_frame_without_rows_is_no_chart(frames: dict[str, pl.DataFrame]):
    empty = {name: frame.clear() for name, frame in frames.items()}
    assert set(charts(empty).values()) == {None}


def test_a_chart_asks_no_network(frames: dict[str, pl.DataFrame]):
    for specification in charts(frames).values():
        assert "url" not in json.dumps(specification).replace("$schema", "")


def test_the_same_meaning_has_the_same_colour(frames: dict[str, pl.DataFrame]):
    """Also where the other series is not there: wrong solutions alone are not blue."""
    alone = {"rewards": frames["rewards"].filter(pl.col("series") == "label 0")}
    specification = charts(alone)["rewards"]
    assert specification is not None
    scale = specification["layer"][0]["encoding"]["color"]["scale"]
    assert scale == {"domain": ["label 0"], "range": ["@wrong"]}
    assert {colour.removeprefix("@") for colour in COLOURS.values()} <= PALETTES["light"].keys() & PALETTES["dark"].keys()


def test_what_lies_beyond_the_last_bar_is_said():
    frame = pl.DataFrame({"pairs": [0, 20], "problems": [3, 4]}, schema={"pairs": pl.Int32, "problems": pl.Int64})
    specification = charts({"pairs_per_problem": frame})["pairs_per_problem"]
    assert specification is not None
    (rows,) = specification["datasets"].values()
    assert [row["problems"] for row in rows] == [3, *[0] * 19, 4]
    assert [row["said"] for row in rows][-2:] == ["19", "20+"]


@pytest.mark.parametrize("look", ["light", "dark"])
def test_text_and_colours_can_be_told_from_their_ground(look: str):
    """WCAG 2: text 4.5 to 1, graphics 3 to 1; right and wrong differ in blue, which red-green blindness keeps."""
    palette = PALETTES[look]
    for text, ground in itertools.product(("ink", "muted"), ("paper", "card", "wash")):
        assert contrast(palette[text], palette[ground]) >= 4.5, (text, ground)
    for colour, ground in itertools.product(("right", "wrong", "open"), ("paper", "card")):
        assert contrast(palette[colour], palette[ground]) >= 3, (colour, ground)
    (right_red, _, right_blue), (wrong_red, _, wrong_blue) = channels(palette["right"]), channels(palette["wrong"])
    assert right_blue > right_red + 0.3
    assert wrong_red > wrong_blue + 0.3


def channels(colour: str) -> list[float]:
    return [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]


def contrast(one: str, other: str) -> float:
    """Of relative luminances: (lighter + .05) / (darker + .05)."""
    darker, lighter = sorted(luminance(colour) for colour in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels(colour)]
    return sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
