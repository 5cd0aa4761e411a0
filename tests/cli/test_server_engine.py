"""fs-data build with the engine `server`: samples over HTTP, the key nowhere, rejects with reasons, outages and interrupts."""

import signal
import socket
from pathlib import Path

import polars as pl
import pytest

from cli.progress import Lines, ProgressReporter
from cli.recipe import load
from cli.tools import build_tools
from fullstep_data.engines.protocol import small_seed
from fullstep_data.pipeline import PIPELINE
from fullstep_data.runner import QuietReporter, run
from fullstep_data.store import Store, Version
from tests.cli.commands import done, invoke, spawn
from tests.fullstep_data.engines.loopback import Loopback, loopback, slow, status

KEY = "sk-test-0f1e2d3c4b5a69788796"


def build(server: str, *more: str, out: str = "out") -> str:
    """tiny, sampled from a server that takes text; the rest as it is."""
    settings = [f"samples.engine.{one}" for one in ('kind="server"', f"url={server}", "model=scripted", 'prompts="text"', *more)]
    return f"fs-data build tiny --out {out} --set 'samples.engine={{}}' " + " ".join(f"--set '{one}'" for one in settings)


def sample(server: Loopback, folder: Path, *more: str) -> Version:
    """The same recipe, in this process and no further than the samples: what comes after them is not the server's."""
    settings = ('kind="server"', f"url={server.url}", "model=scripted", 'prompts="text"', *more)
    recipe = load("tiny", ["samples.engine={}", *(f"samples.engine.{one}" for one in settings)])
    tools = build_tools(recipe, ProgressReporter(Lines(lambda text: None)))
    return run(PIPELINE[:2], recipe, Store.create(folder), tools, QuietReporter())


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_build_over_http_with_a_key_that_stands_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TINY_KEY", KEY)
    with loopback(key=KEY) as server:
        result = done(build(server.url, "api_key_env=TINY_KEY"), tmp_path)
        version = Store.open(tmp_path / "out").version()
        assert version.frame("samples").height == len(server.asked) > 100
        assert set(version.frame("samples")["sampler"].str.slice(0, 20)) == {"server:scripted:text"}
        assert version.frame("pairs").height > 0
        # a second build asks nothing, and neither the key nor the address decides a part
    with loopback() as moved:
        done(build(moved.url), tmp_path)
        assert moved.asked == []
    assert KEY not in result.output
    content = everything_in(tmp_path)
    assert b"TINY_KEY" in content
    assert KEY.encode() not in content


def test_what_the_server_cannot_serve_is_a_reject_with_the_reason(tmp_path: Path):
    """One sample fails by itself, another is too long for the server; the build goes on."""
    with loopback(key=None) as probe:
        samples = sample(probe, tmp_path / "first").frame("samples")
    refused, long = (small_seed(samples["seed"][place]) for place in (3, 20))

    def fault(body, nth):
        if body["max_tokens"] == 1 or body["seed"] not in (refused, long):
            return None
        return (
            status(500, message="CUDA error") if body["seed"] == refused else status(400, message="maximum context length is 9")
        )

    with loopback(fault=fault) as server:
        version = sample(server, tmp_path / "second", "retries=0")
    rejects = version.frame("rejects").filter(pl.col("stage") == "samples")
    assert set(rejects.select("table", "reason", "detail").iter_rows()) == {
        ("samples", "server error", "500: CUDA error"),
        ("samples", "longer than the server's context", "400: maximum context length is 9"),
    }
    keys = {
        f"{row['problem_id']}/{row['sample_index']}" for row in samples.to_dicts() if small_seed(row["seed"]) in (refused, long)
    }
    assert set(rejects["key"]) == keys


def test_an_outage_loses_nothing_and_leaves_no_rejects(tmp_path: Path):
    with loopback() as server:
        undisturbed = sample(server, tmp_path / "undisturbed")
    with loopback(fault=lambda body, nth: status(500, message="out of memory") if nth >= 100 else None) as server:
        stopped = invoke(build(server.url, "retries=0"), tmp_path)
    assert stopped.exit_code == 2
    assert "error: the server fails: server error" in stopped.stderr
    assert "finished parts are kept" in stopped.stderr
    assert not list(tmp_path.glob("out/versions/*.json"))
    kept = pl.read_parquet(tmp_path / "out/parts/samples/*.parquet")
    assert kept.height
    with loopback() as server:
        version = sample(server, tmp_path / "out")
        asked = [body["seed"] for body in server.asked]
    missing = set(undisturbed.frame("samples")["seed"]) - set(kept["seed"])
    assert set(asked) == {small_seed(seed) for seed in missing}  # on a busy machine an answer may be asked for once more
    assert version.frame("samples").equals(undisturbed.frame("samples"))
    assert version.frame("rejects").is_empty()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drops_what_is_in_flight_and_says_how_to_go_on(number: signal.Signals, tmp_path: Path):
    with (
        loopback(fault=lambda body, nth: slow(300) if nth >= 100 else None) as server,
        spawn(build(server.url), tmp_path) as process,
    ):
        _wait_for(server, 101)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped in stage samples" in errors
    assert "run the same command again" in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.glob("out/versions/*.json"))
    with loopback() as server:
        assert sample(server, tmp_path / "out").frame("samples").height > len(server.asked) > 0


def _wait_for(server: Loopback, asked: int) -> None:
    for _ in range(1200):
        if len(server.asked) >= asked:
            return
        server.closing.wait(0.05)
    raise AssertionError(f"only {len(server.asked)} requests came")


def _nobody() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


@pytest.mark.parametrize(
    ("more", "fragments"),
    [
        (("api_key=sk-test-0f1e2d3c4b5a69788796",), ("samples.engine.api_key: there is no such key",)),
        (("api_key_env=sk-test-0f1e2d3c4b5a69788796",), ("api_key_env: not the name of an environment variable",)),
        (("api_key_env=NO_SUCH_KEY",), ("NO_SUCH_KEY holds no API key",)),
        (("url=http://me:sk-test-0f1e2d3c4b5a69788796@host/v1",), ("samples.engine.url: an address without user",)),
        (("url=http://host/v1?key=sk-test-0f1e2d3c4b5a69788796",), ("samples.engine.url: an address without user",)),
        (("url=localhost:8000",), ("not an http:// or https:// address",)),
        (("tokenizer=x",), ('tokenizer goes with prompts = "token-ids"',)),
        (("concurrency=0",), ("samples.engine.concurrency",)),
        ((f"url={_nobody()}", "retries=0"), ("no answer from the server", "start the server")),
    ],
)
def test_mistakes_are_told_without_the_key(more: tuple[str, ...], fragments: tuple[str, ...], tmp_path: Path):
    result = invoke(build("http://127.0.0.1:9/v1", *more), tmp_path)
    assert result.exit_code == 2, result.output
    for fragment in fragments:
        assert fragment in result.stderr
    assert KEY not in result.output
    assert "Traceback" not in result.output
    assert not list(tmp_path.glob("out/versions/*.json"))


@pytest.mark.parametrize(
    ("fault", "fragment"),
    [
        (status(401, message=f"Incorrect API key provided: {KEY}"), "the server refuses the API key"),
        (status(429, {"Retry-After": "7200"}), "the server was too busy"),
        (status(404, message="no such model"), "the server does not know the model scripted"),
    ],
    ids=["wrong key", "storm", "unknown model"],
)
def test_refusals_of_the_server_stop_the_build(fault, fragment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TINY_KEY", KEY)
    with loopback(fault=lambda body, nth: fault) as server:
        result = invoke(build(server.url, "api_key_env=TINY_KEY", "retries=0"), tmp_path)
    assert result.exit_code == 2, result.output
    assert f"error: {fragment}" in result.stderr
    assert "\n  next: " in result.stderr
    assert KEY not in result.output
    assert not list(tmp_path.glob("out/versions/*.json"))
