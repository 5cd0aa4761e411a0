"""The small chain for workers: stages and tools that another process can import, note where they ran, and misbehave on demand.

run_at(tmp_path / "dataset", Workers(count=2), recipe, stages=killing_in("samples"))
"""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from fullstep_data.runner import QuietReporter, Reporter, run
from fullstep_data.stage import Outcome, Stage
from fullstep_data.store import Store, Version
from fullstep_data.workers import Place
from schemas import InputError
from tests.fullstep_data.small_chain import STAGES, Generator, Recipe, Scorer

FEW = STAGES[:3]
"""problems, samples, solutions: two stages of six parts each that workers make."""


@dataclass(frozen=True)
class Noting:
    """A tool that notes in a file which process opened it. together: it waits until so many have opened it."""

    log: str
    together: int = 1

    def identity(self, models: Mapping[str, Path]) -> str:
        return "toy"

    def open(self, models: Mapping[str, Path]) -> str:
        append(Path(self.log), f"{os.getpid()}")
        wait_until(lambda: len(pids(Path(self.log))) >= self.together)
        return "toy"


@dataclass(frozen=True)
class Absent:
    """A tool that cannot be opened: a folder that another machine does not have."""

    def identity(self, models: Mapping[str, Path]) -> str:
        return "toy"

    def open(self, models: Mapping[str, Path]) -> str:
        raise OSError("no file named model.safetensors")


def run_at(
    folder: Path, where: Place, recipe: Recipe, stages: Sequence[Stage] = FEW, reporter: Reporter | None = None, **tools: Any
) -> Version:
    """Run the small chain, or some of it, there."""
    given = {"generator": Generator(), "scorer": Scorer(), **tools}
    return run(stages, recipe, Store.create(folder), given, reporter or QuietReporter(), where=where)


def wait_until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def append(path: Path, line: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def pids(log: Path) -> list[int]:
    """The processes that are noted in a file."""
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def alive(pid: int) -> bool:
    """Is it a process that runs (and no zombie)?"""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def changed(name: str, wrap: Any, *arguments: Any, stages: Sequence[Stage] = FEW) -> tuple[Stage, ...]:
    """The stages, one's function called through `wrap(function, *arguments)`."""
    return tuple(replace(stage, run=partial(wrap, stage.run, *arguments)) if stage.name == name else stage for stage in stages)


def dying(function: Any, times: int, marks: Path, *given: Any) -> Outcome:
    """Kills its own process at the first calls, `times` in all; says a word before."""
    if len(pids(marks)) < times:
        append(marks, f"{os.getpid()}")
        os.write(2, b"about to die\n")
        os.kill(os.getpid(), signal.SIGKILL)
    return function(*given)


def alone(function: Any, opened: Path, *given: Any) -> Any:
    """Wants nobody of those who have opened a tool to be there still."""
    assert not any(map(alive, pids(opened)))
    return function(*given)


def refusing(function: Any, *given: Any) -> Outcome:
    raise InputError("the moon is full", where="the sky", count=3, examples=(Path("a"), 2), next_step="wait")


def failing(function: Any, *given: Any) -> Outcome:
    raise ZeroDivisionError("a fault")


def losing(function: Any, *given: Any) -> Outcome:
    """Breaks the promise to account for every row."""
    outcome = function(*given)
    return Outcome(outcome.rows.head(0))
