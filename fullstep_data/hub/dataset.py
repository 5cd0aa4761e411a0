"""What of a version is published, and as which files: the store's own parts, a manifest of just them, two views, and the card.

    with dataset_bundle(version, default_tables(version), …) as bundle:
        publish(bundle, hub, tag="v1", private=True)

The repository has the form of a dataset folder, so what `hf download` fetches is one: parts/<table>/<key>.parquet,
versions/N.json, views.sql. A table's parts never change, so a new version sends only the parts that are new.

Nothing goes out that was not named: `samples` and `rollouts` (raw output) only on demand, models never; a path of this machine
in the recipe loses its folders, a server its address.
"""

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pyarrow.parquet as pq

from fullstep_data.audit import QuestionSet, audit
from fullstep_data.hub.card import dataset_card
from fullstep_data.hub.facts import Card, Config, facts
from fullstep_data.hub.histogram import picture
from fullstep_data.hub.publish import Bundle
from fullstep_data.hub.views import View, write_views
from fullstep_data.query import connect
from fullstep_data.store import Manifest, StageRecord, TableRecord, Version
from fullstep_data.store.views import views_file
from schemas import TABLES, InputError

NOT_BY_DEFAULT = ("samples", "rollouts")
VIEWS_SQL = "views.sql"
_SEAL = re.compile(r"versions/\d{6}\.json")
_OURS = ("parts/", "views/", "versions/", VIEWS_SQL, "rewards.png")


def default_tables(version: Version) -> list[str]:
    """All tables but raw output; rejects go with the tables whose parts they belong to."""
    return [name for name in version.manifest.tables if name not in NOT_BY_DEFAULT]


@contextmanager
def dataset_bundle(
    version: Version,
    tables: Sequence[str] | None,
    repo: str,
    tag: str,
    license_id: str | None,
    against: Sequence[QuestionSet] = (),
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Bundle]:
    """The bundle; its views are files in a folder that is gone afterwards. tables: None for `default_tables`. against:
    evaluation sets that the card's audit compares the problems with. tick: told of the parts that were checked and of how many
    there are.

    InputError: no such table, nothing to publish, a part that is missing or was altered, rows that name folders of this machine.
    """
    names = _named(version, default_tables(version) if tables is None else tables)
    manifest = published(version.manifest, names)
    public = Version(version.path, manifest)
    stored = [file for table in public.tables.values() for file in table.stored]
    for done, file in enumerate(stored):
        tick(done, len(stored))
        file.content()
    tick(len(stored), len(stored))
    _require_no_folders(public)
    found = (
        audit(version, [QuestionSet(without_folders(one.name, "path"), one.questions) for one in against]) if against else None
    )
    with tempfile.TemporaryDirectory(prefix="fullstep-push-") as folder:
        views = write_views(public, names, Path(folder))
        told = facts(public, version, views, found)
        yield _bundle(public, views, Card(repo, tag, license_id, manifest, _configs(public, views), told))


def published(manifest: Manifest, tables: Sequence[str]) -> Manifest:
    """The manifest of just these tables: without models, and without the folders of this machine."""
    return manifest.model_copy(
        update={
            "recipe": without_folders(manifest.recipe),
            "tables": {name: _without_folders(record) for name, record in manifest.tables.items() if name in tables},
            "models": {},
        }
    )


def without_folders(value: Any, key: str = "") -> Any:
    """The value with every path in it cut to its last name, and without addresses of servers and names of environment variables;
    a Hub id (one slash) and the files inside fullstep stay.
    """
    if isinstance(value, dict):
        return {name: without_folders(one, str(name)) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(one, key) for one in value]
    return _without_folders_of(value, key) if isinstance(value, str) and key != "pattern" else value


def _without_folders_of(text: str, key: str) -> str | None:
    if key == "api_key_env":
        return None
    if re.match(r"https?://", text):
        return "a server"
    if re.match(r"[A-Za-z]:[\\/]|\\\\", text):
        return PureWindowsPath(text).name
    is_path = text.startswith(("/", "~", "./", "../", "file:")) or key in ("path", "template") or _is_deep(text)
    return PurePosixPath(text).name if is_path and not text.startswith("builtin:") else text


def _is_deep(text: str) -> bool:
    return text.count("/") > 1 and not re.search(r"\s", text)


def _without_folders(record: TableRecord) -> TableRecord:
    stages = tuple(_stage_without_folders(stage) for stage in record.stages)
    return record.model_copy(update={"stages": stages})


def _stage_without_folders(stage: StageRecord) -> StageRecord:
    return stage.model_copy(update={"config": without_folders(stage.config), "tools": without_folders(stage.tools)})


def _named(version: Version, tables: Sequence[str]) -> list[str]:
    """The tables in the order of the flow. InputError: the version has none of that name, or none is named."""
    known = list(version.manifest.tables)
    unknown = [name for name in tables if name not in (*known, "rejects")]
    if unknown or not set(tables) & set(known):
        raise InputError(
            what=f"version {version.number} has no table {unknown[0]}" if unknown else "no table is named",
            where=version.place,
            next_step=f"its tables: {', '.join(known)} (rejects go along with the tables they belong to)",
        )
    return [name for name in known if name in tables]


_NAMES = ("sampler", "grader", "labeller", "scorer", "policy", "model", "source")
"""Columns that say by what a row was made: the only ones in which a path of this machine may stand, where a user typed one."""


def _require_no_folders(public: Version) -> None:
    """InputError where a row says by an absolute path what it was made by, or a reject names a folder of ours."""
    found: dict[str, str] = {}
    with connect(public) as connection:
        for table in public.tables:
            for column in (name for name in _NAMES if name in TABLES[table].polars_schema):
                query = f"SELECT DISTINCT {column} FROM {table} WHERE regexp_matches({column}, '(^|[:=])(/|~|[A-Za-z]:[\\\\/])')"
                found.update({str(value): f"{table}.{column}: {value}" for (value,) in connection.execute(query).fetchall()})
        for place in (f"{Path.home()}/", f"{public.path.resolve()}"):  # what a server or a library said of a failure may name one
            query = "SELECT DISTINCT detail FROM rejects WHERE contains(detail, ?)"
            found.update({str(value): f"rejects.detail: {value}" for (value,) in connection.execute(query, [place]).fetchall()})
    if found:
        raise InputError(
            "rows name folders of this machine, which would be published",
            where=public.place,
            count=len(found),
            examples=list(found.values()),
            next_step="leave these tables out (--tables), or make them again with a name, or a path from where you stand",
        )


def _bundle(public: Version, views: Sequence[View], card: Card) -> Bundle:
    manifest = public.manifest
    parts: dict[str, Path | bytes] = {
        file.path.relative_to(public.path).as_posix(): file.path for table in public.tables.values() for file in table.stored
    }
    shown: dict[str, Path | bytes] = {f"views/{view.name}/{file.name}": file for view in views for file in view.files}
    if card.facts.bins:
        shown["rewards.png"] = picture(card.facts.bins)
    seal = f"versions/{manifest.number:06d}.json"
    return Bundle(
        kind="dataset",
        title=f"Version {manifest.number} of the dataset",
        files={**parts, **shown, VIEWS_SQL: views_file(public), seal: manifest.content()},
        seal=seal,
        sealed=[*parts, VIEWS_SQL, seal],
        is_seal=lambda path: _SEAL.fullmatch(path) is not None,
        stale=lambda there, _: {path for path in there if path.startswith(_OURS)},
        card=lambda readme: dataset_card(card, readme),
        differs=lambda other: differences(other, manifest),
    )


def _configs(public: Version, views: Sequence[View]) -> list[Config]:
    """Views first: they are what a reader without fullstep wants. A table without rows has no config: nothing is to be loaded."""
    configs = [
        Config(view.name, pattern, [pattern], view.schema, view.rows, *_bytes(view.files), VIEW_GRAINS[view.name])
        for view in views
        for pattern in (f"views/{view.name}/*.parquet",)
    ]
    for name, table in public.tables.items():
        paths = [file.path for file in table.stored if file.rows]
        if paths:
            says = TABLES[name].grain.removeprefix("one ")
            pattern = f"parts/{name}/*.parquet"
            # `datasets` cannot read a file without rows, so where there is one, the others are named one by one.
            files = [pattern] if len(paths) == len(table.stored) else [path.relative_to(public.path).as_posix() for path in paths]
            configs.append(Config(name, pattern, files, pq.read_schema(paths[0]), table.rows, *_bytes(paths), says))
    return configs


def _bytes(files: Sequence[Path]) -> tuple[int, int]:
    """The size of Parquet files, and of the columns in them before compression."""
    metadata = [pq.read_metadata(file) for file in files]
    groups = [one.row_group(place) for one in metadata for place in range(one.num_row_groups)]
    return sum(file.stat().st_size for file in files), sum(group.total_byte_size for group in groups)


VIEW_GRAINS = {
    "preferences": "preference pair, as text: prompt, chosen, rejected",
    "stepwise": "solution, cut into steps: prompt, completions, labels",
}


def differences(other: bytes, manifest: Manifest) -> list[str]:
    """How the version behind another manifest differs from this one, in at most five lines."""
    try:
        theirs = json.loads(other)
        tables = {name: [part["sha256"] for stage in record["stages"] for part in stage["parts"]]
                  for name, record in theirs["tables"].items()}  # fmt: skip
        number = theirs["number"]
    except (ValueError, KeyError, TypeError):
        return ["a manifest that cannot be read"]
    ours = {name: [part.sha256 for part in record.parts] for name, record in manifest.tables.items()}
    lines = [f"version {number} there, version {manifest.number} here"] if number != manifest.number else []
    for name in dict.fromkeys((*tables, *ours)):
        if name not in ours or name not in tables:
            lines.append(f"table {name} is only {'there' if name in tables else 'here'}")
        elif set(ours[name]) != set(tables[name]):
            common = len(set(ours[name]) & set(tables[name]))
            lines.append(f"table {name}: {len(tables[name])} parts there, {len(ours[name])} here, {common} in common")
    return (lines or ["the same rows, made with another recipe or under another contract"])[:5]
