"""--report-to: trackers that are not there are told before anything is trained; those that are write into the run's folder."""

import os
from pathlib import Path

import pytest

from cli.trackers import begin
from schemas import InputError
from tests.cli.commands import done, invoke


def test_an_unknown_tracker_and_one_that_is_not_installed(tmp_path: Path):
    with pytest.raises(InputError, match="no tracker is called tensorbord") as told:
        begin(("tensorbord",), tmp_path)
    assert "did you mean tensorboard?" in told.value.next_step
    with pytest.raises(InputError, match="mlflow is not installed") as told:
        begin(("mlflow",), tmp_path)
    assert told.value.next_step == "pip install mlflow"


def test_a_place_that_the_user_named_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    begin(("tensorboard",), tmp_path)
    assert os.environ["TENSORBOARD_LOGGING_DIR"] == str(tmp_path / "tensorboard")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "/elsewhere")
    begin(("tensorboard",), tmp_path)
    assert os.environ["TENSORBOARD_LOGGING_DIR"] == "/elsewhere"


def test_the_option_reaches_the_trainings(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    few = "--set policy.epochs=0.2 --set evaluation.max_tokens=4"
    done(f"fs-train run tiny --data {built}/out/tiny --out run {few} --report-to tensorboard", tmp_path)
    assert list((tmp_path / "run" / "tensorboard").rglob("events.out.tfevents.*"))
    refused = invoke("fs-data build tiny --out data --report-to nothing", tmp_path)
    assert refused.exit_code == 2
    assert "no tracker is called nothing" in refused.stderr
