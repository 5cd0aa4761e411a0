"""Lines over optimiser steps, drawn with characters: for terminals, logs and pipes, so without colour.

terminal_plot(steps, {"●": chosen, "○": rejected}, width=60, height=8)      # lines of text, axes included
"""

from collections.abc import Mapping, Sequence

from cli.render import averaged

DIGITS = 6
"""Decimals that count: what is less is rounding."""
APART = 4
"""Columns from one point to the next, where there is room."""
BOTH = "◐"
"""Where two lines lie in one cell."""


def terminal_plot(steps: Sequence[int], lines: Mapping[str, Sequence[float]], width: int, height: int) -> list[str]:
    """The lines, each drawn with its character, over a common vertical axis; one point per step, or, of a longer course, per so
    many steps (their mean). No lines of text where there are no steps.
    """
    if not steps:
        return []
    courses = {mark: [round(value, DIGITS) for value in averaged(values, width)] for mark, values in lines.items()}
    least = min(min(values) for values in courses.values())
    greatest = max(max(values) for values in courses.values())
    points = len(next(iter(courses.values())))
    apart = max(1, min(APART, width // points))
    columns = (points - 1) * apart + 1
    cells = [[" "] * columns for _ in range(height)]
    for mark, values in courses.items():
        for column, value in zip(range(0, columns, apart), values, strict=True):
            share = (value - least) / (greatest - least) if greatest > least else 0.5
            row = round((1 - share) * (height - 1))
            cells[row][column] = mark if cells[row][column] == " " else BOTH
    labels = [f"{greatest:z.3g}", *[""] * (height - 2), f"{least:z.3g}" if greatest > least else ""]
    margin = max(map(len, labels))
    drawn = [f"{label:>{margin}} {'┤' if label else '│'}{''.join(row)}" for label, row in zip(labels, cells, strict=True)]
    first, last = f"{steps[0]:,}", f"{steps[-1]:,}" if len(steps) > 1 else ""
    gap = " " * max(1, columns - len(first) - len(last))
    below = [f"{'':>{margin}} └{'─' * columns}", f"{'':>{margin}}  {first}{gap}{last}"]
    return [text.rstrip() for text in (*drawn, *below)]
