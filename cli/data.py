"""fs-data: make a dataset, look into it, ask it, check it.

    fs-data build tiny --out out/tiny
    fs-data sql out/tiny "SELECT correct, count(*) FROM solutions GROUP BY correct"

A command's function holds its options and one call; what it imports, it imports when it runs, so that `--help` starts at once.
"""

import sys

import click

from cli.command import ASKED, DATASET, App, Command
from cli.data_exchange import COMMANDS as EXCHANGE
from cli.processes import Processes, processes_options
from cli.trackers import trackers_option
from cli.workers import Parts, workers_options

FORM = click.Choice(["table", "csv", "json", "markdown", "parquet"])
HOURS = click.FloatRange(min=0)


@click.group(
    "fs-data",
    cls=App,
    examples=("fs-data build tiny --out out/tiny", "fs-data show out/tiny"),
)
@click.version_option(package_name="fullstep", prog_name="fs-data")
def main() -> None:
    """Datasets of step-labelled solutions and preference pairs: from problems to pairs, as tables that answer SQL."""


@main.command(
    "build",
    cls=Command,
    examples=(
        "fs-data build tiny --out out/tiny",
        "fs-data build tiny --out out/tiny --set samples.samples=12 --set pairs.top=4",
    ),
)
@click.argument("recipe")
@click.option(
    "--out", required=True, metavar="DIR", help="Folder of the dataset, or s3://BUCKET/PREFIX: made if missing, grown if there."
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key of the recipe; may be repeated.")
@workers_options
@processes_options
@trackers_option
def build(
    recipe: str,
    out: str,
    overrides: tuple[str, ...],
    parts: Parts,
    processes: int,
    accelerate_config: str | None,
    trackers: tuple[str, ...],
) -> None:
    """Build a dataset, from problems to preference pairs.

    Samples solutions, grades them, cuts them into steps, labels the steps, trains a PRM on them, scores every step with
    it, and pairs the best correct solutions of each problem with the worst incorrect ones. RECIPE is the name of a
    built-in recipe (`fs-data recipe` lists them) or a TOML file. The finished build is a new version of the dataset;
    old versions stay. Run the same command again after an interruption: finished parts are not computed twice. Run it
    with more problems or samples: only what is new is computed. Where it is computed changes nothing of the result.
    """
    from cli.build import build as build_dataset

    build_dataset(recipe, out, overrides, Processes(processes, accelerate_config), parts, trackers)


@main.command(
    "show",
    cls=Command,
    examples=("fs-data show out/tiny", "fs-data show out/tiny pairs --rows 1"),
)
@click.argument("dataset", metavar=ASKED)
@click.argument("table", required=False)
@click.option("--rows", default=3, show_default=True, type=click.IntRange(min=0), help="How many rows of the table to show.")
def show(dataset: str, table: str | None, rows: int) -> None:
    """Show the tables of a dataset, or one of them.

    Without TABLE: rows of each table, and what was dropped why. With TABLE: its columns, what they mean, and its first
    rows. VERSION is a number, a tag or a day (@2026-11-22: the newest version of that day or before); without it, the
    latest version is shown. So it is wherever a command takes DIR[@VERSION]. DIR may be a dataset in a bucket,
    s3://BUCKET/PREFIX, there as here.
    """
    from cli.show import show_table, show_version

    if table is None:
        show_version(dataset)
    else:
        show_table(dataset, table, rows)


@main.command(
    "sql",
    cls=Command,
    examples=(
        'fs-data sql out/tiny "SELECT correct, count(*) AS solutions FROM solutions GROUP BY correct"',
        'fs-data sql out/tiny@1 "FROM preferences ORDER BY margin DESC LIMIT 5" --format json',
    ),
)
@click.argument("dataset", metavar=ASKED)
@click.argument("query", required=False)
@click.option("--file", "script", metavar="FILE", help="Run the statements of a .sql file.")
@click.option("--version", metavar="VERSION", help="The same as DIR@VERSION.")
@click.option("--format", "form", default="table", show_default=True, type=FORM, help="Output.")
def sql(dataset: str, query: str | None, script: str | None, version: str | None, form: str) -> None:
    """Ask a dataset in SQL.

    The dialect is DuckDB's, read-only and shut in: no file but the version's own can be reached. Every table is a view
    by its name; `steps_wide` (each step with all that is known of it), `preferences` (pairs as text, with rewards) and
    `rewards` are joined already. Without QUERY: standard input, or on a terminal a shell with history and completion.
    docs/cookbook.md answers twenty questions. A dataset on the Hub is asked in place: only what is needed is read.
    """
    from pathlib import Path

    from cli.sql import opened, read_script, show_answers

    if query is not None and script is not None:
        raise click.UsageError("give QUERY or --file, not both")
    asked, parts = opened(dataset, version)
    if query is None and script is None and sys.stdin.isatty():
        from cli.shell import run_shell

        run_shell(asked, parts=parts)
    else:
        text = query if query is not None else read_script(Path(script)) if script else sys.stdin.read()
        show_answers(asked, text, form, parts)


@main.command(
    "views",
    cls=Command,
    examples=("fs-data views out/tiny", "fs-data views out/tiny@1 -o version-1.sql"),
)
@click.argument("dataset", metavar=DATASET)
@click.option("-o", "--out", metavar="FILE", default="views.sql", show_default=True, help="Where to write; - is standard output.")
def views(dataset: str, out: str) -> None:
    """Write a version's tables and ready joins as SQL views.

    Any DuckDB opens them without fullstep, from any folder: duckdb -init views.sql. The folder of the dataset has such
    a file for its latest version already, with relative paths.
    """
    from cli.sql import write_views

    write_views(dataset, out)


@main.command(
    "report",
    cls=Command,
    examples=("fs-data report out/tiny -o report.html", "fs-data report out/tiny@1 out/tiny -o report.html --problems 50"),
)
@click.argument("datasets", metavar=f"{DATASET}...", nargs=-1, required=True)
@click.option("-o", "--out", required=True, metavar="FILE", help="The HTML file to write.")
@click.option(
    "--problems", default=1000, show_default=True, type=click.IntRange(min=0), help="Most problems that can be leafed through."
)
def report(datasets: tuple[str, ...], out: str, problems: int) -> None:
    """Write a report: one HTML file that holds all it shows.

    Counts, charts of rewards, solutions and pairs, and the problems with their solutions, steps and pairs to leaf
    through. Of two versions, the report is of the second, with what changed since the first. The charts count every
    row; of the problems a sample is taken when there are more than --problems. Needs the extra `report`.
    """
    from cli.report import report as write_report

    write_report(datasets, out, problems)


@main.command(
    "stats",
    cls=Command,
    examples=("fs-data stats out/tiny", "fs-data stats out/tiny@1 --json"),
)
@click.argument("dataset", metavar=ASKED)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def stats(dataset: str, as_json: bool) -> None:
    """Tell how healthy a dataset is.

    Warnings first, in plain words with the number behind each: rewards that do not tell steps apart, that follow length
    or only the last step, samples that are all alike, labels of one kind. Then the figures: rows and rejects; rewards
    by label, position and number of steps; scores of correct against incorrect solutions (AUC), ties, calibration;
    pairs, margins, answer diversity, token counts.
    """
    from cli.stats import show_stats

    show_stats(dataset, as_json)


@main.command(
    "log",
    cls=Command,
    examples=("fs-data log out/tiny", "fs-data log out/tiny-run"),
)
@click.argument("dataset", metavar="DIR|hf://OWNER/NAME")
def log(dataset: str) -> None:
    """List the versions of a dataset, the latest first.

    Each with its recipe, tags, rows of each table, and what it was built on. Of a dataset on the Hub: its tags.
    """
    from cli.show import show_log

    show_log(dataset)


@main.command(
    "tag",
    cls=Command,
    examples=("fs-data tag out/tiny@1 v1", "fs-data tag out/tiny"),
)
@click.argument("dataset", metavar=DATASET)
@click.argument("name", required=False)
@click.option("--delete", is_flag=True, help="Take the tag away; the version stays.")
def tag(dataset: str, name: str | None, delete: bool) -> None:
    """Name a version, or list the tags of a dataset.

    With NAME: the version (the latest, where none is named) can be read as DIR@NAME from now on. A tag never moves, and
    `fs-data gc` never removes a version that has one.
    """
    from cli.versions import delete_tag, show_tags, tag_version

    if name is None:
        show_tags(dataset)
    elif delete:
        delete_tag(dataset, name)
    else:
        tag_version(dataset, name)


@main.command(
    "diff",
    cls=Command,
    examples=("fs-data diff out/tiny@1 out/tiny", "fs-data diff out/tiny@1 out/tiny --json"),
)
@click.argument("before", metavar="DIR[@VERSION]")
@click.argument("after", metavar="DIR[@VERSION]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def diff(before: str, after: str, as_json: bool) -> None:
    """Tell what changed from one version to another.

    Per table the rows that were added, removed and changed, by key; how the recipe differs; how far the rewards of the
    same steps moved; which problems gained their first pairs or lost all of them. The two may be versions of one
    dataset or of two.
    """
    from cli.diff import show_diff

    show_diff(before, after, as_json)


@main.command(
    "lineage",
    cls=Command,
    examples=("fs-data lineage out/tiny", "fs-data lineage out/tiny@1 --format mermaid > lineage.mmd"),
)
@click.argument("dataset", metavar=DATASET)
@click.argument("pair", required=False)
@click.option(
    "--format", "form", default="text", show_default=True, type=click.Choice(["text", "mermaid", "json"]), help="Output."
)
def lineage(dataset: str, pair: str | None, form: str) -> None:
    """Tell where a preference pair comes from.

    Back from the pair to its two solutions, their sampler and seeds, the grader, the step labels, the PRM behind the
    scores with the rows that it was trained on, and the problem's row in its source. PAIR is a pair_id or a
    step_pair_id, or the beginning of one; without it, the pair of solutions of the widest margin is taken.
    """
    from cli.lineage import show_lineage

    show_lineage(dataset, pair, form)


@main.command(
    "check",
    cls=Command,
    examples=("fs-data check out/tiny", "fs-data check out/tiny@1"),
)
@click.argument("dataset", metavar=DATASET)
def check(dataset: str) -> int:
    """Check every file and row of a version.

    Contracts, checksums, orphan keys, and that every input key of a stage is in its rows or its rejects. Prints each
    finding. Exit code 0: all is well; 1: something was found.
    """
    from cli.show import show_check

    return show_check(dataset)


@main.command(
    "gc",
    cls=Command,
    examples=("fs-data gc out/tiny", "fs-data gc out/tiny --keep 1 --delete"),
)
@click.argument("dataset", metavar="DIR")
@click.option(
    "--keep", metavar="N", type=click.IntRange(min=1), help="Give up versions, but for the newest N and those with a tag."
)
@click.option(
    "--older-than",
    "hours",
    metavar="HOURS",
    default=24.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Spare younger files.",
)
@click.option("--delete", is_flag=True, help="Remove it; without this, only what would be removed is told.")
def gc(dataset: str, keep: int | None, hours: float, delete: bool) -> None:
    """Remove what no version of a dataset needs.

    That is what killed builds and versions given up left behind: parts, models, half-made models, temp files. Spared are
    versions with a tag, files younger than a day (a build on another machine may be about to use them), and everything
    while a build runs in the folder (in a bucket: on any machine). A dataset that was trained on should keep the version
    that was used: tag it.
    """
    from cli.versions import collect_garbage

    collect_garbage(dataset, keep, hours, delete)


@main.command(
    "compact",
    cls=Command,
    examples=("fs-data compact out/tiny", "fs-data compact out/tiny-run"),
)
@click.argument("dataset", metavar="DIR")
def compact(dataset: str) -> None:
    """Put the many small files of a dataset together into few.

    Makes a new version with the same rows in the same order, which opens faster; older versions stay. Builds go on as
    before: what they need of the small files is written again from the large ones. A training on the new version counts
    as a new one, for its input files are others.
    """
    from cli.versions import compact_dataset

    compact_dataset(dataset)


@main.command(
    "audit",
    cls=Command,
    examples=("fs-data audit out/tiny", "fs-data audit out/tiny --against out/tiny --json"),
)
@click.argument("dataset", metavar=DATASET)
@click.option("--against", metavar="SET", multiple=True, help="gsm8k, gsm8k=FILE, FILE or a dataset; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def audit(dataset: str, against: tuple[str, ...], as_json: bool) -> int:
    """Look for problems of evaluation sets among the training problems.

    Finds the same text, the same words, 13 words in a row in common, and near duplicates (MinHash). Also problems that
    stand in both splits or twice in one, the sources, and their licence where it is known. A SET is named as in
    `fs-train eval --sets`; of a dataset its held-out problems are taken. Exit code 1: training and test problems
    overlap. Needs the extra `audit`.
    """
    from cli.audit import show_audit

    return show_audit(dataset, against, as_json)


@main.command(
    "recipe",
    cls=Command,
    examples=("fs-data recipe", "fs-data recipe --show tiny > my.toml"),
)
@click.option("--show", "name", metavar="NAME", help="Print this recipe, comments and all: a file to start from.")
def recipe(name: str | None) -> None:
    """List the built-in recipes, or print one."""
    from cli.recipe import builtin_recipes, recipe_text

    if name is not None:
        click.echo(recipe_text(name), nl=False)
        return
    for builtin in builtin_recipes():
        click.echo(recipe_text(builtin).splitlines()[0].removeprefix("# "))


for command in EXCHANGE:
    main.add_command(command)


if __name__ == "__main__":
    sys.exit(main())
