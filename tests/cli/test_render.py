import csv
import io
import json

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cli.render import Answer, bar, cell, flat, frame_table, sparkline


def shown(renderable: object, width: int = 120) -> str:
    output = io.StringIO()
    Console(file=output, width=width).print(renderable)
    return output.getvalue()


def test_a_frame_is_shown_with_every_row_and_literal_brackets():
    text = shown(frame_table(pl.DataFrame({"text": ["[bold]x[/bold]", None], "n": [1, 22]})))
    assert "[bold]x[/bold]" in text
    assert [line.split()[-1] for line in text.splitlines()[2:]] == ["1", "22"]


def test_long_cells_are_cut_with_an_ellipsis():
    assert cell("x" * 20, most=10) == "x" * 9 + "…"
    assert cell("x" * 10, most=10) == "x" * 10


def test_an_answer_is_a_table_where_its_columns_fit_and_else_row_under_row():
    frame = pl.DataFrame({f"column_{n}": ["a text that is long", "b"] for n in range(6)})  # 6 × 12 characters, 5 gaps of 3
    assert shown(Answer(frame), width=87).splitlines()[0].split() == frame.columns
    below = shown(Answer(frame), width=86)
    assert [line.strip() for line in below.splitlines() if line.startswith("Row")] == ["Row 1", "Row 2"]
    assert below.count("a text that is long") == 6
    assert shown(Answer(frame.clear()), width=200).splitlines()[0].split() == frame.columns
    assert " ".join(shown(Answer(frame.clear()), width=20).split()) == ", ".join(frame.columns)


def test_numbers_in_lists_are_as_short_as_those_that_stand_alone():
    assert cell([0.123456789, None]) == "[0.123457, null]"
    assert cell({"reward": 2 / 3}) == '{"reward": 0.666667}'


def test_nested_columns_survive_csv_as_json():
    frame = pl.DataFrame({"ids": [[1, 2], None], "text": ["a,b", "c"]}, schema={"ids": pl.List(pl.Int32), "text": pl.String})
    rows = list(csv.DictReader(io.StringIO(flat(frame).write_csv())))
    assert json.loads(rows[0]["ids"]) == [1, 2]
    assert rows[1]["ids"] == ""
    assert rows[0]["text"] == "a,b"


def test_bars_are_as_long_as_their_share():
    assert bar(1.0, width=4) == "████"
    assert bar(0.5, width=4) == "██"
    assert bar(0.0, width=4) == ""
    assert bar(1e-6, width=4) == "▏"  # a single step must not look like none


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300))
def test_a_sparkline_has_a_mark_per_point_up_to_its_width(values: list[float]):
    assert len(sparkline(values, width=60)) == min(len(values), 60)


def test_a_sparkline_runs_from_least_to_greatest():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([2.0, 2.0]) == "▄▄"
    assert sparkline([]) == ""
