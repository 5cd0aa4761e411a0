"""What the training tests share: run both kinds of training on small tables, look at the folder, stop and kill.

python -m tests.fullstep_train.runs policy FOLDER '{"lora": {"rank": 2}}'    # train undisturbed, for tests that kill it
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import torch
from safetensors.torch import load_file

from fullstep_train.config import PolicyTraining, PRMTraining
from fullstep_train.policy import train_policy
from fullstep_train.preferences import Preferences
from fullstep_train.prm import train_prm
from fullstep_train.progress import Tick, Watch, no_tick
from fullstep_train.reference import load_reference
from tests.fullstep_train.frames import Tables, make_tables

# float32, so that the bounds of the tests hold on a GPU too, where dtype auto is bfloat16.
FAST: dict[str, Any] = {"learning_rate": 1e-3, "groups_per_step": 2, "dtype": "float32"}


def run_prm(folder: Path, tick: Tick = no_tick, tables: Tables | None = None, **changes: Any) -> Path:
    tables = tables or make_tables(problems=6)
    config = PRMTraining(**(FAST | changes))
    train_prm(tables.solutions, tables.steps, tables.step_labels, config, "tiny-random", folder, Watch(tick))
    return folder


def run_policy(folder: Path, tick: Tick = no_tick, tables: Tables | None = None, **changes: Any) -> Path:
    tables = tables or make_tables(problems=6)
    config = PolicyTraining(**(FAST | {"warmup_steps": 1} | changes))
    preferences = tables.preferences(config)
    train_policy(preferences, reference_of(preferences, config), config, "tiny-random", folder, Watch(tick))
    return folder


def reference_of(preferences: Preferences, config: PolicyTraining) -> pl.DataFrame:
    """Rows of reference_logprobs."""
    rows, _ = load_reference("tiny-random", config).logprobs(preferences)
    return rows


RUNS: dict[str, Callable[..., Path]] = {"prm": run_prm, "policy": run_policy}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, byte by byte."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def weights(folder: Path) -> torch.Tensor:
    """All weights as one vector."""
    return torch.cat([tensor.flatten() for _, tensor in sorted(load_file(folder / "model.safetensors").items())])


def stop_at(done_at: int) -> Tick:
    """A tick that is interrupted, as by Ctrl-C, when so much is done."""

    def tick(done: int, total: int) -> None:
        if done >= done_at:
            raise KeyboardInterrupt

    return tick


if __name__ == "__main__":
    kind, place, settings = sys.argv[1:]
    torch.set_num_threads(1)

    def say(done: int, total: int) -> None:
        print(done, flush=True)

    RUNS[kind](Path(place), say, **json.loads(settings))
    os._exit(0)
