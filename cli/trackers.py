"""The option `--report-to`: trackers that follow a training, which changes nothing of the result.

    @trackers_option
    def run(..., trackers: tuple[str, ...]): ...
    begin(trackers, Path(out))         # InputError where one is unknown or not installed; says where they write

They are transformers' own (`report_to`): TensorBoard, Weights & Biases, trackio and others. Each takes its place and its project
from environment variables of its own; those that name a folder are set to the run's folder where they are not set.
"""

import os
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from schemas import InputError

FOLDERS = {"tensorboard": "TENSORBOARD_LOGGING_DIR", "wandb": "WANDB_DIR", "trackio": "TRACKIO_DIR"}
"""Where each writes on this machine, by the environment variable that it reads."""


def trackers_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option."""
    return click.option(
        "--report-to",
        "trackers",
        multiple=True,
        metavar="TRACKER",
        help="Follow the training with tensorboard, wandb, trackio …; may be repeated.",
    )(command)


def begin(trackers: Sequence[str], out: Path) -> None:
    """See that the trackers can be had, and let those that write files write below `out`."""
    if not trackers:
        return
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations

    installed = get_available_reporting_integrations()
    for name in trackers:
        if name not in INTEGRATION_TO_CALLBACK:
            near = get_close_matches(name, INTEGRATION_TO_CALLBACK, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            known = ", ".join(sorted(INTEGRATION_TO_CALLBACK))
            raise InputError(f"no tracker is called {name}", where="--report-to", next_step=f"{meant}known are {known}")
        if name not in installed:
            raise InputError(f"the tracker {name} is not installed", where="--report-to", next_step=f"pip install {name}")
    for name in trackers:
        if name in FOLDERS:
            os.environ.setdefault(FOLDERS[name], str((out / name).resolve()))
