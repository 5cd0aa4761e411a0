"""Ctrl-C in every stage: it says how to go on, keeps what is done, and the same command then finishes."""

import signal
import subprocess
from pathlib import Path

import pytest

from cli.progress import ProgressReporter
from tests.cli.commands import invoke, spawn

BUILD = "fs-data build tiny --out out/tiny"
TRAIN = "fs-train run tiny --data out/tiny --out out/tiny-run"
BUILD_STAGES = ("problems", "samples", "solutions", "steps", "step_labels", "prm", "step_scores", "pairs")
TRAIN_STAGES = ("predictions_before", "policy", "predictions_after")
TICKING = ("samples", "prm", "step_scores", "predictions_before", "policy", "predictions_after")


def press_ctrl_c_in(stage: str, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real SIGINT to this process when the stage starts, or in the midst of its first part."""
    tell = getattr(ProgressReporter, moment)

    def tell_and_press(self: ProgressReporter, name: str, *rest: object) -> None:
        tell(self, name, *rest)
        if name == stage:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(ProgressReporter, moment, tell_and_press)


def interrupt_everywhere(line: str, stages: tuple[str, ...], out: Path, cwd: Path) -> None:
    for stage in stages:
        for moment in ("stage_started", "part_progress") if stage in TICKING else ("stage_started",):
            with pytest.MonkeyPatch.context() as monkeypatch:
                press_ctrl_c_in(stage, moment, monkeypatch)
                result = invoke(line, cwd)
            assert result.exit_code == 130, (stage, moment, result.output)
            assert f"stopped in stage {stage}" in result.stderr
            assert "next: run the same command again to go on" in result.stderr
            assert "Traceback" not in result.output
            assert not list(out.glob("versions/*.json"))


def test_ctrl_c_in_every_stage_of_a_build_and_a_training(built: Path, tmp_path: Path):
    for line, stages, name in ((BUILD, BUILD_STAGES, "out/tiny"), (TRAIN, TRAIN_STAGES, "out/tiny-run")):
        interrupt_everywhere(line, stages, tmp_path / name, tmp_path)
        assert invoke(line, tmp_path).exit_code == 0
        undisturbed = (built / name / "versions/000001.json").read_bytes()
        assert (tmp_path / name / "versions/000001.json").read_bytes() == undisturbed


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_from_outside_ends_a_build_the_same_way(number: signal.Signals, tmp_path: Path):
    with spawn(f"{BUILD} --set prm.epochs=50", tmp_path) as process:
        assert process.stderr is not None
        before = [process.stderr.readline()]
        while not before[-1].startswith("step_labels"):
            assert before[-1], "".join(before)
            before.append(process.stderr.readline())
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "stopped in stage " in errors
    assert "run the same command again" in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.glob("out/tiny/versions/*.json"))


def test_ctrl_c_ends_a_query_that_would_take_hours(built: Path):
    query = "SELECT sum(a.range * b.range) FROM range(10000000) AS a, range(10000000) AS b"
    with spawn(f'fs-data sql out/tiny "{query}"', built) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=8)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output == ""
    assert errors.startswith("\ninterrupted\n")
