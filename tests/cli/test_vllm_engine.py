"""fs-data build with the engine `vllm`, as a user runs it: Ctrl-C in the midst of sampling, and on from there to the end."""

import signal
import time
from pathlib import Path

import pytest

from fullstep_data.store import Store
from tests.cli.commands import invoke, spawn
from tests.models import tiny_model

SAMPLES = "--set samples.samples=4 --set samples.max_tokens=40 --set pairs.top=2 --set problems.problems_per_part=2"


@pytest.mark.vllm
def test_ctrl_c_keeps_what_is_done_and_the_same_command_ends_the_build(tmp_path: Path):
    model = tiny_model(tmp_path / "model", hidden=128, context=2048)
    engine = f'samples.engine={{kind="vllm", model="{model}", dtype="float32", eager=true}}'
    line = f"fs-data build tiny --out out {SAMPLES} --set '{engine}'"
    parts = tmp_path / "out" / "parts" / "samples"
    with spawn(line, tmp_path) as process:
        while not list(parts.glob("*.parquet")):
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=600)
    assert process.returncode == 130, errors
    assert "stopped in stage samples" in errors
    assert "run the same command again to go on: " in errors
    assert "Traceback" not in errors
    before = {part.name: part.read_bytes() for part in parts.glob("*.parquet")}
    assert 0 < len(before) < 19
    result = invoke(line, tmp_path)
    assert result.exit_code == 0, result.output
    assert f"{len(before)} part" in result.stderr
    assert {name: (parts / name).read_bytes() for name in before} == before
    version = Store.open(tmp_path / "out").version()
    assert version.frame("samples")["sampler"].str.starts_with("vllm:").all()
    assert version.frame("samples").height == version.frame("step_scores")["solution_id"].n_unique() > 100
