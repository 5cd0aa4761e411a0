"""What `fs-data diff` prints: what changed from one version to another.

show_diff("out/tiny@1", "out/tiny@2", as_json=False)
"""

import json
from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.console import RenderableType
from rich.text import Text

from cli.render import bar, cell, console, counted, plain_table, section
from fullstep_data.diff import Diff, Drift, ProblemPairs, TableDiff, diff
from fullstep_data.store import open_version

SHOWN_KEYS = 2
"""Keys of each kind that the text names; --json has up to five."""

SHOWN_PROBLEMS = 5
"""Problems of each fate that the text names; --json has all."""

RECIPE_CHARACTERS = 160
"""Characters of a change of the recipe; sections that only one version has are longer. --json has all."""

FATES = ("gained", "lost", "fewer", "more")
QUESTION_CHARACTERS = 80


def show_diff(before: str, after: str, as_json: bool) -> None:
    """Print the differences as blocks, or as one JSON object."""
    first, second = open_version(before), open_version(after)
    found = diff(first, second)
    if as_json:
        click.echo(json.dumps({"same": found.same, **asdict(found)}, ensure_ascii=False, indent=1, allow_nan=False))
        return
    out = console()
    names = [f"{version.place}, version {version.number}" for version in (first, second)]
    out.print(Text(f"{names[0]} → {names[1]}", style="bold"), soft_wrap=True)
    for block in _blocks(found):
        out.print(block)


def _blocks(found: Diff) -> list[RenderableType]:
    blocks: list[RenderableType] = [section("Rows, by key", _tables(found.tables))]
    if found.same:
        blocks.append(Text("\nthe rows are the same"))
    blocks.append(section("Recipe", *_recipe(found.recipe)))
    if found.drift is not None and found.drift.moved:
        blocks.append(section("Rewards of the same steps, after minus before", *_drift(found.drift)))
    if found.problems is not None:
        blocks.append(section("Problems with pairs", *_problems(found.problems)))
    examples = [
        Text(f"{name} {what}: {', '.join(keys[:SHOWN_KEYS])}")
        for name, table in found.tables.items()
        for what, keys in table.examples.items()
    ]
    if examples:
        blocks.append(section("The first keys of each", *examples))
    return blocks


def _tables(tables: dict[str, TableDiff]) -> RenderableType:
    numbers = ("before", "after", "added", "removed", "changed")
    view = plain_table("table", *numbers, right=numbers)
    for name, table in tables.items():
        rows = ["-" if count is None else f"{count:,}" for count in (table.rows_before, table.rows_after)]
        view.add_row(name, *rows, *(f"{count:,}" if count else "" for count in (table.added, table.removed, table.changed)))
    return view


def _recipe(changes: Sequence[str]) -> list[Text]:
    lines = [Text(cell(line, RECIPE_CHARACTERS)) for line in changes or ("the same",)]
    cut = any(len(line) > RECIPE_CHARACTERS for line in changes)
    return [*lines, *([Text("--json has them whole", style="dim")] if cut else [])]


def _drift(drift: Drift) -> list[RenderableType]:
    most = max(steps for _, _, steps in drift.bins)
    view = plain_table("moved by", "steps", "", right=("steps",))
    for low, high, steps in drift.bins:
        view.add_row(f"{low:+.3f} to {high:+.3f}", f"{steps:,}" if steps else "", bar(steps / most))
    head = Text(
        f"{drift.moved:,} of {counted(drift.steps, 'step')} have another reward; "
        f"on average it moved by {drift.mean:+.3f}, by {drift.mean_absolute:.3f} either way"
    )
    return [head, view]


def _problems(problems: ProblemPairs) -> list[RenderableType]:
    lines = (
        f"{problems.gained:,} gained their first pairs, {problems.lost:,} lost all of them, "
        f"{problems.more:,} have more than before, {problems.fewer:,} have fewer"
    )
    view = plain_table("pairs", "problem", "question", right=())
    for fate in FATES:
        for change in [one for one in problems.changes if one.fate == fate][:SHOWN_PROBLEMS]:
            question = cell(" ".join(change.question.split()), QUESTION_CHARACTERS)
            view.add_row(f"{change.pairs_before} → {change.pairs_after}", change.problem_id, question)
    if not view.row_count:
        return [Text(lines)]
    more = [Text("--json lists them all", style="dim")] if len(problems.changes) > view.row_count else []
    return [Text(lines), view, *more]
