"""Workers as actors of a Ray cluster (extra `ray`). The only file that imports ray, and only when a run asks for it.

    require_ray(OnRay(address="10.0.0.1:6379"))     # told at once, not when the first part is due
    crew = Crew(Actors(OnRay(address="10.0.0.1:6379")))

Actors read and write the dataset's folder themselves, so it must be on storage that all machines share, under one path; only keys
and counts go through Ray. One CPU of the cluster is left free. Run with Ray 2.60 on a cluster of two nodes on one machine.
"""

import importlib
import importlib.util
import math
import os
import pickle
import platform
import signal
import socket
import threading
import time
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from fullstep_data.plan import Planned
from fullstep_data.workers.code import code, differences
from fullstep_data.workers.crew import not_shared
from fullstep_data.workers.part import Job
from fullstep_data.workers.place import OnRay
from fullstep_data.workers.worker import Broken, Died, News, Ready, Refused, Ticked, Worker
from schemas import InputError

CONNECT_SECONDS = 5.0
END_SECONDS = 60.0
"""What an idle worker may take to close its tools."""
_DESK_SECONDS = 0.5
_TOLD = 5


@dataclass(frozen=True)
class Shares:
    """How many actors a cluster takes, and what each asks for."""

    count: int
    cpus: float
    gpus: float


def shares(cpus: int, gpus: int, largest: int, wanted: int | None) -> Shares:
    """Out of the cluster's CPUs and GPUs. largest: GPUs of the node that has most. wanted: actors; None: as many as have room.

    One CPU stays free, for a pool that takes every CPU hangs whatever else the cluster is to do, without a word.
    """
    room = max(1, cpus - 1)
    number = min(room, wanted or gpus or room)
    each = 0.0
    if gpus:
        each = float(min(gpus // number, largest)) if number <= gpus else 1 / math.ceil(number / gpus)
    return Shares(number, 0.5 if cpus == 1 else 1.0, each)


def require_ray(place: OnRay) -> Any:
    """The module ray. InputError: it or its client is not installed, or nothing listens at the address."""
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as error:
        raise InputError(
            f"a build on a cluster needs the package ray: {error}", where="--on", next_step='pip install "fullstep[ray]"'
        ) from error
    address = place.address or os.environ.get("RAY_ADDRESS") or ""
    if address.startswith("ray://") and importlib.util.find_spec("grpc") is None:
        raise InputError(
            "a cluster is reached from outside by the package grpcio, which is not installed",
            where=address,
            next_step='pip install "fullstep[ray]"',
        )
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        try:
            _require_grpc(host, int(port))
        except (OSError, ValueError, OverflowError) as error:
            raise _no_cluster(address, error) from error
    return ray


def _require_grpc(host: str, port: int) -> None:
    """OSError where nothing at an address speaks gRPC, which Ray itself would find out after minutes.

    Such a server answers the opening of HTTP/2 with a frame of type 4, SETTINGS (RFC 9113, 3.4 and 6.5). One that wants TLS
    is only known to listen.
    """
    with socket.create_connection((host, port), timeout=CONNECT_SECONDS) as connection:
        if os.environ.get("RAY_USE_TLS", "0") != "0":
            return
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        answer = b""
        while len(answer) < 4:
            more = connection.recv(9)
            if not more:
                raise ConnectionError("what listens there is not Ray: it hung up")
            answer += more
        if answer[3] != 4:
            raise ConnectionError("what listens there is not Ray: it speaks no gRPC")


class Actor:
    """What Ray runs: a worker and where it tells its ticks. Each method returns news."""

    def __init__(self, name: str, desk: Any, folder: str, ours: Mapping[str, str]) -> None:
        self._name, self._desk = name, desk
        self._worker = Worker(host=platform.node())
        self._unfit = self._fault(folder, ours)

    def ready(self) -> News:
        return Ready() if self._unfit is None else Refused.of(self._unfit, platform.node())

    def make(self, job: bytes | None, planned: bytes) -> News:
        """Both pickled, so that what cannot be read here is told."""
        try:
            begun: Job | None = None if job is None else pickle.loads(job)
            part: Planned = pickle.loads(planned)
        except Exception as error:
            return Broken(f"{type(error).__name__}: {error}")
        if begun is not None:
            if not (begun.store / "versions").is_dir():
                return Refused.of(not_shared(begun.store), platform.node())
            self._worker.begin(begun)
        return self._worker.make(part, lambda ticked: self._desk.tell.remote(self._name, ticked))

    def close(self) -> None:
        self._worker.close()

    def _fault(self, folder: str, ours: Mapping[str, str]) -> InputError | None:
        """Why nothing can be made here: paths of a recipe count from the run's working folder, so that one must be here too."""
        if other := differences(ours, code()):
            return InputError(
                "a worker would compute with other code than this run",
                examples=other,
                next_step="install the same fullstep with the same packages on every machine of the cluster",
            )
        try:
            os.chdir(folder)
        except OSError as error:
            return InputError(
                f"a worker cannot enter the working folder: {os.strerror(error.errno or 0)}",
                where=folder,
                next_step="run the command in a folder on storage that all machines of the cluster share under one path",
            )
        return None


class Desk:
    """Keeps the last tick of each worker until the run asks for it."""

    def __init__(self) -> None:
        self._ticks: dict[str, Ticked] = {}

    def tell(self, name: str, ticked: Ticked) -> None:
        self._ticks[name] = ticked

    def taken(self) -> dict[str, Ticked]:
        ticks, self._ticks = self._ticks, {}
        return ticks


@dataclass(eq=False)
class RayHand:
    """An actor. due: the answer that it owes; None: it is idle."""

    name: str
    actor: Any
    actors: "Actors"
    due: Any

    def give(self, job: Job | None, planned: Planned) -> None:
        sent = None if job is None else self.actors.sent(job)
        self.due = self.actor.make.remote(sent, pickle.dumps(planned))


class Actors:
    """The actors of one run (`crew.Hands`). Connects when the first is wanted."""

    def __init__(self, place: OnRay) -> None:
        self._place = place
        self._connected = self._ours = False
        self._ray: Any = None
        self._desk: Any = None
        self._asked: Any = None
        self._asked_at = 0.0
        self._sent: tuple[Job, Any] | None = None
        self._names = count(1)
        self._code = code()

    @property
    def limit(self) -> int:
        return self._shares().count

    def hire(self) -> RayHand:
        name, each = f"Ray worker {next(self._names)}", self._shares()
        remote = self._ray.remote(Actor).options(num_cpus=each.cpus, num_gpus=each.gpus, scheduling_strategy="SPREAD")
        actor = remote.remote(name, self._desk, str(Path.cwd()), self._code)
        return RayHand(name, actor, self, actor.ready.remote())

    def sent(self, job: Job) -> Any:
        """The job in Ray's object store, once for all workers."""
        if self._sent is None or self._sent[0] is not job:
            self._sent = (job, self._ray.put(pickle.dumps(job)))
        return self._sent[1]

    def news(self, hands: Collection[RayHand], seconds: float) -> list[tuple[RayHand, News]]:
        due = {hand.due: hand for hand in hands if hand.due is not None}
        if not due:
            return []
        done, _ = self._ray.wait(list(due), num_returns=1, timeout=seconds)
        if done:
            done, _ = self._ray.wait(list(due), num_returns=len(due), timeout=0)
        told = self._ticks(hands)  # first: a tick of a part that is done since is void
        for answer in done:
            hand = due[answer]
            hand.due = None
            told.append((hand, self._answer(answer)))
        return told

    def standing(self) -> str:
        cpus, free = (int(found.get("CPU", 0)) for found in (self._ray.cluster_resources(), self._ray.available_resources()))
        return f"waiting for Ray to start a worker: {free} of {cpus} CPUs are free"

    def end(self, hands: Collection[RayHand], at_once: bool) -> None:
        if not at_once and hands:
            self._ray.wait([hand.actor.close.remote() for hand in hands], num_returns=len(hands), timeout=END_SECONDS)
        for hand in hands:
            self._ray.kill(hand.actor)

    def close(self) -> None:
        """Leave the cluster, unless the caller was in it before."""
        if self._desk is not None:
            self._ray.kill(self._desk)
            self._desk = None
        if self._ours:
            self._ray.shutdown()
        self._connected = self._ours = False

    def _shares(self) -> Shares:
        self._connect()
        found = self._ray.cluster_resources()
        largest = max((int(node["Resources"].get("GPU", 0)) for node in self._ray.nodes() if node["Alive"]), default=0)
        return shares(int(found.get("CPU", 0)), int(found.get("GPU", 0)), largest, self._place.count)

    def _connect(self) -> None:
        if self._connected:
            return
        self._ray = require_ray(self._place)
        if not self._ray.is_initialized():
            self._ours = True
            _init(self._ray, self._place.address)
        self._connected = True
        self._desk = self._ray.remote(Desk).options(num_cpus=0).remote()

    def _ticks(self, hands: Collection[RayHand]) -> list[tuple[RayHand, News]]:
        """What lies on the desk. It is asked now and then and never waited for: a dead desk costs the ticks and nothing else."""
        if self._asked is None and time.monotonic() - self._asked_at > _DESK_SECONDS:
            self._asked, self._asked_at = self._desk.taken.remote(), time.monotonic()
        if self._asked is None or not self._ray.wait([self._asked], timeout=0)[0]:
            return []
        asked, self._asked = self._asked, None
        try:
            ticks: dict[str, Ticked] = self._ray.get(asked)
        except self._ray.exceptions.RayError:
            return []
        return [(hand, ticks[hand.name]) for hand in hands if hand.name in ticks]

    def _answer(self, answer: Any) -> News:
        try:
            return self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            return Died(lines[0] if lines else type(error).__name__, tuple(lines[-_TOLD:]))


def _init(ray: Any, address: str | None) -> None:
    """ray.init that leaves the terminal and SIGTERM to us. InputError: no cluster answers, or not one of this kind."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anyone unless asked for
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a worker without a GPU of its own sees none
    before = signal.getsignal(signal.SIGTERM)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they say stands in the error
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise (_wants_token(address or "") if _token_refused(error) else _no_cluster(address or "", error)) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _token_refused(error: BaseException | None) -> bool:
    """Ray tells it deep inside of other errors, and from outside of a cluster not at all."""
    return error is not None and ("InvalidAuthToken" in str(error) or _token_refused(error.__cause__ or error.__context__))


_TOKEN = (
    "set RAY_AUTH_MODE=token, and have the cluster's token in ~/.ray/auth_token or RAY_AUTH_TOKEN (on its head: "
    "`ray get-auth-token`), on every machine of the cluster and on this one"
)


def _wants_token(address: str) -> InputError:
    return InputError(
        "the Ray cluster wants a token, and there is none or another one here", where=address or "--on ray", next_step=_TOKEN
    )


def _no_cluster(address: str, error: Exception) -> InputError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    step = (
        "see `ray status` on the cluster. HOST:6379 is for a machine that belongs to it (`ray start "
        "--address=HOST:6379`) and ray://HOST:10001 for any other"
    )
    token = f". Where it wants a token: {_TOKEN}" if address.startswith("ray://") else ""
    return InputError("no Ray cluster answers", where=address or "--on ray", examples=lines[:_TOLD], next_step=step + token)
