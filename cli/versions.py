"""What `fs-data tag` does and prints: names for versions.

tag_version("out/tiny@1", "v1")
"""

import click

from fullstep_data.store import Store, open_version, parse_spec
from schemas import InputError


def tag_version(dataset: str, name: str) -> None:
    """Name a version."""
    version = open_version(dataset)
    Store(version.path).tag(name, version.number)
    click.echo(f"{version.path}@{name} is version {version.number}")


def delete_tag(dataset: str, name: str) -> None:
    """Take a tag away."""
    store = whole(dataset, "a tag is taken from the whole dataset")
    number = store.untag(name)
    click.echo(f"{store.path}: version {number} is no longer called {name}")


def show_tags(dataset: str) -> None:
    """Each tag with the version that it names."""
    store = whole(dataset, "tags are listed for the whole dataset")
    tags = store.tags()
    for name, number in tags.items():
        click.echo(f"{name}  version {number}")
    if not tags:
        click.echo(f"no tags; name a version: fs-data tag {store.path}@NUMBER NAME")


def whole(dataset: str, rule: str) -> Store:
    """The dataset, where no version is named. InputError: one is."""
    path, spec = parse_spec(dataset)
    if spec is not None:
        raise InputError(what=rule, where=dataset, next_step=f"leave the version out: {path}")
    return Store.open(path)
