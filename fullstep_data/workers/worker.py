"""What a worker does, wherever it runs: parts of one job after another, with tools that are opened once.

    worker = Worker()
    worker.begin(job)                       # tools that this job does not need are closed
    worker.make(planned, tell)              # Made(part), Refused(…) or Broken(…); tell(Ticked(…)) meanwhile

What it says is news for `fullstep_data.workers.crew`: plain data that goes over a pipe or through Ray.
"""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from fullstep_data.plan import Planned
from fullstep_data.store import Part
from fullstep_data.workers.part import Job, Toolbox, make_part
from schemas import ContractError, InputError

TICK_SECONDS = 0.4
"""Least time between two ticks of one worker."""


@dataclass(frozen=True)
class Ready:
    """It is up and waits for work."""


@dataclass(frozen=True)
class Ticked:
    """How much of its part is done, 0 to 1. note: what the engine says of itself."""

    fraction: float
    note: str = ""


@dataclass(frozen=True)
class Made:
    """Its part is written."""

    part: Part


@dataclass(frozen=True)
class Refused:
    """An InputError or ContractError, as data: exceptions lose their fields on the way."""

    contract: bool
    told: dict[str, Any]

    @classmethod
    def of(cls, error: InputError, host: str | None) -> "Refused":
        told = {one.name: getattr(error, one.name) for one in fields(error)}
        told["examples"] = [str(example) for example in told["examples"]]
        if host is not None:
            told["where"] = f"{error.where}, worker on {host}".removeprefix(", ")
        return cls(isinstance(error, ContractError), told)

    def error(self) -> InputError:
        return (ContractError if self.contract else InputError)(**self.told)


@dataclass(frozen=True)
class Broken:
    """A fault of the program. trace: its traceback."""

    trace: str


@dataclass(frozen=True)
class Died:
    """It is no more. told: what is known of its end; lines: the last that it wrote."""

    told: str
    lines: tuple[str, ...] = ()


News = Ready | Ticked | Made | Refused | Broken | Died


class Worker:
    """Makes parts. host: the machine's name where it is another one than that of the run; errors then name it."""

    def __init__(self, host: str | None = None) -> None:
        self._host = host
        self._toolbox = Toolbox()
        self._job: Job | None = None

    def begin(self, job: Job) -> None:
        """From now on parts are of this job."""
        self._job = job
        self._toolbox.close(still_needed=job.tools)

    def make(self, planned: Planned, tell: Callable[[Ticked], None]) -> Made | Refused | Broken:
        """Make a part; raises nothing but what ends the process."""
        assert self._job is not None, "begin() comes first"
        try:
            return Made(make_part(self._job, planned, self._opened, _Ticks(tell)))
        except InputError as error:
            return Refused.of(error, self._host)
        except Exception:
            return Broken(traceback.format_exc())

    def close(self) -> None:
        """Let go of all tools."""
        self._toolbox.close()

    def _opened(self, job: Job) -> dict[str, Any]:
        """The job's tools. On another machine a failure to open one is the user's to mend: what is here may be missing there."""
        try:
            return self._toolbox.opened(job)
        except InputError:
            raise
        except Exception as error:
            if self._host is None:
                raise
            said = f"{type(error).__name__}: {error}".splitlines()[0]
            raise InputError(
                f"a worker cannot open {', '.join(job.tools)}: {said}",
                where=f"stage {job.stage.name}",
                next_step="models and packages that the stage needs must be there on every machine of the cluster, models under "
                "the same path (or as Hub ids)",
            ) from error


class _Ticks:
    """A stage's ticks, told at most every TICK_SECONDS."""

    def __init__(self, tell: Callable[[Ticked], None]) -> None:
        self._tell = tell
        self._last = float("-inf")

    def __call__(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if now - self._last >= TICK_SECONDS:
            self._last = now
            self._tell(Ticked(done / total if total else 1.0, note))
