"""What `fs-train run` does: recipe and dataset → stages and tools → one run → summary.

run("tiny", "out/tiny", "out/tiny-run", overrides=("policy.weighting.gamma=0",))
"""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from cli.plot import missing, require_plot, write_plot
from cli.processes import ALONE, Processes
from cli.progress import progress
from cli.recipe import Recipe, learnt, load
from cli.render import show
from cli.trackers import begin
from cli.train_summary import Training, loss_of, train_summary, weighs_steps
from cli.workers import HERE, Parts
from fullstep_data.hub.address import is_address, parse
from fullstep_data.pipeline import Learnt
from fullstep_data.pipeline import training as training_stages
from fullstep_data.runner import run as run_stages
from fullstep_data.store import Store, Version, open_version
from fullstep_data.store.storage import cache_folder, path_of
from schemas import InputError

PICTURE = "training.png"
"""What a run's picture is called in its folder."""


def run(
    recipe_name: str,
    data: str,
    out: str,
    overrides: Sequence[str],
    processes: Processes = ALONE,
    plot: Path | None = None,
    parts: Parts = HERE,
    trackers: tuple[str, ...] = (),
) -> Version:
    """Train on the dataset `data` into the folder `out`, show what came of it, and return the run's version.

    plot: a PNG file for the course of the training, by default one in `out` where what draws is installed. trackers: follow it,
    with names that cli.trackers knows.
    """
    recipe = load(recipe_name, overrides)
    if plot:
        require_plot(plot)
    upstream = open_dataset(data)
    table = learnt(recipe)
    _require_pairs(upstream, data, table)
    if is_address(data):
        data = f"{upstream.path}@{upstream.number}"
    from cli.tools import train_tools  # torch: only once recipe and dataset are known to be good

    where = parts.place()
    begin(trackers, path_of(out))
    with progress() as reporter:
        tools = train_tools(recipe, reporter, upstream, processes.launch(), trackers)
        version = run_stages(
            training_stages(table), recipe, Store.create(path_of(out)), tools, reporter, upstream=upstream, where=where
        )
    trained = training(version)
    picture = plot or (None if missing() else path_of(out) / PICTURE)
    if picture:
        write_plot(trained.curve, picture)
    show(train_summary(version.frame("predictions"), trained, picture, eval_options(recipe), data, out))
    return version


def open_dataset(data: str) -> Version:
    """The version in a folder, or one on the Hub, fetched into the cache."""
    if not is_address(data):
        return open_version(data)
    from cli.hub import ticks
    from fullstep_data.hub.pull import pulled  # the Hub's client takes a second to import

    with progress() as reporter:
        return pulled(parse(data), cache_folder() / "datasets", ticks(reporter, "fetch parts"))


def eval_options(recipe: Recipe) -> str:
    """The options of `fs-train eval` that ask the way this recipe does."""
    prompt = recipe.samples.prompt
    chat = f" --chat {prompt.chat}" if prompt.chat else ""
    return f"--template {shlex.quote(prompt.template)}{chat} --max-tokens {recipe.evaluation.max_tokens}"


def _require_pairs(version: Version, data: str, name: Learnt) -> None:
    """InputError where there is nothing to train on: told before the evaluation that comes first, which may take long."""
    table = version.table(name)
    if table.rows and name == "pairs" and "step_scores" not in version.tables:
        raise InputError(
            "the pairs have no step rewards (table step_scores), by which the training weighs steps",
            where=f"{data}, version {version.number}",
            next_step=f"fs-data build RECIPE --out {shlex.quote(data)} makes them, where the steps of the dataset are labelled",
        )
    if table.rows:
        return
    rejected = table.record.rejected if table.record else {}
    raise InputError(
        what="the dataset has no pairs to train on" if name == "pairs" else "the dataset has no pairs of next steps to train on",
        where=f"{data}, version {version.number}",
        examples=[f"{reason}: {count:,}" for reason, count in sorted(rejected.items(), key=lambda item: -item[1])],
        next_step="a pair needs a right and a wrong solution of one problem: build with easier or harder problems, or more "
        "samples of each (samples.samples)",
    )


def training(version: Version) -> Training:
    """What the trainer left beside the policy about its own work."""
    folder = version.model("policy")
    curve = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    manifest = json.loads((folder / "policy.json").read_text(encoding="utf-8"))
    config = manifest["config"]
    return Training(curve, manifest["trained_on"], manifest.get("warnings", []), weighs_steps(config), loss_of(config))
