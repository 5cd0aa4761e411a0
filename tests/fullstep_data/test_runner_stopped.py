"""A run that is stopped from outside: Ctrl-C in each stage, full disks, a second build on the same folder."""

import os
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from fullstep_data.runner import Interrupted, QuietReporter, run
from fullstep_data.stage import Context, Outcome, Stage
from fullstep_data.store import Store
from schemas import InputError
from tests.fullstep_data.small_chain import STAGES, Recipe, build, pairs, run_stages
from tests.fullstep_data.store.mounts import remount, tmpfs
from tests.interrupt import interrupted_query
from tests.kill import content, finished


def _interrupting(stage: Stage, at_call: int) -> Stage:
    """The stage, but Ctrl-C falls on its n-th call."""
    count = [0]

    def stopped(*arguments: Any) -> Any:
        count[0] += 1
        if count[0] == at_call:
            signal.raise_signal(signal.SIGINT)
        return stage.run(*arguments)

    return replace(stage, run=stopped)


@pytest.mark.parametrize("name", [stage.name for stage in STAGES])
def test_ctrl_c_in_any_stage_says_how_to_go_on_and_what_is_done_stays_done(tmp_path: Path, built: Path, name: str) -> None:
    late = name not in ("problems", "prm")
    stages = [_interrupting(stage, 2 if late else 1) if stage.name == name else stage for stage in STAGES]
    with pytest.raises(Interrupted) as caught:
        run_stages(tmp_path, stages)
    assert "run the same command again" in caught.value.next_step
    assert f"{int(late)} of" in caught.value.next_step
    assert name in caught.value.what
    assert Store.open(tmp_path).numbers() == []
    before = finished(tmp_path)
    build(tmp_path)
    assert before <= finished(tmp_path)
    assert content(tmp_path) == content(built)


class _Tool:
    """A tool that counts how often it was closed to the end."""

    closed = 0

    def identity(self, models: Mapping[str, Path]) -> str:
        return "sampler-a"

    def open(self, models: Mapping[str, Path]) -> "_Tool":
        return self

    def close(self) -> None:
        time.sleep(0.01)  # where Python looks for signals
        type(self).closed += 1


def test_ctrl_c_within_a_query_of_polars_is_one_although_it_raises_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Tool, "closed", 0)
    stages = (STAGES[0], replace(STAGES[1], run=lambda *_: interrupted_query()))
    with pytest.raises(Interrupted, match="stopped in stage samples"):
        run(stages, Recipe(), Store.create(tmp_path), {"generator": _Tool()}, QuietReporter())
    assert _Tool.closed == 1


def test_a_second_ctrl_c_while_tools_are_closed_changes_nothing_of_the_message(tmp_path: Path) -> None:
    class Slow(_Tool):
        def open(self, models: Mapping[str, Path]) -> "Slow":
            return self

        def close(self) -> None:
            signal.raise_signal(signal.SIGINT)

    stages = (STAGES[0], _interrupting(STAGES[1], 1))
    with pytest.raises(Interrupted, match="stopped in stage samples"):
        run(stages, Recipe(), Store.create(tmp_path), {"generator": Slow()}, QuietReporter())


def test_ctrl_c_while_a_model_is_made_keeps_its_checkpoints_for_the_next_try(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def training(labels: pl.DataFrame, context: Context, folder: Path) -> None:
        seen.append(sorted(path.name for path in folder.iterdir()))
        (folder / "checkpoint").write_text("half")
        if len(seen) == 1:
            signal.raise_signal(signal.SIGINT)
        (folder / "checkpoint").rename(folder / "model")

    stages = (*STAGES[:5], replace(STAGES[5], run=training))
    with pytest.raises(Interrupted):
        run_stages(tmp_path, stages)
    version = run_stages(tmp_path, stages)
    assert seen == [[], ["checkpoint"]]
    assert [path.name for path in version.model("prm").iterdir()] == ["model"]
    assert not list(tmp_path.glob("models/*.partial"))


def test_a_full_disk_loses_nothing_that_was_done_and_the_build_goes_on_with_more_room(tmp_path: Path, built: Path) -> None:
    with tmpfs(tmp_path / "disk", "100k") as disk:
        with pytest.raises(InputError, match="the disk is full") as caught:
            build(disk / "d")
        assert "free some space" in caught.value.next_step
        done = finished(disk / "d")
        assert done
        assert not list((disk / "d").rglob("*.tmp"))
        assert not list((disk / "d").glob("versions/*.json"))
        remount(disk, "size=8m")
        build(disk / "d")
        assert content(disk / "d") == content(built)


def test_a_disk_that_fills_up_while_a_model_is_made_is_explained(tmp_path: Path) -> None:
    def training(labels: pl.DataFrame, context: Context, folder: Path) -> None:
        (folder / "weights").write_bytes(b"0" * 2_000_000)

    with tmpfs(tmp_path / "disk", "1m") as disk, pytest.raises(InputError, match="the disk is full"):
        run_stages(disk / "d", (*STAGES[:5], replace(STAGES[5], run=training)))


def test_a_second_build_into_the_same_folder_is_refused_while_the_first_goes_on(tmp_path: Path) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def waiting(*arguments: Any) -> Outcome:
        inside.set()
        assert go_on.wait(30)
        return pairs(*arguments)

    numbers: list[int] = []
    stages = (*STAGES[:-1], replace(STAGES[-1], run=waiting))
    first = threading.Thread(target=lambda: numbers.append(run_stages(tmp_path, stages).number))
    first.start()
    assert inside.wait(30)
    with pytest.raises(InputError, match=f"another build is running in this folder \\(process {os.getpid()}\\)"):
        build(tmp_path)
    go_on.set()
    first.join()
    assert numbers == [1]
