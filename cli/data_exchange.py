"""The commands of fs-data that take a dataset elsewhere or bring one: to and from the Hub, and everybody's formats.

    fs-data push out/tiny ann/sums --tag v1
    fs-data import math-shepherd builtin:math-shepherd.jsonl --out out/shepherd

`cli.data` puts them into the group; as there, a function holds its options and one call.
"""

import click

from cli.command import DATASET, Command


@click.command(
    "push",
    cls=Command,
    examples=(
        "fs-data push out/tiny ann/sums --tag v1 --dry-run",
        "fs-data push out/tiny@1 ann/sums --tag v1 --tables problems,solutions,pairs --license cc-by-4.0 --dry-run",
    ),
)
@click.argument("dataset", metavar=DATASET)
@click.argument("repo", metavar="OWNER/NAME")
@click.option("--tag", required=True, help="Name of the version on the Hub; a tag never moves.")
@click.option("--private", is_flag=True, help="Make the repository private. Refused where it is public already.")
@click.option("--tables", metavar="NAME,…", help="Publish only these tables. [default: all but samples and rollouts]")
@click.option("--license", "license_id", metavar="ID", help="The licence, as the Hub names it: cc-by-4.0, mit, …")
@click.option(
    "--against", metavar="SET", multiple=True, help="Audit the problems against a set, as `fs-data audit` does, for the card."
)
@click.option("--dry-run", is_flag=True, help="Show files, sizes and card; send nothing.")
def push(
    dataset: str,
    repo: str,
    tag: str,
    private: bool,
    tables: str | None,
    license_id: str | None,
    against: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Publish a version on the Hugging Face Hub.

    One config per table, and the views `preferences` and `stepwise` in the columns of TRL. Everything goes out in one
    commit, then the tag is set: readers by tag see the whole version or nothing. Run the same command again after an
    interruption; a version that is there is not sent twice, and a later one sends only what is new.
    """
    from cli.hub import push as push_dataset

    names = None if tables is None else [name.strip() for name in tables.split(",") if name.strip()]
    push_dataset(dataset, repo, tag, private, names, license_id, against, dry_run)


@click.command(
    "pull",
    cls=Command,
    examples=("fs-data pull ann/sums@v1 --out copy", "fs-data pull hf://ann/sums@v1 --out copy"),
)
@click.argument("address", metavar="OWNER/NAME[@TAG]")
@click.option("--out", required=True, metavar="DIR", help="Folder of the dataset: made if it is missing, grown if it is there.")
def pull(address: str, out: str) -> None:
    """Fetch a published version as a dataset folder.

    Every file is byte by byte the one that was pushed, and checked. Run the same command again after an interruption:
    what was fetched is kept.
    """
    from cli.hub import pull as pull_dataset

    pull_dataset(address, out)


@click.command(
    "import",
    cls=Command,
    examples=(
        "fs-data import math-shepherd builtin:math-shepherd.jsonl --out out/shepherd",
        "fs-data import math-shepherd builtin:math-shepherd.jsonl --out out/drop --set prompt_label=drop",
    ),
)
@click.argument("form", metavar="FORMAT")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--out", required=True, metavar="DIR", help="Folder of the dataset.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="An option of the format; may be repeated.")
@click.option("--template", metavar="NAME", help="Prompt template, where the format has no prompts. Default: the question alone.")
def import_(form: str, files: tuple[str, ...], out: str, overrides: tuple[str, ...], template: str | None) -> None:
    """Import a dataset in somebody else's format.

    Reads JSONL, JSON or Parquet files of FORMAT (`fs-data formats` lists them with their options) into a dataset that
    `fs-data check` passes, and shows how rows were mapped: rejected records with their reason, every loss by name.
    `fs-data build RECIPE --out DIR` goes on from there: it trains a PRM on the imported labels, scores and pairs.
    """
    from cli.interchange import import_dataset

    import_dataset(form, files, out, overrides, template)


@click.command(
    "export",
    cls=Command,
    examples=(
        "fs-data export trl-stepwise out/tiny -o out/stepwise.jsonl",
        "fs-data export math-shepherd out/tiny@1 -o out/math-shepherd.jsonl.gz",
    ),
)
@click.argument("form", metavar="FORMAT")
@click.argument("dataset", metavar=DATASET)
@click.option("-o", "out", required=True, metavar="FILE", help="The file: .jsonl, .json (one list), .parquet; also .gz.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="An option of the format; may be repeated.")
@click.option("--labeller", metavar="NAME", help="Whose step labels, where there are several.")
@click.option("--scorer", metavar="NAME", help="Whose step rewards, where there are several.")
def export(form: str, dataset: str, out: str, overrides: tuple[str, ...], labeller: str | None, scorer: str | None) -> None:
    """Write a dataset as a file in somebody else's format.

    FORMAT is one of `fs-data formats`. What the format cannot hold is shown by name, with how often it was met.
    """
    from cli.interchange import export_dataset

    export_dataset(form, dataset, out, overrides, labeller, scorer)


@click.command("formats", cls=Command, examples=("fs-data formats", "fs-data formats > formats.txt"))
def formats() -> None:
    """List the formats of `import` and `export` with their options."""
    from cli.interchange import show_formats

    show_formats()


COMMANDS = (push, pull, import_, export, formats)
