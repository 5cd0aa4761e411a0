"""Training by kind, in this process or in several: this module under `accelerate launch`, on tables written down for it.

    train("policy", tables, config, base, folder, watch)
    launch(Launch(processes=2), "policy", tables, config, base, folder, watch)      # the same by two processes

The result is that of one process, up to rounding. What the processes cannot do they say through the launching one: its caller
sees the same ticks, figures, warnings and errors as of a training in its own process, and a Ctrl-C ends them all; checkpoints are
kept.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl

from fullstep_train.checks import Kind
from fullstep_train.config import PolicyTraining, PRMTraining, Training
from fullstep_train.models import resolve
from fullstep_train.preferences import preferences_of
from fullstep_train.progress import Watch
from schemas import InputError

log = logging.getLogger(__name__)
CONFIGS: dict[Kind, type[Training]] = {"prm": PRMTraining, "policy": PolicyTraining}
REFUSED = 3
"""Exit code of a process that has written down an InputError."""
SHIPPED = {file.stem: file for file in sorted((Path(__file__).parent / "accelerate").glob("*.yaml"))}
"""Configurations of accelerate that come with fullstep, by name."""
TOLD = 80
"""Last lines of the processes' own output that a failure shows."""


@dataclass(frozen=True)
class Launch:
    """processes: how many. config_file: what `accelerate config` wrote, or a name of SHIPPED; None: plain data parallel on this
    machine.
    """

    processes: int
    config_file: Path | str | None = None

    @property
    def options(self) -> list[str]:
        """Of `accelerate launch`."""
        if self.config_file is not None:
            file = SHIPPED.get(str(self.config_file), self.config_file)
            return ["--config_file", str(file), "--num_processes", str(self.processes)]
        plain = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
        return ["--num_processes", str(self.processes), *plain, *([] if _has_gpu() else ["--cpu"])]


def launch(
    how: Launch, kind: Kind, tables: Mapping[str, pl.DataFrame], config: Any, base: str, folder: Path, watch: Watch
) -> None:
    """Train as `train_prm` or `train_policy` do. tables: what these take, by name, reference_logprobs too.

    InputError: as these; accelerate's config file does not exist. RuntimeError: a process died; its last lines are in it.
    """
    _require_config(how.config_file)
    resolve(base)  # a built-in model is made here: a process that is not the first would save part of it
    with tempfile.TemporaryDirectory(prefix="fullstep-launch-") as place:
        job = Path(place)
        for name, table in tables.items():
            table.write_parquet(job / f"{name}.parquet")
        settings = {"kind": kind, "config": config.model_dump(mode="json"), "base": base, "folder": str(folder.resolve())}
        more = {"tables": list(tables), "trackers": watch.trackers}
        (job / "job.json").write_text(json.dumps(settings | more))
        command = [sys.executable, "-m", "accelerate.commands.launch", *how.options, "-m", "fullstep_train.launch", str(job)]
        lines: deque[str] = deque(maxlen=TOLD)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                _follow(process, lines, watch)
            except BaseException:
                process.terminate()
                raise
        for refused in sorted(job.glob("refused-*.json")):
            raise InputError(**json.loads(refused.read_text()))
        if process.returncode:
            raise RuntimeError(f"the training processes ended with code {process.returncode}:\n" + "".join(lines))


def _require_config(config_file: Path | str | None) -> None:
    if config_file is not None and str(config_file) not in SHIPPED and not Path(config_file).is_file():
        raise InputError(
            what="no such file",
            where=str(config_file),
            next_step=f"name {', '.join(SHIPPED)}, or make a file with `accelerate config --config_file FILE`",
        )
    if str(config_file).startswith("zero") and str(config_file) in SHIPPED and find_spec("deepspeed") is None:
        raise InputError(
            what="DeepSpeed is not installed",
            where=f"--accelerate-config {config_file}",
            next_step='pip install "fullstep[deepspeed]"',
        )


def _follow(process: subprocess.Popen[str], lines: deque[str], watch: Watch) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        word, _, said = line.partition(" ")
        if word == "tick":
            watch.tick(*map(int, said.split()))
        elif word == "figures":
            watch.figures(json.loads(said))
        elif word == "warning":
            log.warning(json.loads(said))
        else:
            lines.append(line)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def train(kind: Kind, tables: Mapping[str, pl.DataFrame], config: Any, base: str, folder: Path, watch: Watch) -> None:
    """`train_prm` or `train_policy`, in this process. tables: as in `launch`."""
    # The Trainer and peft take seconds to import: only where something is trained.
    if kind == "prm":
        from fullstep_train.prm import train_prm

        train_prm(**tables, config=config, base=base, folder=folder, watch=watch)
    else:
        from fullstep_train.policy import train_policy

        preferences = preferences_of({name: table for name, table in tables.items() if name != "reference_logprobs"})
        train_policy(preferences, tables["reference_logprobs"], config, base, folder, watch)


def work(job: Path) -> None:
    """What each of the processes does."""
    settings = json.loads((job / "job.json").read_text())
    state = _state()
    logging.getLogger("fullstep_train").addHandler(_Warnings(state.is_main_process))

    def tick(done: int, total: int) -> None:
        if state.is_main_process:
            print("tick", done, total, flush=True)  # noqa: T201  # read by `_follow`

    def figures(row: Mapping[str, float]) -> None:
        print("figures", json.dumps(row), flush=True)  # noqa: T201

    config = CONFIGS[settings["kind"]].model_validate(settings["config"])
    watch = Watch(tick, figures, tuple(settings["trackers"]))
    tables = {name: pl.read_parquet(job / f"{name}.parquet") for name in settings["tables"]}
    try:
        train(settings["kind"], tables, config, settings["base"], Path(settings["folder"]), watch)
    except InputError as error:
        told = {name: getattr(error, name) for name in ("what", "where", "count", "examples", "next_step")}
        (job / f"refused-{state.process_index}.json").write_text(json.dumps(told))
        sys.exit(REFUSED)


class _Warnings(logging.Handler):
    """Tells the launching process what the first of the processes warns of."""

    def __init__(self, first: bool):
        super().__init__(logging.WARNING)
        self.first = first

    def emit(self, record: logging.LogRecord) -> None:
        if self.first:
            print("warning", json.dumps(record.getMessage()), flush=True)  # noqa: T201


def _state() -> Any:
    """accelerate's, which the Trainer takes as it is. DeepSpeed on a machine without a GPU has to be told what to speak by."""
    from accelerate import PartialState

    asked = {name for name in ("ACCELERATE_USE_CPU", "ACCELERATE_USE_DEEPSPEED") if os.environ.get(name, "").lower() == "true"}
    if "ACCELERATE_USE_DEEPSPEED" in asked and not _has_gpu():
        return PartialState(backend="gloo")
    return PartialState(cpu="ACCELERATE_USE_CPU" in asked)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
