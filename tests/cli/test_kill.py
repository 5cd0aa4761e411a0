"""kill -9 at thirty random moments of `fs-data build tiny` and of `fs-train run tiny`: the end is the same to the byte."""

import multiprocessing
import random
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from tests.kill import attempts, content, finished

SMALL = ("--set", "problems.source.limit=16", "--set", "problems.problems_per_part=4", "--set", "prm.save_every=1")
SMALL += ("--set", "policy.save_every=1")


class Command:
    """A command line in a process of its own, forked from a server that has the imports done: torch takes seconds each time."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._process: BaseProcess = _SERVER.Process(target=_run, args=(module, arguments))
        self._process.start()
        self.pid = self._process.pid or 0
        self.kill = self._process.kill

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int:
        self._process.join()
        return self._process.exitcode or 0


def _run(module: str, arguments: tuple[str, ...]) -> None:
    import torch

    torch.set_num_threads(1)
    with Path("/dev/null").open("w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        sys.modules[module].main(list(arguments))


_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["cli.data", "cli.train", "cli.build", "cli.run", "fullstep_train.prm", "fullstep_train.policy"])


def _build(folder: Path) -> Command:
    return Command("cli.data", "build", "tiny", "--out", str(folder), *SMALL)


def _kill_and_compare(start: Callable[[Path], Command], root: Path, kills: int) -> None:
    assert start(root / "warm-up").wait() == 0
    started = time.monotonic()
    assert start(root / "whole").wait() == 0
    seconds = time.monotonic() - started
    chance = random.Random(1)
    moments = [chance.uniform(0.0, 0.9) * seconds for _ in range(kills)]
    states = set[frozenset[str]]()
    ends = killed = 0
    for attempt in attempts(start, root / "killed", moments):
        states.add(finished(attempt.folder))
        killed += attempt.killed
        if not attempt.killed:
            ends += 1
            assert content(attempt.folder) == content(root / "whole"), "not what an undisturbed run leaves"
    assert killed == kills
    assert ends >= 1
    assert len(states) > 3, "the kills all fell on the same moment"


@pytest.mark.xdist_group("kill")
def test_a_build_killed_at_thirty_moments_ends_byte_identical(tmp_path: Path) -> None:
    _kill_and_compare(_build, tmp_path, kills=30)


@pytest.mark.xdist_group("kill")
def test_a_training_run_killed_at_ten_moments_ends_byte_identical(tmp_path: Path) -> None:
    assert _build(tmp_path / "data").wait() == 0

    def train(folder: Path) -> Command:
        return Command("cli.train", "run", "tiny", "--data", str(tmp_path / "data"), "--out", str(folder), *SMALL)

    _kill_and_compare(train, tmp_path, kills=10)
