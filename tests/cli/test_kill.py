"""kill -9 at random moments of `fs-data build tiny`, with Monte-Carlo labels, and of `fs-train run tiny`: nothing is lost."""

import contextlib
import importlib
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kill import Forked, attempts, content, finished

SMALL = ("--set", "problems.source.limit=16", "--set", "problems.problems_per_part=4", "--set", "prm.save_every=1")
SMALL += ("--set", "policy.save_every=1", "--set", 'step_labels={kind="monte-carlo", n=4}')


def _run(module: str, arguments: tuple[str, ...]) -> None:
    import torch

    torch.set_num_threads(1)
    with Path("/dev/null").open("w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        importlib.import_module(module).main(list(arguments))


def _command(module: str, *arguments: str) -> Forked:
    return Forked(_run, module, arguments)


def _build(folder: Path) -> Forked:
    return _command("cli.data", "build", "tiny", "--out", str(folder), *SMALL)


def _kill_and_compare(start: Callable[[Path], Forked], root: Path, kills: int) -> None:
    assert start(root / "warm-up").wait() == 0
    started = time.monotonic()
    assert start(root / "whole").wait() == 0
    seconds = time.monotonic() - started
    chance = random.Random(1)
    # Early ones first: each try then gets a little further, so the kills meet many states whatever the speed of the machine.
    moments = sorted(chance.uniform(0.0, 0.9) * seconds for _ in range(kills))
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

    def train(folder: Path) -> Forked:
        return _command("cli.train", "run", "tiny", "--data", str(tmp_path / "data"), "--out", str(folder), *SMALL)

    _kill_and_compare(train, tmp_path, kills=10)
