"""What `fs-data import`, `export` and `formats` do and print: one call, then the mapping report.

import_dataset("math-shepherd", ("train.jsonl",), "out/shepherd", overrides=("prompt_label=drop",), template=None)
"""

import difflib
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from cli.progress import progress
from cli.render import counted, next_commands, plain_table, section, show
from fullstep_data.formats import FORMATS, Format
from fullstep_data.formats.exporting import export
from fullstep_data.formats.group import Report
from fullstep_data.formats.importing import import_files, options_of
from fullstep_data.store import open_version
from fullstep_data.store.storage import path_of
from schemas import InputError


def import_dataset(name: str, files: Sequence[str], out: str, overrides: Sequence[str], template: str | None) -> None:
    """Import files of a format into the dataset folder `out` and show how rows were mapped."""
    form = find_format(name)
    options = parse_overrides(overrides)
    with progress() as reporter:
        reporter.stage_started("import", len(files), 0)

        def tick(done: int, total: int) -> None:
            if done:
                reporter.part_done("import")

        version, report = import_files(form, files, path_of(out), options, template, formats=tuple(FORMATS.values()), tick=tick)
    title = f"{form.name} to {version.place}, version {version.number}"
    show([*report_blocks(title, report, "records"), _next(out, set(version.tables))])


def export_dataset(name: str, dataset: str, out: str, overrides: Sequence[str], labeller: str | None, scorer: str | None) -> None:
    """Write a version of a dataset as a file in a format and show how rows were mapped."""
    form = find_format(name)
    version = open_version(dataset)
    report = export(form, version, Path(out), parse_overrides(overrides), labeller, scorer)
    show(report_blocks(f"{version.place}, version {version.number}, as {form.name}: {out}", report, "problems"))


def show_formats() -> None:
    """Every format: what it is, which way it goes, and its options."""
    blocks: list[RenderableType] = []
    for form in FORMATS.values():
        ways = [way for way, there in (("import", form.reader), ("export", form.writer)) if there]
        view = plain_table("", "option", "meaning")
        view.show_header = False
        for way, half in (("import", form.reader), ("export", form.writer)):
            for option, meaning in options_of(half.options) if half else ():
                view.add_row(way, option, Text(meaning))
        head = Text(f"{form.about} ({' and '.join(ways)})")
        blocks.append(section(form.name, *([head, view] if view.row_count else [head])))
    show(blocks)


def find_format(name: str) -> Format:
    """The format of that name. InputError: there is none; names a near one."""
    if name not in FORMATS:
        near = difflib.get_close_matches(name, FORMATS, n=1)
        raise InputError(
            f"there is no format {name!r}{f'; did you mean {near[0]}?' if near else ''}",
            next_step=f"formats: {', '.join(FORMATS)} (`fs-data formats` tells what they are)",
        )
    return FORMATS[name]


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """`--set KEY=VALUE` as a mapping; the value as TOML writes it, else as text."""
    options: dict[str, Any] = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise InputError(
                f"--set wants KEY=VALUE, found {override!r}", where="--set", next_step="write it as --set separator=-"
            )
        try:
            options[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            options[key.strip()] = text
    return options


def report_blocks(title: str, report: Report, noun: str) -> list[RenderableType]:
    """The mapping report: what went in, what came out, what did not and why, and every loss by name."""
    counts = plain_table("", "rows", right=("rows",))
    counts.show_header = False
    counts.add_row(f"{noun} in", f"{report.rows_in:,}")
    for table, rows in report.rows_out.items():
        counts.add_row(f"{table} out", f"{rows:,}")
    blocks = [section(title, counts)]
    blocks += _counted("Rejected", report.rejected)
    blocks += _counted("Decisions that lose something", report.decisions)
    if report.lost:
        blocks.append(section("For every record", *(Text(line) for line in report.lost)))
    return blocks


def _counted(title: str, reasons: Mapping[str, int]) -> list[RenderableType]:
    if not reasons:
        return []
    view = plain_table("", "rows", right=("rows",))
    view.show_header = False
    for reason, count in reasons.items():
        view.add_row(reason, f"{count:,}")
    return [section(f"{title}: {counted(sum(reasons.values()), 'time')}" if title[0] == "D" else title, view)]


def _next(out: str, tables: set[str]) -> Text:
    folder = shlex.quote(out)
    commands = [(f"fs-data check {folder}", "every file and row")]
    if {"pairs", "step_scores"} <= tables:
        run = shlex.quote(f"{out.rstrip('/')}-run")
        commands.append((f"fs-train run tiny --data {folder} --out {run}", "train on these pairs (choose your recipe)"))
    elif "step_labels" in tables:
        commands.append(
            (f"fs-data build tiny --out {folder}", "train a PRM on these labels, score and pair (choose your recipe)")
        )
    else:
        commands.append((f'fs-data sql {folder} "SELECT * FROM solutions LIMIT 3"', "any question, as SQL"))
    return next_commands(commands)
