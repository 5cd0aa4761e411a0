"""What `fs-data build` does: recipe → stages and tools → one run → summary.

build("tiny", "out/tiny", overrides=("samples.samples=12",))
"""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cli.build_summary import build_summary
from cli.processes import ALONE, Processes
from cli.progress import progress
from cli.recipe import load
from cli.render import show
from fullstep_data.query import connect
from fullstep_data.runner import run
from fullstep_data.store import Store, Version


def build(recipe_name: str, out: str, overrides: Sequence[str], processes: Processes = ALONE) -> Version:
    """Build or grow the dataset in folder `out`, show what it holds now, and return the version."""
    recipe = load(recipe_name, overrides)
    from cli.tools import build_stages, build_tools  # torch: only once the recipe is known to be good

    with progress() as reporter:
        tools = build_tools(recipe, reporter, processes.launch())
        version = run(build_stages(recipe), recipe, Store.create(Path(out)), tools, reporter)
    with connect(version) as connection:
        summary = build_summary(
            lambda question: connection.sql(question).pl(),
            list(version.tables),
            prm_metrics(version),
            shlex.join((recipe_name, *(word for override in overrides for word in ("--set", override)))),
            out,
        )
    show(summary)
    return version


def prm_metrics(version: Version) -> dict[str, Any]:
    """The validation figures of the PRM that this version trained; empty where it trained none."""
    if "prm" not in version.manifest.models:
        return {}
    return json.loads((version.model("prm") / "metrics.json").read_text(encoding="utf-8"))["validation"]
