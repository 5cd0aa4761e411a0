"""What `fs-data tag`, `gc` and `compact` do and print: names for versions, an end to what no version needs, fewer files.

tag_version("out/tiny@1", "v1")
collect_garbage("out/tiny", keep=2, hours=24, delete=False)
"""

from datetime import timedelta

import click

from cli.render import console, counted, plain_table, section
from fullstep_data.store import Store, open_version, parse_spec
from fullstep_data.store.compact import compact
from fullstep_data.store.garbage import collect, garbage
from fullstep_data.store.history import run_record
from schemas import InputError


def tag_version(dataset: str, name: str) -> None:
    """Name a version."""
    version = open_version(dataset)
    Store(version.path).tag(name, version.number)
    click.echo(f"{version.place}@{name} is version {version.number}")


def delete_tag(dataset: str, name: str) -> None:
    """Take a tag away."""
    store = whole(dataset, "a tag is taken from the whole dataset")
    number = store.untag(name)
    click.echo(f"{store.place}: version {number} is no longer called {name}")


def show_tags(dataset: str) -> None:
    """Each tag with the version that it names."""
    store = whole(dataset, "tags are listed for the whole dataset")
    tags = store.tags()
    for name, number in tags.items():
        click.echo(f"{name}  version {number}")
    if not tags:
        click.echo(f"no tags; name a version: fs-data tag {store.place}@NUMBER NAME")


def whole(dataset: str, rule: str) -> Store:
    """The dataset, where no version is named. InputError: one is."""
    path, spec = parse_spec(dataset)
    if spec is not None:
        raise InputError(what=rule, where=dataset, next_step=f"leave the version out: {path}")
    return Store.open(path)


def collect_garbage(dataset: str, keep: int | None, hours: float, delete: bool) -> None:
    """Remove what no version needs, or only tell what that is."""
    store = whole(dataset, "garbage is collected in the whole dataset")
    min_age = timedelta(hours=hours)
    found = collect(store, keep, min_age) if delete else garbage(store, keep, min_age)
    out = console()
    view = plain_table("files of", "files", "bytes", right=("files", "bytes"))
    kinds = sorted({piece.kind for piece in found.removed})
    if found.versions:
        view.add_row(f"{'version' if len(found.versions) == 1 else 'versions'} {', '.join(map(str, found.versions))}", "", "")
    for kind in kinds:
        pieces = [piece for piece in found.removed if piece.kind == kind]
        view.add_row(kind, f"{len(pieces):,}", f"{sum(piece.bytes for piece in pieces):,}")
    if len(kinds) > 1:
        view.add_row("all", f"{len(found.removed):,}", f"{sum(piece.bytes for piece in found.removed):,}")
    if found.versions or kinds:
        out.print(section("Removed" if delete else "Would be removed", view))
    else:
        out.print("nothing to remove: a version needs every file" if not found.spared else "nothing to remove")
    if found.spared:
        size = sum(piece.bytes for piece in found.spared)
        out.print(f"\nspared for being younger than {hours:g} hours: {counted(len(found.spared), 'file')} ({size:,} bytes)")
    if not delete and (found.versions or kinds):
        out.print("\nnothing was removed; to remove it, say so: --delete")


def compact_dataset(dataset: str) -> None:
    """Merge the parts of the latest version and tell how many files are left."""
    store = whole(dataset, "the latest version is compacted")
    before = store.version()
    version = compact(store, run_record({}))
    if version is None:
        click.echo(f"{store.place}: nothing to merge in version {before.number}")
        return
    files = [sum(len(table.stored) for table in one.tables.values()) for one in (before, version)]
    click.echo(
        f"{store.place}: version {version.number} has the rows of version {before.number} in {files[1]:,} files, not {files[0]:,}"
    )
    click.echo(f"what only older versions need can go, once you want it to: fs-data gc {store.place} --keep 1")
