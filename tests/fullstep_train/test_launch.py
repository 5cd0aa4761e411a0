"""launch: what a training in its own processes gives, says and refuses is what one in this process does."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fullstep_train.config import PolicyTraining, PRMTraining
from fullstep_train.launch import Kind, Launch, launch
from fullstep_train.progress import Watch
from schemas import InputError
from tests.fullstep_train.frames import make_tables
from tests.fullstep_train.runs import FAST, RUNS, reference_of, weights

FEW = make_tables(problems=4)


def launched(kind: Kind, folder: Path, how: Launch, seen: list[tuple[int, int]], **changes: Any) -> Path:
    config = PRMTraining(**(FAST | changes)) if kind == "prm" else PolicyTraining(**(FAST | {"warmup_steps": 1} | changes))
    if isinstance(config, PRMTraining):
        tables = {"solutions": FEW.solutions, "steps": FEW.steps, "step_labels": FEW.step_labels}
    else:
        tables = {**FEW.preferences().tables, "reference_logprobs": reference_of(FEW.preferences(), config)}
    launch(how, kind, tables, config, "tiny-random", folder, Watch(lambda *now: seen.append(now)))
    return folder


def test_a_policy_from_a_process_of_its_own(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    launched("policy", tmp_path / "launched", Launch(1), seen)
    alone = RUNS["policy"](tmp_path / "alone", tables=FEW)
    assert torch.allclose(weights(tmp_path / "launched"), weights(alone), atol=1e-6)
    assert seen[-1] == (4, 4)


def test_what_the_processes_refuse_is_refused_here(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="every pair was dropped") as told:
        launched("policy", tmp_path / "run", Launch(1), [], max_length=10)
    assert told.value.count == 16


def test_a_config_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        launched("prm", tmp_path / "run", Launch(1, tmp_path / "absent.yaml"), [])


def test_a_config_file_is_handed_on(tmp_path: Path) -> None:
    """accelerate itself refuses this one, which is no mapping: the end of what it says is told."""
    (tmp_path / "broken.yaml").write_text("- 1\n")
    with pytest.raises(RuntimeError, match="ended with code"):
        launched("prm", tmp_path / "run", Launch(1, tmp_path / "broken.yaml"), [])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["prm", "policy"])
def test_two_processes_launched(tmp_path: Path, kind: Kind) -> None:
    launched(kind, tmp_path / "both", Launch(2), [], groups_per_step=4)
    alone = RUNS[kind](tmp_path / "alone", tables=FEW, groups_per_step=4)
    one, two = (json.loads((folder / "training.json").read_text()) for folder in (alone, tmp_path / "both"))
    for row, other in zip(one, two, strict=True):
        assert other == pytest.approx(row, rel=1e-4, abs=1e-6)
