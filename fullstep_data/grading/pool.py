"""Killable worker processes for math-verify, joined by pipes.

    with Pool(workers=2, timeout_seconds=5.0) as pool:
        pool.ask([{"answer": r"2\\sqrt{3}", "gold": r"\\sqrt{12}"}])  ->  [{"correct": True}]

A request that outlasts the time limit gets {"timeout": True} and its process is killed; a process that dies gives {"error": …}.
Not `multiprocessing`: a spawned child would import the caller's main module again, and a forked one would inherit its threads.
"""

import json
import os
import selectors
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from schemas import InputError

_WORKER = Path(__file__).with_name("worker.py")
# Starting is importing sympy: slow on a busy machine, and no fault of the request that waits for it.
_START_SECONDS = 300.0
# The parent kills a late worker; only where the parent is gone, the worker's own alarm does, so much later.
_GRACE_SECONDS = 2.0
# A second worker costs as much CPU to start as some hundred requests take.
_REQUESTS_PER_WORKER = 200


@dataclass
class _Worker:
    """One process and the request it has in hand (None: idle). deadline: when it is killed, in time.monotonic() seconds."""

    process: subprocess.Popen[bytes]
    ready: bool = False
    request: int | None = None
    deadline: float = 0.0
    received: bytearray = field(default_factory=bytearray)


class Pool:
    """Up to `workers` processes, started when first needed and kept. Usable from any thread, by one at a time."""

    def __init__(self, workers: int, timeout_seconds: float) -> None:
        self._limit = workers
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []
        self._close_at_end = weakref.finalize(self, _stop_all, self._workers)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends every process. The pool may be used again: it starts new ones."""
        _stop_all(self._workers)

    def ask(self, requests: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
        """One reply per request, in order. InputError where math-verify cannot be started at all."""
        with self._lock:
            try:
                return self._ask(requests)
            except BaseException:
                self.close()  # Ctrl-C in the middle: a reply still under way must not answer the next call
                raise

    def _ask(self, requests: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
        for worker in [worker for worker in self._workers if worker.process.poll() is not None]:
            self._workers.remove(worker)  # ended while idle: nobody's request is lost
            _stop_all([worker])
        replies: list[dict[str, Any] | None] = [None] * len(requests)
        waiting = deque(range(len(requests)))
        wanted = min(self._limit, 1 + len(requests) // _REQUESTS_PER_WORKER)
        while waiting or any(worker.request is not None for worker in self._workers):
            while waiting and len(self._workers) < wanted:
                self._start()
            for worker in list(self._workers):
                if waiting and worker.ready and worker.request is None:
                    self._give(worker, waiting.popleft(), requests, replies)
            for worker in self._until_something_happens():
                self._take(worker, replies)
            for worker in [worker for worker in self._workers if self._is_late(worker)]:
                self._drop(worker, replies, {"timeout": True})
        return [reply if reply is not None else {"error": "no reply"} for reply in replies]

    def _start(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER), str(self._timeout_seconds + _GRACE_SECONDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,  # a Ctrl-C in the terminal reaches the parent's group only
            env={**os.environ, "PYTHONHASHSEED": "0"},  # sympy orders by hash: the same verdict on every run
        )
        self._workers.append(_Worker(process, deadline=time.monotonic() + _START_SECONDS))

    def _give(
        self, worker: _Worker, index: int, requests: Sequence[dict[str, str]], replies: list[dict[str, Any] | None]
    ) -> None:
        assert worker.process.stdin is not None
        worker.request = index
        worker.deadline = time.monotonic() + self._timeout_seconds
        try:
            worker.process.stdin.write(json.dumps(requests[index]).encode() + b"\n")
            worker.process.stdin.flush()
        except BrokenPipeError:
            self._drop(worker, replies, {"error": "the worker ended before it got the request"})

    def _until_something_happens(self) -> list[_Worker]:
        """Workers with something to read, waiting no longer than to the next deadline."""
        busy = [worker for worker in self._workers if worker.request is not None or not worker.ready]
        if not busy:
            return []
        with selectors.DefaultSelector() as selector:
            for worker in busy:
                assert worker.process.stdout is not None
                selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
            left = min(worker.deadline for worker in busy) - time.monotonic()
            return [key.data for key, _ in selector.select(max(0.0, left))]

    def _take(self, worker: _Worker, replies: list[dict[str, Any] | None]) -> None:
        assert worker.process.stdout is not None
        chunk = os.read(worker.process.stdout.fileno(), 65_536)
        if not chunk:
            self._drop(worker, replies, {"error": "the worker ended"})
            return
        worker.received += chunk
        if not worker.received.endswith(b"\n"):
            return
        reply = json.loads(worker.received)
        worker.received.clear()
        if worker.request is None:
            worker.ready = True
        else:
            replies[worker.request] = reply
            worker.request = None

    def _is_late(self, worker: _Worker) -> bool:
        return (worker.request is not None or not worker.ready) and time.monotonic() > worker.deadline

    def _drop(self, worker: _Worker, replies: list[dict[str, Any] | None], reply: dict[str, Any]) -> None:
        """Ends one worker and answers its request with `reply`."""
        self._workers.remove(worker)
        _stop_all([worker])
        if not worker.ready:
            raise InputError(
                "math-verify could not be started, so answers cannot be graded",
                where=f"{sys.executable} -P {_WORKER.name}",
                next_step=f"try: {sys.executable} -c 'import math_verify'",
            )
        if worker.request is not None:
            replies[worker.request] = reply


def _stop_all(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.process.kill()
        worker.process.wait()
        for pipe in (worker.process.stdin, worker.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue  # the request it never read
    workers.clear()
