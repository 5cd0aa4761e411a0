"""kill -9 at any moment of a build: the end is the same to the byte, and no finished part is made twice."""

import random
import time
from pathlib import Path

from tests.fullstep_data.small_chain import STAGES, Recipe, build, calls
from tests.kill import Forked, attempts, content, finished

KILLS = 30
RECIPE = Recipe(problems=8, problems_per_part=4, samples=4, per_part=2)


def _start(folder: Path, log: Path) -> Forked:
    return Forked(_build, folder, log)


def _build(folder: Path, log: Path) -> None:
    build(folder, RECIPE.model_copy(update={"log": str(log)}))


def _undisturbed(folder: Path, log: Path) -> float:
    """Build without a kill; the seconds it took."""
    _start(folder / "warm-up", folder / "warm-up.log").wait()
    started = time.monotonic()
    assert _start(folder / "whole", log).wait() == 0
    return time.monotonic() - started


def _file_of_call(folder: Path, log: Path) -> dict[str, str]:
    """Which file each stage call made, from a build in which every call made one, in the order of the manifest."""
    lines = calls(log)
    version = build(folder, RECIPE.model_copy(update={"log": str(log)}))
    assert calls(log) == lines, "a finished build called a stage again"
    made: dict[str, str] = {}
    for stage in STAGES[1:]:
        of_stage = [line for line in lines if line.split("\t")[0] == stage.name]
        if stage.makes == "model":
            files = [f"models/{version.manifest.models[stage.name].key}"]
        else:
            files = [f"parts/{stage.table}/{part.key}.parquet" for part in version.manifest.tables[stage.table].parts]
        made |= dict(zip(of_stage, files, strict=True))
    return made


def test_a_build_killed_at_thirty_moments_ends_byte_identical_and_makes_no_part_twice(tmp_path: Path) -> None:
    seconds = _undisturbed(tmp_path, tmp_path / "whole.log")
    file_of_call = _file_of_call(tmp_path / "whole", tmp_path / "whole.log")
    chance = random.Random(1)
    moments = [chance.uniform(0.0, 0.7) * seconds for _ in range(KILLS)]
    log = tmp_path / "killed.log"
    (tmp_path / "killed").mkdir()
    kills, noted, states = 0, 0, set[frozenset[str]]()

    for attempt in attempts(lambda folder: _start(folder, log), tmp_path / "killed", moments):
        new_calls = calls(log)[noted:]
        noted += len(new_calls)
        again = {file_of_call[call] for call in new_calls} & attempt.before
        assert not again, "parts that were finished before the process began were made again"
        kills += attempt.killed
        states.add(finished(attempt.folder))
        if not attempt.killed:
            assert content(attempt.folder) == content(tmp_path / "whole"), "not what an undisturbed build leaves"

    assert kills == KILLS
    assert len(states) > 5, "the kills all fell on the same moment"
