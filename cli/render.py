"""Frames and numbers as text on a terminal: the pieces that `show`, `sql` and the summaries share.

    console().print(Answer(frame))

Only looks live here: what is counted is asked by SQL in the modules that call this.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import polars as pl
from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH = 120
"""Columns of text where the output is no terminal (a pipe, a CI log)."""

CELL_CHARACTERS = 300
READABLE = 12
"""Characters that a column of a table needs at most; longer cells are folded."""
_GAP = 3
SPARKS = "▁▂▃▄▅▆▇█"


def console() -> Console:
    """Standard output; wider than rich's 80 columns where it is no terminal."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)


def section(title: str, *bodies: RenderableType) -> RenderableType:
    """A titled block of a summary."""
    return Group(Text(f"\n{title}", style="bold"), *(Padding(body, (0, 0, 0, 2), expand=False) for body in bodies))


def plain_table(*headers: str, right: Sequence[str] = ()) -> Table:
    """An empty table in the house look; `right` names the columns of numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for header in headers:
        table.add_column(header, justify="right" if header in right else "left", overflow="fold")
    return table


def frame_table(frame: pl.DataFrame, cell_characters: int = CELL_CHARACTERS) -> Table:
    """A frame, row by row; cells longer than `cell_characters` are cut and end in an ellipsis."""
    numeric = [name for name, dtype in frame.schema.items() if dtype.is_numeric()]
    table = plain_table(*frame.columns, right=numeric)
    for row in frame.iter_rows():
        table.add_row(*(Text(cell(value, cell_characters)) for value in row))
    return table


def record(row: Mapping[str, Any]) -> Table:
    """One row with a line per column."""
    view = plain_table("column", "value")
    view.show_header = False
    for name, value in row.items():
        view.add_row(Text(name, style="dim"), Text(cell(value)))
    return view


@dataclass(frozen=True)
class Answer:
    """A frame as a table where its columns fit beside each other, else row under row, for narrow columns cannot be read. Without
    rows, names that do not fit are a list.
    """

    frame: pl.DataFrame

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        if self._needs() <= options.max_width:
            yield frame_table(self.frame)
            return
        if self.frame.is_empty():
            yield Text(", ".join(self.frame.columns))
        for number, row in enumerate(self.frame.iter_rows(named=True), start=1):
            yield section(f"Row {number}", record(row))

    def _needs(self) -> int:
        """The width at which no cell is folded to less than READABLE characters a line."""
        widest = (max((len(name), *map(_line, self.frame[name].to_list()))) for name in self.frame.columns)
        return sum(min(width, READABLE) for width in widest) + _GAP * (self.frame.width - 1)


def cell(value: Any, most: int = CELL_CHARACTERS) -> str:
    """One value as text of at most `most` characters. Nothing at all means null."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(_rounded(value), ensure_ascii=False, default=str)
    text = text.strip("\n")
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _rounded(value: Any) -> Any:
    """Numbers in lists and structs to as many digits as those that stand alone."""
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _line(value: Any) -> int:
    """Characters of the longest line of a cell."""
    return max(map(len, cell(value).split("\n")))


def flat(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with nested columns as JSON text, for formats that know only plain values (CSV)."""
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
    texts = {
        name: [None if value is None else json.dumps(value, default=str) for value in frame[name].to_list()] for name in nested
    }
    return frame.with_columns(pl.Series(name, values, dtype=pl.String) for name, values in texts.items())


def counted(count: int, noun: str) -> str:
    """`1 pair`, `1,200 pairs`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def bar(share: float, width: int = 24) -> str:
    """A text bar; a share above 0 shows at least a sliver."""
    eighths = max(round(share * width * 8), 1 if share > 0 else 0)
    full, rest = divmod(eighths, 8)
    return "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")


def sparkline(values: Sequence[float], width: int = 60) -> str:
    """Values as one row of block characters, from their least to their greatest; longer series are averaged to `width` points."""
    if not values:
        return ""
    points = averaged(values, width)
    least, greatest = min(points), max(points)
    if greatest == least:
        return SPARKS[3] * len(points)
    return "".join(SPARKS[round((point - least) / (greatest - least) * (len(SPARKS) - 1))] for point in points)


def next_commands(commands: Iterable[tuple[str, str]]) -> Text:
    """What to try next: (command, what it does). Commands are never wrapped, so that they can be copied."""
    text = Text("\nNext", style="bold")
    for command, meaning in commands:
        text.append_text(Text.assemble((f"\n  # {meaning}\n", "not bold dim"), (f"  {command}", "not bold cyan")))
    return text


def say(line: str) -> None:
    """A line for the person at the terminal, on standard error."""
    Console(stderr=True, highlight=False).print(Text(line), soft_wrap=True)


def show(blocks: Iterable[RenderableType]) -> None:
    """Print the blocks of a summary on standard output."""
    out = console()
    for block in blocks:
        out.print(block, soft_wrap=isinstance(block, Text))


def averaged(values: Sequence[float], most: int) -> list[float]:
    """At most so many points, each the mean of the values that fall on it."""
    count = min(len(values), most)
    bounds = [round(index * len(values) / count) for index in range(count + 1)]
    return [sum(values[start:stop]) / (stop - start) for start, stop in pairwise(bounds)]
