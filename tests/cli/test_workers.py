"""--workers and --on: the same bytes from wherever parts are made, and clear words where that cannot be."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from cli.workers import HERE, Parts
from fullstep_data.workers import LOCAL, OnRay, Workers
from tests.cli.commands import REPOSITORY, done, invoke, spawn
from tests.fullstep_data.workers.chain import alive, wait_until
from tests.fullstep_data.workers.test_ray_actors import GRPC, listening, two_nodes
from tests.kill import content


def test_what_is_typed_becomes_a_place(monkeypatch: pytest.MonkeyPatch):
    """With Ray and grpcio as good as installed: whether they are is looked up, and neither is used."""
    for name in ("ray", "grpc"):
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    assert HERE.place() == LOCAL
    assert Parts(3).place() == Workers(count=3)
    assert Parts(None, "ray").place() == OnRay()
    with listening(GRPC) as address:
        assert Parts(2, f"ray:{address}").place() == OnRay(address=address, count=2)
    with listening(GRPC) as address:
        assert Parts(2, f"ray:ray://{address}").place() == OnRay(address=f"ray://{address}", count=2)


def test_workers_are_given_the_gpus_of_the_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert Parts(2).place() == Workers(count=2, gpus=("0", "1"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert Parts(2).place() == Workers(count=2, gpus=("5", "7"))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert Parts(2).place() == Workers(count=2)  # one for all: nothing to share out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--on the-moon", "local, ray or ray:ADDRESS is wanted, found 'the-moon'"),
        ("--on ray:", "local, ray or ray:ADDRESS is wanted"),
        ("--workers 0", "0 is not in the range x>=1"),
    ],
)
def test_other_words_are_refused(options: str, told: str, tmp_path: Path):
    for line in ("fs-data build tiny --out d", "fs-train run tiny --data d --out r", "fs-train eval --sets d --engine scripted"):
        refused = invoke(f"{line} {options}", tmp_path)
        assert refused.exit_code == 2
        assert told in refused.stderr


def test_without_ray_the_extra_is_named_before_anything_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    refused = invoke("fs-data build tiny --out d --on ray", tmp_path)
    assert refused.exit_code == 2
    assert 'pip install "fullstep[ray]"' in refused.stderr
    assert not (tmp_path / "d").exists()


def test_a_cluster_that_does_not_answer_is_told_at_once(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    for line in (
        "fs-data build tiny --out d",
        f"fs-train run tiny --data {built}/out/tiny --out r",
        f"fs-train eval --sets {built}/out/tiny --engine scripted",
    ):
        refused = invoke(f"{line} --on ray:127.0.0.1:1", tmp_path)
        assert refused.exit_code == 2
        assert "no Ray cluster answers" in refused.stderr
        assert "127.0.0.1:1" in refused.stderr


def test_a_build_by_two_workers_is_the_same_to_the_byte(built: Path, tmp_path: Path):
    done("fs-data build tiny --out out/tiny --workers 2", tmp_path)
    assert content(tmp_path / "out/tiny") == content(built / "out/tiny")


LABELS = """--set problems.source.limit=12 --set problems.problems_per_part=3 --set samples.samples=4 --set pairs.top=2
    --set 'prm={kind="labels"}' --set 'side_labels=[{kind="judge"}]' --set learn_from=consensus --set pairs.agreed=true"""


def label(out: str, n: int, more: str = "") -> str:
    """A build with Monte-Carlo labels, a judge and their consensus."""
    settings = f"{LABELS} --set 'step_labels={{kind=\"monte-carlo\", n={n}}}'"
    return f"fs-data build tiny --out {out} {' '.join(settings.split())} {more}"


def test_labels_by_two_workers_are_the_same_to_the_byte_also_when_n_grows(tmp_path: Path):
    for n in (2, 4):
        done(label("one", n), tmp_path)
        done(label("two", n, "--workers 2"), tmp_path)
        assert content(tmp_path / "one") == content(tmp_path / "two")


@pytest.mark.ray
def test_a_build_on_a_cluster_of_two_nodes_is_the_same_to_the_byte(tmp_path: Path):
    """The command as a user types it, also with labels by rollouts and by a judge."""
    with two_nodes() as cluster:
        for n in (2, 4):
            done(label("one", n), tmp_path)
            done(label("two", n, f"--on ray:{cluster.address}"), tmp_path)
            assert content(tmp_path / "one") == content(tmp_path / "two")


@contextmanager
def started(folder: Path, **environment: str) -> Iterator[tuple[str, str]]:
    """A cluster of one node as `ray start --head` makes it; its address from inside and from outside."""
    ports = [free_port() for _ in range(2)]
    options = f"--head --block --port {ports[0]} --ray-client-server-port {ports[1]} --num-cpus 3 --include-dashboard false"
    variables = os.environ | {"PYTHONPATH": str(REPOSITORY), "RAY_USAGE_STATS_ENABLED": "0"} | environment
    log = folder / "ray.log"
    ray = Path(sys.executable).with_name("ray")
    with log.open("wb") as output, subprocess.Popen([ray, "start", *options.split()], env=variables, stdout=output) as process:
        try:
            wait_until(lambda: b"--block" in log.read_bytes(), seconds=120)
            yield f"127.0.0.1:{ports[0]}", f"ray://127.0.0.1:{ports[1]}"
        finally:
            process.terminate()


@pytest.mark.ray
def test_a_cluster_that_wants_a_token_says_so_and_takes_the_right_one_from_inside_and_outside(tmp_path: Path):
    """As `ray start` of Ray 2.60 makes it where a token is at hand. From outside Ray tells no reason, so the token is a guess."""
    made_up = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64}
    done("fs-data build tiny --out one --set problems.source.limit=8", tmp_path)
    with started(tmp_path, **made_up) as addresses:
        refusals = ("the Ray cluster wants a token", "no Ray cluster answers")
        for place, (address, refusal) in enumerate(zip(addresses, refusals, strict=True)):
            line = f"fs-data build tiny --out {place} --set problems.source.limit=8 --on ray:{address}"
            code, errors = run(line, tmp_path, made_up | {"RAY_AUTH_TOKEN": "0" * 64} if place == 0 else {})
            assert code == 2, errors
            assert f"error: {refusal}" in errors
            assert "set RAY_AUTH_MODE=token" in errors
            assert "Traceback" not in errors
            code, errors = run(line, tmp_path, made_up)
            assert code == 0, errors
            assert content(tmp_path / str(place)) == content(tmp_path / "one")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def run(line: str, cwd: Path, variables: dict[str, str]) -> tuple[int, str]:
    """A command in a process of its own: Ray reads its variables once."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        with spawn(line, cwd) as process:
            _, errors = process.communicate(timeout=300)
    return process.returncode, errors


def test_an_evaluation_by_two_workers_is_the_same_to_the_byte(built: Path, tmp_path: Path):
    line = f"fs-train eval --engine scripted --sets {built}/out/tiny --decode greedy,sc@4"
    alone = done(f"{line} --out one", tmp_path)
    together = done(f"{line} --out two --workers 2", tmp_path)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert together.stdout.replace("two", "one") == alone.stdout


def test_sigterm_while_workers_start_ends_the_build_as_ctrl_c_does(tmp_path: Path):
    with spawn("fs-data build tiny --out d --workers 2", tmp_path) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("problems")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: len(children.read_text().split()) == 2)
        workers = children.read_text().split()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped in stage samples" in errors
    assert "run the same command again to go on" in errors
    wait_until(lambda: not any(alive(int(pid)) for pid in workers))
