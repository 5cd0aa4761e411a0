"""What `fs-data build` does: recipe → stages and tools → one run → summary.

build("tiny", "out/tiny", overrides=("samples.samples=12",))
"""

import json
import shlex
from collections.abc import Sequence
from typing import Any

from cli.build_summary import build_summary
from cli.processes import ALONE, Processes
from cli.progress import progress
from cli.recipe import load
from cli.render import say, show
from cli.trackers import begin
from cli.workers import HERE, Parts
from fullstep_data.formats.importing import imported_tables
from fullstep_data.pipeline import stages_on_import
from fullstep_data.query import connect
from fullstep_data.runner import run
from fullstep_data.stats import MEMORY
from fullstep_data.store import Store, Version
from fullstep_data.store.storage import path_of
from schemas import InputError


def build(
    recipe_name: str,
    out: str,
    overrides: Sequence[str],
    processes: Processes = ALONE,
    parts: Parts = HERE,
    trackers: tuple[str, ...] = (),
) -> Version:
    """Build or grow the dataset in folder `out`, show what it holds now, and return the version.

    parts: where they are made. trackers: follow the PRM's training, with names that cli.trackers knows.
    """
    recipe = load(recipe_name, overrides)
    from cli.tools import build_stages, build_tools  # torch: only once the recipe is known to be good

    where = parts.place()
    store = Store.create(path_of(out))
    imported = imported_tables(store)
    stages = stages_on_import(build_stages(recipe), imported)
    if not stages:
        raise InputError(
            "nothing is left to build: pairs and rewards were imported",
            where=out,
            next_step=f"train on them: fs-train run {recipe_name} --data {shlex.quote(out)} --out RUN",
        )
    if imported:
        say(f"going on from the imported tables: {', '.join(imported)}")
    begin(trackers, path_of(out))
    with progress() as reporter:
        tools = build_tools(recipe, reporter, processes.launch(), trackers, store)
        version = run(stages, recipe, store, tools, reporter, imported=imported, where=where)
    with connect(version, memory=MEMORY) as connection:
        summary = build_summary(
            connection,
            list(version.tables),
            prm_metrics(version),
            shlex.join((recipe_name, *(word for override in overrides for word in ("--set", override)))),
            out,
        )
    show(summary)
    return version


def prm_metrics(version: Version) -> dict[str, Any]:
    """The validation figures of the PRM that this version trained; empty where it trained none."""
    content = version.model_file("prm", "metrics.json") if "prm" in version.manifest.models else None
    return json.loads(content)["validation"] if content else {}
