"""What `fs-data push` and `pull` and `fs-train push` do and print.

push("out/tiny", "ann/sums", tag="v1", private=True, tables=None, license_id=None, against=(), dry_run=False)
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import click
from rich.text import Text

from cli.progress import ProgressReporter, progress
from cli.render import console, counted, next_commands, plain_table, section
from fullstep_data.hub.address import parse, repo_id, tag_name
from fullstep_data.hub.client import Hub, Kind
from fullstep_data.hub.dataset import dataset_bundle
from fullstep_data.hub.model import ModelPush, model_bundle
from fullstep_data.hub.publish import README, Bundle, Published, publish, size
from fullstep_data.hub.pull import pull as pull_dataset
from fullstep_data.overlap import read_set
from fullstep_data.store import open_version
from fullstep_data.store.storage import is_bucket
from schemas import InputError


def push(
    dataset: str,
    repo: str,
    tag: str,
    private: bool,
    tables: Sequence[str] | None,
    license_id: str | None,
    against: Sequence[str],
    dry_run: bool,
) -> None:
    """Publish a version of a dataset, or show what would be published. against: evaluation sets that the card's audit names."""
    repo, tag = repo_id(repo), tag_name(tag)
    version = open_version(dataset)
    sets = [read_set(text) for text in against]
    with ExitStack() as stack:
        with progress() as reporter:
            made = dataset_bundle(version, tables, repo, tag, license_id, sets, ticks(reporter, "check parts"))
            bundle = stack.enter_context(made)
        if dry_run:
            show_bundle(bundle)
            return
        published = publish(bundle, _hub(repo, "dataset"), tag, private, _tell)
    _show_published(published, tag)
    if not published.nothing_to_do:
        place = f"hf://{repo}@{tag}"
        steps = ((f'fs-data sql {place} "SELECT count(*) FROM {next(iter(version.tables))}"', "ask it where it is"),)
        console().print(next_commands((*steps, (f"fs-data pull {repo}@{tag} --out copy", "fetch it as a dataset folder"))))


def push_model(
    run: str,
    repo: str,
    model: str | None,
    data: str | None,
    tag: str | None,
    private: bool,
    license_id: str | None,
    dry_run: bool,
) -> None:
    """Publish a model of a run, or show what would be published."""
    version = open_version(run)
    tag = tag_name(tag or f"v{version.number}")
    wish = ModelPush(repo_id(repo), tag, model, parse(data) if data else None, license_id)
    bundle = model_bundle(version, wish)
    if dry_run:
        show_bundle(bundle)
        return
    _show_published(publish(bundle, _hub(wish.repo, "model"), tag, private, _tell), tag)


def pull(address: str, out: str) -> None:
    """Fetch a dataset from the Hub."""
    if is_bucket(out):
        raise InputError(
            "a dataset from the Hub is fetched into a folder", where=out, next_step="name a folder; its files can be copied then"
        )
    with progress() as reporter:
        version = pull_dataset(parse(address), Path(out), ticks(reporter, "fetch parts"))
    rows = sum(table.rows for table in version.tables.values())
    parts = sum(len(table.stored) for table in version.tables.values())
    click.echo(f"{out}: version {version.number}, {len(version.tables)} tables, {parts:,} parts, {rows:,} rows")
    console().print(next_commands(((f"fs-data check {out}@{version.number}", "contracts, keys and accounts of every row"),)))


def ticks(reporter: ProgressReporter, name: str) -> Callable[[int, int], None]:
    """A bar (or lines) out of calls with how many parts are done and how many there are; those of the first call took no time."""
    last: int | None = None

    def tick(done: int, total: int) -> None:
        nonlocal last
        if last is None:
            reporter.stage_started(name, total, done)
        else:
            for _ in range(last, done):
                reporter.part_done(name)
        last = done

    return tick


def _hub(repo: str, kind: Kind) -> Hub:
    """The client draws bars of its own while it sends, where somebody looks on."""
    return Hub(repo, kind, bars=sys.stderr.isatty())


def _tell(what: str) -> None:
    click.echo(f"push: {what}", err=True)


def show_bundle(bundle: Bundle) -> None:
    """Files, sizes and card of what would be published. Asks nothing of the Hub."""
    view = plain_table("file", "bytes", right=("bytes",))
    card = bundle.card(None)
    sizes = {path: size(one) for path, one in bundle.files.items()} | {README: len(card.encode("utf-8"))}
    for path, count in sizes.items():
        view.add_row(Text(path), f"{count:,}")
    out = console()
    out.print(section("Files", view))
    out.print(Text(f"{counted(len(sizes), 'file')}, {sum(sizes.values()):,} bytes; nothing was sent", style="dim"))
    out.print(section("Card (what the repository's README says besides is kept)"))
    click.echo(card)


def _show_published(published: Published, tag: str) -> None:
    if published.nothing_to_do:
        click.echo(f"{published.url} has this version under tag {tag} already: nothing to do")
        return
    sent = sum(published.uploaded.values())
    click.echo(f"{published.url}, tag {tag}, commit {published.commit[:12]}")
    click.echo(
        f"{counted(len(published.uploaded), 'file')} sent ({sent:,} bytes), {published.unchanged:,} there already, "
        f"{published.deleted:,} of an older version removed from the head"
    )
