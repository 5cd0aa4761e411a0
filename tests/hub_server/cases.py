"""A command against every fault at every request: after each, readers see nothing or all, and running it again completes it.

for case in cases(clean_requests): run_case(...)
"""

import os
import queue
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.hub_server import Fault, Hub
from tests.hub_server.forks import Done, Forks

STATUSES = (401, 403, 409, 412, 429, 500, 503)
CONNECTION = ("before", "middle", "after", "garbled")
KILLS = ("kill before", "kill after")
KINDS: tuple[str | int, ...] = (*CONNECTION, *STATUSES, *KILLS)
WORKERS = 4


@dataclass(frozen=True)
class Case:
    kind: str | int
    request: int | str

    def __str__(self) -> str:
        return f"{self.kind} at request {self.request}"


def cases(requests: int, kinds: Iterable[str | int] = KINDS) -> Iterator[Case]:
    return (Case(kind, request) for kind in kinds for request in range(requests))


@dataclass
class Command:
    """One command in a process that can be killed. line: with {repo} and {out} in it."""

    hub: Hub
    forks: Forks
    cwd: Path
    line: str

    def run(self, case: Case | None, watched: str, **names: str) -> Done:
        """Run it, with the fault of the case at a request that names `watched`."""
        line = self.line.format(**names)
        if case is None:
            return self.forks.run(line, self.cwd)
        pids: queue.Queue[int] = queue.Queue()
        self.hub.counts.pop(watched, None)
        self.hub.faults[watched] = _fault(case, pids)
        pid = self.forks.start(line, self.cwd)
        pids.put(pid)
        done = self.forks.wait()
        assert self.hub.faults.pop(watched, None) is None, "the fault never came about"
        return done


def _fault(case: Case, pids: "queue.Queue[int]") -> Fault:
    if isinstance(case.kind, str) and case.kind.startswith("kill"):
        return Fault(
            "kill", case.request, kill=lambda: os.kill(pids.get(), signal.SIGKILL), carried_out=case.kind == "kill after"
        )
    return Fault(case.kind, case.request)


def in_parallel(environment: Mapping[str, str], some: Iterable[Case], check: Callable[[Forks, Case, int], None]) -> int:
    """check(forks, case, number) for every case, each worker with a process of its own to fork from. The number of cases."""
    left: queue.Queue[tuple[int, Case]] = queue.Queue()
    for numbered in enumerate(some):
        left.put(numbered)
    total = left.qsize()
    failures: list[str] = []

    def work() -> None:
        forks = Forks(environment)
        try:
            while True:
                try:
                    number, case = left.get_nowait()
                except queue.Empty:
                    return
                try:
                    check(forks, case, number)
                except AssertionError as error:
                    failures.append(f"{case}: {error}")
        finally:
            forks.close()

    workers = [threading.Thread(target=work) for _ in range(min(WORKERS, total))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures, f"{len(failures)} of {total} cases:\n" + "\n".join(failures[:10])
    return total
