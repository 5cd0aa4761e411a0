"""Shares and refusals everywhere; under the marker `ray` a cluster of two nodes on this machine (`make test-ray`)."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fullstep_data.runner import Interrupted
from fullstep_data.workers import LOCAL, OnRay
from fullstep_data.workers import crew as crew_module
from fullstep_data.workers import ray_actors as actors_module
from fullstep_data.workers.ray_actors import Shares, require_ray, shares
from schemas import InputError
from tests.fullstep_data.small_chain import STAGES, Recipe, calls
from tests.fullstep_data.workers.chain import Absent, Noting, alive, changed, dying, pids, run_at, wait_until
from tests.fullstep_data.workers.test_processes import REPOSITORY, Telling
from tests.kill import content, finished

ON_RAY = pytest.mark.ray


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run in one process leaves."""
    folder = tmp_path_factory.mktemp("few") / "dataset"
    run_at(folder, LOCAL, Recipe())
    return folder


def test_one_cpu_stays_free_and_no_gpu():
    assert shares(cpus=16, gpus=0, largest=0, wanted=None) == Shares(15, 1.0, 0.0)
    assert shares(cpus=16, gpus=0, largest=0, wanted=4) == Shares(4, 1.0, 0.0)
    assert shares(cpus=4, gpus=0, largest=0, wanted=99) == Shares(3, 1.0, 0.0)
    assert shares(cpus=1, gpus=0, largest=0, wanted=None) == Shares(1, 0.5, 0.0)
    assert shares(cpus=0, gpus=0, largest=0, wanted=None) == Shares(1, 1.0, 0.0)  # a cluster that is still to grow
    # Two nodes of four GPUs: one worker each, two GPUs each, half a GPU each; and never more than a node has.
    assert shares(cpus=64, gpus=8, largest=4, wanted=None) == Shares(8, 1.0, 1.0)
    assert shares(cpus=64, gpus=8, largest=4, wanted=4) == Shares(4, 1.0, 2.0)
    assert shares(cpus=64, gpus=8, largest=4, wanted=12) == Shares(12, 1.0, 0.5)
    assert shares(cpus=64, gpus=8, largest=4, wanted=1) == Shares(1, 1.0, 4.0)


def test_ray_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match="needs the package ray") as caught:
        require_ray(OnRay())
    assert 'pip install "fullstep[ray]"' in caught.value.next_step


def test_a_cluster_from_outside_needs_the_client_s_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="the package grpcio, which is not installed") as caught:
        require_ray(OnRay(address="ray://127.0.0.1:1"))
    assert 'pip install "fullstep[ray]"' in caught.value.next_step


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "no-such-host.invalid:6379", "127.0.0.1:no-port"])
def test_an_address_where_nobody_listens_is_refused_at_once(address: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    with pytest.raises(InputError, match="no Ray cluster answers") as caught:
        require_ray(OnRay(address=address))
    assert caught.value.where == address
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(InputError, match="no Ray cluster answers"):
        require_ray(OnRay())


@contextmanager
def listening(answer: bytes) -> Iterator[str]:
    """The address of a server that says one thing and hangs up (nothing: it waits)."""

    def serve() -> None:
        with suppress(OSError):
            connection, _ = server.accept()
            kept.append(connection)
            if answer:
                with connection:
                    connection.recv(1024)
                    connection.sendall(answer)

    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()
    for connection in kept:
        connection.close()


GRPC = b"\0\0\0\4\0\0\0\0\0"
"""An empty SETTINGS frame: what a server says first that speaks HTTP/2, as Ray's do."""


def test_something_else_than_ray_at_the_address_is_refused_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    monkeypatch.setattr(actors_module, "CONNECT_SECONDS", 0.3)
    for answer, told in ((b"", "timed out"), (b"HTTP/1.1 400 Bad Request\r\n", "speaks no gRPC"), (b"no", "it hung up")):
        with listening(answer) as address, pytest.raises(InputError, match="no Ray cluster answers") as caught:
            require_ray(OnRay(address=address))
        assert told in str(caught.value.examples)
    with listening(GRPC) as address:
        assert require_ray(OnRay(address=address)) is sys.modules["ray"]
    monkeypatch.setenv("RAY_USE_TLS", "1")
    with listening(b"no") as address:
        require_ray(OnRay(address=address))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with two_nodes() as made:
        yield made


@contextmanager
def two_nodes() -> Iterator[Any]:
    """Two raylets of two CPUs each; workers find the repository's code."""
    from ray.cluster_utils import Cluster

    before = signal.getsignal(signal.SIGTERM)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    node = {"num_cpus": 2, "object_store_memory": 80 * 2**20}
    made = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        made.add_node(**node)
        yield made
    finally:
        made.shutdown()
        signal.signal(signal.SIGTERM, before)


@ON_RAY
def test_a_cluster_leaves_the_bytes_of_one_process_and_a_cpu_free(cluster: Any, tmp_path: Path, built: Path):
    import ray

    log, opened, free = tmp_path / "calls", tmp_path / "opened", []

    class Looking(Telling):
        def part_done(self, name: str) -> None:
            if ray.is_initialized():
                free.append(ray.available_resources().get("CPU", 0))

    handler = signal.getsignal(signal.SIGTERM)
    tools = {"generator": Noting(str(opened), together=3)}
    telling = Looking()
    run_at(tmp_path / "d", OnRay(address=cluster.address), Recipe(log=str(log), pause=0.1), STAGES, telling, **tools)
    assert content(tmp_path / "d") == content(built)
    assert list(Counter(pids(opened)).values()) == [1, 1, 1], "three of four CPUs, each opens the tool once"
    assert set(Counter(calls(log)).values()) == {1}
    assert min(free) >= 1
    assert "3 workers" in telling.notes
    assert any(note.startswith("waiting for Ray to start a worker") for note in telling.notes)
    assert not ray.is_initialized()
    assert signal.getsignal(signal.SIGTERM) is handler, "SIGTERM ends the run as Ctrl-C does, and not as Ray would"


@ON_RAY
def test_a_killed_actor_loses_its_part_in_hand_and_no_other(cluster: Any, tmp_path: Path, few: Path):
    marks, log, telling = tmp_path / "marks", tmp_path / "calls", Telling()
    stages = changed("solutions", dying, 1, marks)
    run_at(tmp_path / "d", OnRay(address=cluster.address), Recipe(log=str(log)), stages, telling)
    assert content(tmp_path / "d") == content(few)
    assert len(pids(marks)) == 1
    assert set(Counter(calls(log)).values()) == {1}
    assert any("1 worker died" in note for note in telling.notes)


@ON_RAY
def test_a_part_that_kills_every_actor_is_one_clear_error(cluster: Any, tmp_path: Path):
    stages = changed("solutions", dying, 9, tmp_path / "marks")
    with pytest.raises(InputError, match=r"2 workers died over one part: .*actor died") as caught:
        run_at(tmp_path / "d", OnRay(address=cluster.address, count=1), Recipe(), stages)
    assert caught.value.where.startswith("stage solutions, part ")


@ON_RAY
def test_a_node_that_is_lost_takes_no_finished_part_with_it(cluster: Any, tmp_path: Path, few: Path):
    log, opened = tmp_path / "calls", tmp_path / "opened"
    extra = cluster.add_node(num_cpus=2, object_store_memory=80 * 2**20)

    class Removing(Telling):
        def part_done(self, name: str) -> None:
            if name == "samples" and not self.fractions_at_loss:
                self.fractions_at_loss.append(len(finished(tmp_path / "d")))
                cluster.remove_node(extra, allow_graceful=False)

        fractions_at_loss: list[int] = []  # noqa: RUF012

    tools = {"generator": Noting(str(opened), together=5)}
    run_at(tmp_path / "d", OnRay(address=cluster.address), Recipe(log=str(log), pause=0.5), reporter=Removing(), **tools)
    assert Removing.fractions_at_loss
    assert content(tmp_path / "d") == content(few)


def slowly(folder: str, log: str, opened: str, address: str) -> None:
    """A run that another process is to kill."""
    tool = Noting(opened, together=2)
    run_at(Path(folder), OnRay(address=address, count=2), Recipe(log=log, pause=0.5), generator=tool)


@ON_RAY
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_leaves_no_actor_behind_and_the_next_goes_on(
    number: signal.Signals, cluster: Any, tmp_path: Path, few: Path
):
    log, opened = tmp_path / "calls", tmp_path / "opened"
    script = f"import sys; from {__name__} import slowly; slowly(*sys.argv[1:])"
    arguments = [str(tmp_path / "d"), str(log), str(opened), cluster.address]
    with subprocess.Popen([sys.executable, "-c", script, *arguments], stderr=subprocess.PIPE, text=True) as run:
        wait_until(lambda: len(calls(log)) >= 4)
        run.send_signal(number)
        _, errors = run.communicate(timeout=60)
    if number == signal.SIGINT:
        assert "run the same command again to go on" in errors
    wait_until(lambda: not any(map(alive, pids(opened))))
    before = finished(tmp_path / "d")
    assert sum("parts/samples" in name for name in before) >= 2
    run_at(tmp_path / "d", OnRay(address=cluster.address, count=2), Recipe())
    assert before <= finished(tmp_path / "d")
    assert content(tmp_path / "d") == content(few)


@ON_RAY
def test_ctrl_c_says_how_to_go_on(cluster: Any, tmp_path: Path):
    with pytest.raises(Interrupted) as caught:
        run_at(tmp_path / "d", OnRay(address=cluster.address, count=2), Recipe(pause=0.1), reporter=Telling(press_at=2))
    assert "2 of 6 parts of stage samples are done" in caught.value.next_step


@ON_RAY
def test_a_model_that_a_node_lacks_is_named_with_the_node(cluster: Any, tmp_path: Path):
    with pytest.raises(InputError, match="a worker cannot open generator: OSError: no file named") as caught:
        run_at(tmp_path / "d", OnRay(address=cluster.address, count=1), Recipe(), generator=Absent())
    assert socket.gethostname() in caught.value.where


@ON_RAY
def test_other_code_on_the_cluster_is_refused(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ours = actors_module.code()
    monkeypatch.setattr(actors_module, "code", lambda: ours | {"polars": "99"})
    with pytest.raises(InputError, match="other code than this run") as caught:
        run_at(tmp_path / "d", OnRay(address=cluster.address, count=1), Recipe())
    assert list(caught.value.examples) == [f"polars 99 here, {ours['polars']} there"]


@ON_RAY
def test_a_cluster_without_room_is_told_and_does_not_hang(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import ray

    monkeypatch.setattr(crew_module, "START_SECONDS", 5.0)
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        others = [ray.remote(threading.Event).options(num_cpus=2).remote() for _ in range(2)]
        ray.get([other.is_set.remote() for other in others])
        with pytest.raises(InputError, match="no worker has come up in 5 seconds") as caught:
            run_at(tmp_path / "d", OnRay(address=cluster.address), Recipe())
        assert caught.value.examples == ["waiting for Ray to start a worker: 0 of 4 CPUs are free"]
        assert ray.is_initialized(), "who was in the cluster before stays in it"
    finally:
        ray.shutdown()
