"""What `fs-data sql` and `fs-data views` do: answers in the form that is asked for, scripts, and views for other programs.

show_answers("out/tiny@1", "SELECT count(*) FROM pairs", form="csv")
"""

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import indent
from typing import Any

import click
import polars as pl
import pyarrow.parquet as pq
from rich.text import Text

from cli.render import Answer, cell, console, counted, flat
from fullstep_data.hub.address import is_address, parse
from fullstep_data.query import Parts, connect, pieces, split
from fullstep_data.store import Store, Version, open_version, parse_spec
from fullstep_data.store.disk import explained
from fullstep_data.store.version import fetch
from fullstep_data.store.views import views_file
from schemas import InputError

FORMS = ("table", "csv", "json", "markdown", "parquet")
SEVERAL = ("table", "markdown")
"""Forms in which several answers can follow each other."""

TABLE_ROWS = 1000
"""Most rows of an answer that are laid out as a table; the layout needs all of them at once."""


def named(dataset: str, version: str | None) -> Version:
    """The version that DIR[@VERSION] and `--version` name together. InputError: both name one."""
    path, spec = parse_spec(dataset)
    if spec is not None and version is not None:
        raise _twice(dataset, version)
    return Store.open(path).version(version if spec is None else spec)


def opened(dataset: str, version: str | None) -> tuple[Version, Parts | None]:
    """The same, or a dataset on the Hub, which is asked in place; and where its files are, if not in a folder."""
    if not is_address(dataset):
        return named(dataset, version), None
    from fullstep_data.hub.remote import open_remote  # the Hub's client takes a second to import

    address = parse(dataset)
    if address.revision is not None and version is not None:
        raise _twice(dataset, version)
    return open_remote(replace(address, revision=version or address.revision))


def _twice(dataset: str, version: str) -> InputError:
    return InputError("the version is named twice", where=f"{dataset} --version {version}", next_step="name it once")


def show_answers(version: Version, text: str, form: str, parts: Parts | None = None) -> None:
    """Print the answer to each statement of `text`. parts: as for `query.connect`.

    InputError: none, or several in a form that takes one."""
    statements = split(text)
    if not statements:
        raise InputError("there is no SQL to run", next_step='give a query: fs-data sql DIR "SELECT …", or --file FILE')
    if len(statements) > 1 and form not in SEVERAL:
        raise InputError(
            what=f"{len(statements)} statements, and {form} takes the answer of one",
            next_step=f"leave one, or take --format {' or '.join(SEVERAL)}",
        )
    with connect(version, parts) as connection:
        for number, statement in enumerate(statements):
            if number:
                click.echo()
            show(pieces(connection, version, statement), form)


def read_script(path: Path) -> str:
    """The text of a .sql file. InputError: it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = (isinstance(error, OSError) and error.strerror) or error
        raise InputError(f"the file cannot be read: {why}", where=str(path), next_step="name a text file of SQL") from error


def show(answer: Iterator[pl.DataFrame], form: str) -> None:
    """Print one answer: a table, CSV, a JSON list of objects, Markdown, or the bytes of a Parquet file. answer: its pieces, the
    first without rows; none is kept, but what a table shows.
    """
    match form:
        case "csv":
            for number, piece in enumerate(answer):
                click.echo(flat(piece).write_csv(include_header=not number), nl=False)
        case "json":
            _write_json(answer)
        case "markdown":
            for number, piece in enumerate(answer):
                click.echo("".join(f"{line}\n" for line in _markdown(piece, head=not number)), nl=False)
        case "parquet":
            _write_parquet(answer)
        case _:
            out = console()
            for block in as_table(answer):
                out.print(block)


def as_table(answer: Iterator[pl.DataFrame]) -> tuple[Answer, Text]:
    """The first rows as a table; how many there are, and how many of them are shown."""
    shown, rows = next(answer), 0
    for piece in answer:
        rows += piece.height
        if shown.height < TABLE_ROWS:
            shown = pl.concat([shown, piece.head(TABLE_ROWS - shown.height)])
    more = f", of which {TABLE_ROWS:,} are shown: --format csv or json gives all"
    return Answer(shown), Text(counted(rows, "row") + (more if rows > TABLE_ROWS else ""), style="dim")


def plain(value: Any) -> Any:
    """The value as JSON knows values: NaN and infinities, which it has no word for, as null."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_views(dataset: str, out: str) -> None:
    """Write views.sql for a version; `-` is standard output. InputError: it would take the place of the latest version's."""
    version = open_version(dataset)
    target = Path(out)
    own = out != "-" and target.resolve() == (version.path / "views.sql").resolve()
    if own and version.number != Store(version.path).numbers()[-1]:
        raise InputError(
            what="views.sql in the dataset folder is of the latest version",
            where=str(target),
            next_step="write the views of an older version elsewhere: --out FILE",
        )
    for table in version.tables.values():
        fetch(table.stored)
        for file in table.stored:
            file.require_size()
    content = views_file(version, absolute=not own)
    if out == "-":
        click.echo(content.decode("utf-8"), nl=False)
        return
    try:
        with explained(target):
            target.write_bytes(content)
    except OSError as error:
        raise InputError(f"the file cannot be written: {error}", where=out, next_step="name another file") from error
    click.echo(f"{target}: version {version.number} of {version.place}; open it: duckdb -init {target}")


def _markdown(answer: pl.DataFrame, head: bool) -> Iterator[str]:
    """A pipe table with every row; numbers to the right."""
    if head:
        yield f"| {' | '.join(_escaped(name) for name in answer.columns)} |"
        yield f"|{'|'.join(' ---: ' if dtype.is_numeric() else ' --- ' for dtype in answer.dtypes)}|"
    for row in answer.iter_rows():
        yield f"| {' | '.join(_escaped(cell(value, sys.maxsize)) for value in row)} |"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", "<br>")


def _write_json(answer: Iterator[pl.DataFrame]) -> None:
    """A list, as `json.dumps(…, indent=1)` writes it."""
    before = "["
    for row in (row for piece in answer for row in piece.iter_rows(named=True)):
        text = json.dumps(plain(row), ensure_ascii=False, default=str, indent=1, allow_nan=False)
        click.echo(f"{before}\n{indent(text, ' ')}", nl=False)
        before = ","
    click.echo("[]" if before == "[" else "\n]")


def _write_parquet(answer: Iterator[pl.DataFrame]) -> None:
    """Sums of integers become decimals without places, since Parquet has no integer that large. InputError: standard output is
    a terminal.
    """
    if sys.stdout.isatty():
        raise InputError("Parquet is no text for a terminal", next_step="send it to a file: … --format parquet > answer.parquet")
    tables = (piece.cast({pl.Int128: pl.Decimal(38, 0)}).to_arrow() for piece in answer)
    first = next(tables)
    with pq.ParquetWriter(sys.stdout.buffer, first.schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)
