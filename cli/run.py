"""What `fs-train run` does: recipe and dataset → stages and tools → one run → summary.

run("tiny", "out/tiny", "out/tiny-run", overrides=("policy.weighting.gamma=0",))
"""

import json
from collections.abc import Sequence
from pathlib import Path

from cli.progress import progress
from cli.recipe import load
from cli.render import show
from cli.train_summary import Training, train_summary
from fullstep_data.pipeline import TRAINING
from fullstep_data.runner import run as run_stages
from fullstep_data.store import Store, Version, open_version


def run(recipe_name: str, data: str, out: str, overrides: Sequence[str]) -> Version:
    """Train on the dataset `data` into the folder `out`, show what came of it, and return the run's version."""
    recipe = load(recipe_name, overrides)
    upstream = open_version(data)
    from cli.tools import train_tools  # torch: only once recipe and dataset are known to be good

    with progress() as reporter:
        tools = train_tools(recipe, reporter)
        version = run_stages(TRAINING, recipe, Store.create(Path(out)), tools, reporter, upstream=upstream)
    show(train_summary(version.frame("predictions"), training(version), data, out))
    return version


def training(version: Version) -> Training:
    """What the trainer left beside the policy about its own work."""
    folder = version.model("policy")
    curve = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    return Training(curve, json.loads((folder / "policy.json").read_text(encoding="utf-8"))["trained_on"])
