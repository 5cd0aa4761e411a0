"""What `fs-data show`, `log` and `check` print: a version, one of its tables, the history, the faults."""

import click
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from cli.build_summary import tables_and_rejects
from cli.render import console, counted, plain_table, record, section
from cli.sql import opened
from fullstep_data.hub.address import is_address, parse
from fullstep_data.query import connect, sql
from fullstep_data.store import Store, Version, open_version, parse_spec
from fullstep_data.store.history import Entry, TableChange, history
from fullstep_data.store.storage import shown
from schemas import TABLES, Column, InputError, Table

FOUND = 1
"""Exit code of a check that found something."""


def show_version(dataset: str) -> None:
    """Every table of a version with its rows and rejects, and its models."""
    version, parts = opened(dataset, None)
    out = console()
    out.print(_title(version), soft_wrap=True)
    with connect(version, parts) as connection:
        view = tables_and_rejects(lambda question: connection.sql(question).pl(), list(version.tables))
    out.print(section("Tables", view))
    if version.manifest.models:
        out.print(section("Models"))
        for stage in version.manifest.models:
            out.print(Text(f"  {stage}  {shown(version.model_folder(stage))}"), soft_wrap=True)  # paths are there to be copied


def show_table(dataset: str, name: str, rows: int) -> None:
    """What a table and its columns mean, and its first rows, each as a block: rows are too wide for lines."""
    version, parts = opened(dataset, None)
    table = version.table(name)
    contract = TABLES[name]
    out = console()
    out.print(Text(f"{name}: {contract.grain}; {table.rows:,} rows in version {version.number}", style="bold"))
    out.print(Text(contract.doc))
    out.print(section("Columns", _columns(contract)))
    if rows:
        first = sql(version, f"SELECT * FROM {name} LIMIT {rows}", parts)
        for number, row in enumerate(first.iter_rows(named=True), start=1):
            out.print(section(f"Row {number}", record(row)))


def show_log(dataset: str) -> None:
    """The versions of a dataset, the latest first: when, from which recipe, what changed in it, and the rows it led to. Of a
    dataset on the Hub, its tags with the version of each.
    """
    if is_address(dataset):
        _show_published(dataset)
        return
    path, spec = parse_spec(dataset)
    if spec is not None:
        raise InputError("a log is of the whole dataset", where=dataset, next_step=f"leave the version out: fs-data log {path}")
    store = Store.open(path)
    out = console()
    for entry in reversed(list(history(store))):
        head = ", ".join((f"version {entry.number}", *entry.tags))
        out.print(Text.assemble((head, "bold"), f"  {entry.created}" if entry.created else ""))
        manifest = store.version(entry.number).manifest
        told = [
            f"{key} {manifest.recipe[part]}" for key, part in (("recipe", "name"), ("model", "model")) if part in manifest.recipe
        ]
        if told:
            out.print(Text(f"  {', '.join(told)}"))
        if manifest.upstream is not None:
            out.print(Text(f"  trained on version {manifest.upstream.number} of its dataset"))
        if entry.before is not None:
            out.print(Padding(Text(_made(entry)), (0, 0, 0, 2), expand=False))
        for change in entry.changes:
            out.print(Text(f"  {change}"))
        out.print(
            Padding(Text(", ".join(_grown(name, table) for name, table in entry.tables.items())), (0, 0, 0, 2), expand=False)
        )


def _show_published(dataset: str) -> None:
    """The tags of a dataset on the Hub, in the order of their versions."""
    from fullstep_data.hub.pull import published  # the Hub's client takes a second to import

    address = parse(dataset)
    if address.revision is not None:
        raise InputError("a log is of the whole dataset", where=dataset, next_step="leave the tag out")
    view = plain_table("tag", "version", "files", "bytes", "commit", right=("version", "files", "bytes"))
    for one in published(address):
        view.add_row(one.tag, f"{one.number}", f"{one.files:,}", f"{one.bytes:,}", one.commit[:12])
    out = console()
    out.print(view if view.row_count else Text(f"{address} has no tag that names a version"))


def show_check(dataset: str) -> int:
    """Each finding of the check, and the exit code."""
    from fullstep_data.check import check
    from fullstep_data.pipeline import CONSENSUS_STAGE, PIPELINE, TRAINING

    version = open_version(dataset)
    findings = list(check(version, (*PIPELINE, CONSENSUS_STAGE, *TRAINING)))
    for finding in findings:
        click.echo(str(finding))
    if findings:
        click.echo(f"{counted(len(findings), 'finding')} in {_name(version)}")
        return FOUND
    parts = sum(len(table.stored) for table in version.tables.values())
    rows = sum(table.rows for table in version.tables.values())
    click.echo(f"ok: {len(version.tables)} tables, {parts:,} parts, {rows:,} rows checked")
    return 0


def _columns(contract: Table) -> RenderableType:
    view = plain_table("column", "type", "meaning")
    for column in contract.columns:
        view.add_row(column.name, Text(_type(column)), Text(_meaning(column)))
    return view


def _type(column: Column) -> str:
    unit = f", {column.unit}" if column.unit else ""
    return f"{str(column.dtype).lower()}{unit}{' or null' if column.nullable else ''}"


def _meaning(column: Column) -> str:
    values = f" One of: {', '.join(column.values)}." if column.values else ""
    return f"{column.doc}{values}"


def _title(version: Version) -> Text:
    return Text(f"{_name(version)}, recipe {version.manifest.recipe.get('name', '?')}", style="bold")


def _name(version: Version) -> str:
    return f"{version.place}, version {version.number}"


def _made(entry: Entry) -> str:
    """What was made for a version, and what it took over from the one before."""
    if entry.merged:
        return f"the rows of version {entry.before} in fewer files (fs-data compact)"
    new = {name: table for name, table in entry.tables.items() if table.parts_new}
    if not new:
        return f"all parts are those of version {entry.before}"
    whole = ", ".join(name if table.parts_new == table.parts else f"{name} (in part)" for name, table in new.items())
    return f"new since version {entry.before}: {whole}" + ("" if len(new) == len(entry.tables) else "; the rest is taken over")


def _grown(name: str, table: TableChange) -> str:
    more = table.rows - (table.rows_before or 0)
    return f"{name} {table.rows:,}" + (f" ({more:+,})" if more and table.rows_before is not None else "")
