"""The golden build: 20 problems, the scripted engine, a formula as scorer. `python -m tests.golden.twenty` writes twenty.json.

The PRM is left out, because its weights differ between processors; everything else is text, hashes and counts, and must not
change unless a stage's revision or a table's version does.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cli.recipe import load
from fullstep_data.config import ScriptedEngine
from fullstep_data.engines.protocol import ScoreRequest
from fullstep_data.engines.scripted import ScriptedTool
from fullstep_data.grading import GraderTool
from fullstep_data.pipeline import PIPELINE
from fullstep_data.runner import QuietReporter, run
from fullstep_data.stage import Tick, no_tick
from fullstep_data.store import Store, Version
from schemas.ids import stable_fraction

GOLDEN = Path(__file__).with_name("twenty.json")
OVERRIDES = ("problems.source.limit=20", "samples.samples=4", "samples.samples_per_part=2", "pairs.top=2")


class FormulaScorer:
    """Rewards a step by a hash of the text up to its end: a scorer like any other, the same on every machine."""

    def identity(self, models: Mapping[str, Path]) -> str:
        return "formula"

    def open(self, models: Mapping[str, Path]) -> Any:
        return self._Opened()

    class _Opened:
        identity = "formula"

        def score(self, groups: Sequence[Sequence[ScoreRequest]], tick: Tick = no_tick) -> list[list[list[float]]]:
            return [[[stable_fraction(one.text[:stop]) for stop in one.stops] for one in group] for group in groups]


def build(folder: Path) -> Version:
    """The golden build in `folder`."""
    recipe = load("tiny", OVERRIDES)
    tools = {"generator": ScriptedTool(ScriptedEngine(error_rate=0.2)), "grader": GraderTool(recipe.solutions)}
    stages = [stage for stage in PIPELINE if stage.name != "prm"]
    return run(stages, recipe, Store.create(folder), {**tools, "scorer": FormulaScorer()}, QuietReporter())


def summary(version: Version) -> dict[str, Any]:
    """For each table: how many rows, a hash of them all, and the first two as they are."""
    told: dict[str, Any] = {}
    for name in (*version.tables, "rejects"):
        rows = version.frame(name).to_dicts()
        text = json.dumps(rows, ensure_ascii=False, sort_keys=True)
        told[name] = {"rows": len(rows), "sha256": hashlib.sha256(text.encode()).hexdigest(), "first": rows[:2]}
    return told


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        made = summary(build(Path(place) / "data"))
    GOLDEN.write_text(json.dumps(made, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")
