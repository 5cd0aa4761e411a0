"""Datasets to report on: made-up sums through the real stages, scored by a formula that sees wrong sums. No model is needed.

version = build(tmp_path / "data", ["What is 2 + 3 - 1?"], samples=6)
python -m tests.fullstep_data.report.sums out/big 10000        # by hand: a large one
"""

import json
import random
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fullstep_data.config import DataRecipe, FileSource, PairsConfig, ProblemsConfig, SamplesConfig, ScriptedEngine
from fullstep_data.engines.protocol import ScoreRequest
from fullstep_data.engines.scripted import ScriptedTool
from fullstep_data.grading import GraderTool
from fullstep_data.pipeline import PIPELINE, stages_of
from fullstep_data.rollouts import KnownTool
from fullstep_data.runner import QuietReporter, run
from fullstep_data.stage import Tick, no_tick
from fullstep_data.store import Store, Version
from schemas.ids import stable_fraction

EQUATION = re.compile(r"(-?\d+) ([+-]) (-?\d+) = (-?\d+)")


class SumScorer:
    """Rewards a step between 0.6 and 1 where its sum is right, between 0 and 0.5 where it is wrong."""

    def __init__(self, shift: float = 0.0) -> None:
        self.identity_text = f"sums:{shift:g}"
        self._shift = shift

    def identity(self, models: Mapping[str, Path]) -> str:
        return self.identity_text

    def open(self, models: Mapping[str, Path]) -> Any:
        return _Opened(self.identity_text, self._shift)


class _Opened:
    def __init__(self, identity: str, shift: float) -> None:
        self.identity = identity
        self._shift = shift

    def score(self, groups: Sequence[Sequence[ScoreRequest]], tick: Tick = no_tick) -> list[list[list[float]]]:
        return [[self._rewards(one) for one in group] for group in groups]

    def _rewards(self, one: ScoreRequest) -> list[float]:
        rewards: list[float] = []
        start = 0
        for stop in one.stops:
            found = EQUATION.search(one.text[start:stop])
            right = found is None or _holds(*found.groups())
            noise = stable_fraction(one.text[:stop])
            rewards.append(min(1.0, (0.6 + 0.4 * noise if right else 0.5 * noise) + self._shift))
            start = stop
        return rewards


def _holds(left: str, operation: str, right: str, result: str) -> bool:
    return (int(left) + int(right) if operation == "+" else int(left) - int(right)) == int(result)


def questions(count: int, seed: int = 0) -> list[str]:
    """Sums of three to six numbers, no two alike."""
    chance = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        terms = [str(chance.randint(1, 99)) for _ in range(chance.randint(3, 6))]
        found["What is " + "".join(f"{term} {chance.choice('+-')} " for term in terms[:-1]) + terms[-1] + "?"] = None
    return list(found)


def build(
    folder: Path,
    asked: Iterable[str] = (),
    samples: int = 6,
    top: int = 2,
    stages: int = len(PIPELINE),
    held_out: float = 0.2,
    shift: float = 0.0,
    per_part: int = 1000,
    labelling: Mapping[str, Any] | None = None,
) -> Version:
    """A dataset of these questions. stages: how many of the pipeline's to run; shift: added to every reward.

    labelling: keys of the recipe besides the usual ones. A judge makes no mistakes.
    """
    source = folder.with_suffix(".jsonl")
    folder.parent.mkdir(parents=True, exist_ok=True)
    rows = ({"question": question, "answer": _gold(question)} for question in asked)
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = DataRecipe(
        name="sums",
        model="none",
        problems=ProblemsConfig(source=FileSource(path=str(source)), held_out=held_out, problems_per_part=per_part),
        samples=SamplesConfig(engine=ScriptedEngine(error_rate=0.15), samples=samples, max_tokens=256),
        pairs=PairsConfig(top=top),
    )
    recipe = DataRecipe.model_validate(recipe.model_dump() | dict(labelling or {}))
    judges = {f"judge_{number}": ScriptedTool(ScriptedEngine(error_rate=0)) for number, _ in enumerate(recipe.side_labels, 1)}
    rolling = {"rollout_generator": ScriptedTool(ScriptedEngine(error_rate=0.15)), "known_rollouts": KnownTool(folder)}
    tools = {
        **judges,
        **rolling,
        "generator": ScriptedTool(ScriptedEngine(error_rate=0.15)),
        "grader": GraderTool(recipe.solutions),
    }
    chosen = [stage for stage in stages_of(recipe)[: stages + 2 * bool(judges)] if stage.name != "prm"]
    return run(chosen, recipe, Store.create(folder), {**tools, "scorer": SumScorer(shift)}, QuietReporter())


def _gold(question: str) -> int:
    terms = re.findall(r"[+-]? ?\d+", question)
    return sum(int(term.replace(" ", "")) for term in terms)


if __name__ == "__main__":
    made = build(Path(sys.argv[1]), questions(int(sys.argv[2])), samples=8, top=3)
    print({name: table.rows for name, table in made.tables.items()})
