"""Workers as processes of this machine, each joined to the run by a socket.

    crew = Crew(Processes(Workers(count=4)))

Not `multiprocessing`: a spawned child would import the caller's main module again. Not `concurrent.futures`: there the death of
one worker ends all of them, and workers outlive a run that was killed.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Mapping
from itertools import count
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from fullstep_data.plan import Planned
from fullstep_data.workers.part import Job
from fullstep_data.workers.place import Workers
from fullstep_data.workers.worker import Died, News

_SCRIPT = Path(__file__).with_name("process.py")
_TOLD = 5
_TAIL_BYTES = 4000
STOP_SECONDS = 5.0
"""What a worker may take to drop its part before it is killed."""
END_SECONDS = 60.0
"""What an idle worker may take to close its tools."""
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")


class Process:
    """One worker process. What it writes goes to a file that nobody else sees, and is shown when it dies."""

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        self.name = name
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(_SCRIPT), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=(theirs.fileno(),),
                process_group=0,  # a Ctrl-C in the terminal is for the run
                env=environment,
            )
        self.connection = Connection(ours.detach())
        self._send(sys.path)

    def give(self, job: Job | None, planned: Planned) -> None:
        self._send((job, planned))

    def news(self) -> News:
        """Its next word; there must be one, or its end."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            return self.died()

    def died(self) -> Died:
        """What is known of the end of a process whose socket has ended."""
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        lines = self._last_lines()
        self._let_go()
        return Died(f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}", lines)

    def dismiss(self) -> None:
        """Ask an idle process to close its tools and end."""
        self._send(None)

    def ended(self, until: float) -> None:
        """Wait for its end, and kill it at `until` (time.monotonic())."""
        try:
            self.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._let_go()

    def _send(self, message: Any) -> None:
        try:
            self.connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            return  # it has died, which its end of the socket tells

    def _last_lines(self) -> tuple[str, ...]:
        size = os.fstat(self._output.fileno()).st_size
        tail = os.pread(self._output.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        return tuple(tail.decode("utf-8", "replace").splitlines()[-_TOLD:])

    def _let_go(self) -> None:
        self.connection.close()
        self._output.close()


class Processes:
    """The processes of one run (`crew.Hands`)."""

    def __init__(self, place: Workers) -> None:
        self._place = place
        self._free = set(range(place.count))
        self._numbers: dict[Process, int] = {}
        self._names = count(1)

    @property
    def limit(self) -> int:
        return self._place.count

    def hire(self) -> Process:
        number = min(self._free)
        self._free.discard(number)
        hand = Process(f"worker process {next(self._names)}", environment(self._place, number, os.environ))
        self._numbers[hand] = number
        return hand

    def news(self, hands: Collection[Process], seconds: float) -> list[tuple[Process, News]]:
        speaking = wait([hand.connection for hand in hands], seconds)
        told = [(hand, hand.news()) for hand in hands if hand.connection in speaking]
        # A grandchild may hold the socket open after its worker's death.
        silent = [hand for hand in hands if hand.process.poll() is not None and not hand.connection.closed]
        told += [(hand, hand.died()) for hand in silent if not hand.connection.poll()]
        for hand, news in told:
            if isinstance(news, Died):
                self._free.add(self._numbers.pop(hand))
        return told

    def standing(self) -> str:
        return "starting workers"

    def end(self, hands: Collection[Process], at_once: bool) -> None:
        for hand in hands:
            if at_once:
                hand.process.terminate()
            else:
                hand.dismiss()
        until = time.monotonic() + (STOP_SECONDS if at_once else END_SECONDS)
        for hand in hands:
            hand.ended(until)
            self._free.add(self._numbers.pop(hand))

    def close(self) -> None: ...


def environment(place: Workers, number: int, ours: Mapping[str, str]) -> dict[str, str]:
    """What a worker finds in its environment: its share of the processor's threads and of the GPUs.

    number: its own, from 0. Threads that the user has set are left as they are. With more workers than GPUs, several share one.
    """
    threads = str(max(1, (os.cpu_count() or 1) // place.count))
    found = {name: threads for name in _THREADS if name not in ours} | dict(ours)
    if place.gpus:
        share = max(1, len(place.gpus) // place.count)
        first = (number * share) % len(place.gpus)
        found["CUDA_VISIBLE_DEVICES"] = ",".join(place.gpus[first : first + share])
    return found
