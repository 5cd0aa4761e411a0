"""The tools: both layers call a model by one name, and a built-in model that cannot be made is the user's to mend."""

from pathlib import Path

import pytest

import fullstep_data.engines.model_files
import fullstep_train.models
from cli.progress import Lines, ProgressReporter
from cli.recipe import load
from cli.tools import build_stages, build_tools, find_model
from fullstep_train import builtin
from schemas import InputError
from tests.fullstep_data.store.mounts import remount, tmpfs

QUIET = ProgressReporter(Lines(lambda text: None))


def test_sampler_and_trainer_know_a_model_by_one_identity() -> None:
    folder = find_model("tiny-random", QUIET)
    identity = fullstep_train.models.identity(folder)
    assert fullstep_data.engines.model_files.model_identity(folder) == identity
    tools = build_tools(load("tiny", ['samples.engine={kind="hf"}']), QUIET)
    assert tools["prm_trainer"].identity({}) == identity
    assert identity in tools["generator"].identity({})


def test_a_given_prm_takes_the_place_of_the_stage_that_trains_one(tmp_path: Path) -> None:
    assert "prm" in [stage.name for stage in build_stages(load("tiny"))]
    given = load("tiny", [f'prm={{kind="given", path="{tmp_path}"}}'])
    assert "prm" not in [stage.name for stage in build_stages(given)]


def test_a_cache_that_cannot_be_written_is_told_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tmpfs(tmp_path / "cache", "300k") as cache:
        monkeypatch.setenv("FULLSTEP_CACHE", str(cache / "full"))
        with pytest.raises(InputError, match="tiny-random cannot be made: the disk is full") as caught:
            find_model("tiny-random", QUIET)
        assert "FULLSTEP_CACHE" in caught.value.next_step
        assert not list((cache / "full").glob("models/*"))
        remount(cache, "ro")
        monkeypatch.setenv("FULLSTEP_CACHE", str(cache / "fixed"))
        with pytest.raises(InputError, match="cannot be made: the folder cannot be written"):
            find_model("tiny-random", QUIET)


def test_a_fault_of_ours_in_making_a_model_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(folder: Path, tick: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setenv("FULLSTEP_CACHE", str(tmp_path))
    monkeypatch.setitem(builtin.BUILTIN, "tiny-random", (lambda: "1", broken))
    with pytest.raises(ZeroDivisionError):
        find_model("tiny-random", QUIET)
