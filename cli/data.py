"""fs-data: make a dataset, look into it, ask it, check it.

    fs-data build tiny --out out/tiny
    fs-data sql out/tiny "SELECT correct, count(*) FROM solutions GROUP BY correct"

A command's function holds its options and one call; what it imports, it imports when it runs, so that `--help` starts at once.
"""

import sys

import click

from cli.command import App, Command

DATASET = "DIR[@VERSION]"


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
@click.option("--out", required=True, metavar="DIR", help="Folder of the dataset: made if it is missing, grown if it is there.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key of the recipe; may be repeated.")
def build(recipe: str, out: str, overrides: tuple[str, ...]) -> None:
    """Build a dataset, from problems to preference pairs.

    Samples solutions, grades them, cuts them into steps, labels the steps, trains a PRM on them, scores every step with
    it, and pairs the best correct solutions of each problem with the worst incorrect ones. RECIPE is the name of a
    built-in recipe (`fs-data recipe` lists them) or a TOML file. The finished build is a new version of the dataset;
    old versions stay. Run the same command again after an interruption: finished parts are not computed twice. Run it
    with more problems or samples: only what is new is computed.
    """
    from cli.build import build as build_dataset

    build_dataset(recipe, out, overrides)


@main.command(
    "show",
    cls=Command,
    examples=("fs-data show out/tiny", "fs-data show out/tiny pairs --rows 1"),
)
@click.argument("dataset", metavar=DATASET)
@click.argument("table", required=False)
@click.option("--rows", default=3, show_default=True, type=click.IntRange(min=0), help="How many rows of the table to show.")
def show(dataset: str, table: str | None, rows: int) -> None:
    """Show the tables of a dataset, or one of them.

    Without TABLE: rows of each table, and what was dropped why. With TABLE: its columns, what they mean, and its first
    rows. VERSION is a number or a tag; without it, the latest version is shown.
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
        'fs-data sql out/tiny@1 "SELECT * FROM pairs ORDER BY margin DESC LIMIT 5" --format csv',
    ),
)
@click.argument("dataset", metavar=DATASET)
@click.argument("query")
@click.option("--format", "form", default="table", show_default=True, type=click.Choice(["table", "csv", "json"]), help="Output.")
def sql(dataset: str, query: str, form: str) -> None:
    """Ask a dataset in SQL.

    The dialect is DuckDB's, read-only. Every table of the version is a view by its name; `fs-data show DIR TABLE` tells
    its columns.
    """
    from cli.show import show_answer

    show_answer(dataset, query, form)


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
    "log",
    cls=Command,
    examples=("fs-data log out/tiny", "fs-data log out/tiny-run"),
)
@click.argument("dataset", metavar="DIR")
def log(dataset: str) -> None:
    """List the versions of a dataset, the latest first.

    Each with its recipe, tags, rows of each table, and what it was built on.
    """
    from cli.show import show_log

    show_log(dataset)


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


if __name__ == "__main__":
    sys.exit(main())
