"""Training by kind, in this process or in several: this module under `accelerate launch`, on tables written down for it.

    train("policy", tables, config, base, folder, tick)
    launch(Launch(processes=2), "policy", tables, config, base, folder, tick)      # the same by two processes

The result is that of one process, up to rounding. What the processes cannot do they say through the launching one: its caller
sees the same ticks and errors as of a training in its own process, and a Ctrl-C ends them all; checkpoints are kept.
"""

import json
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from fullstep_train.config import PolicyTraining, PRMTraining, Training
from fullstep_train.preferences import preferences_of
from fullstep_train.progress import Tick
from schemas import InputError

Kind = Literal["prm", "policy"]
CONFIGS: dict[Kind, type[Training]] = {"prm": PRMTraining, "policy": PolicyTraining}
REFUSED = 3
"""Exit code of a process that has written down an InputError."""
TOLD = 20
"""Last lines of the processes' own output that a failure shows."""


@dataclass(frozen=True)
class Launch:
    """processes: how many. config_file: what `accelerate config` wrote; None: plain data parallel on this machine."""

    processes: int
    config_file: Path | None = None

    @property
    def options(self) -> list[str]:
        """Of `accelerate launch`."""
        if self.config_file is not None:
            return ["--config_file", str(self.config_file), "--num_processes", str(self.processes)]
        plain = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
        return ["--num_processes", str(self.processes), *plain, *([] if _has_gpu() else ["--cpu"])]


def launch(how: Launch, kind: Kind, tables: Mapping[str, pl.DataFrame], config: Any, base: str, folder: Path, tick: Tick) -> None:
    """Train as `train_prm` or `train_policy` do. tables: what these take, by name, reference_logprobs too.

    InputError: as these; accelerate's config file does not exist. RuntimeError: a process died; its last lines are in it.
    """
    if how.config_file is not None and not how.config_file.is_file():
        raise InputError(
            what="no such file",
            where=str(how.config_file),
            next_step="make one with `accelerate config --config_file FILE`, or leave the option out",
        )
    with tempfile.TemporaryDirectory(prefix="fullstep-launch-") as place:
        job = Path(place)
        for name, table in tables.items():
            table.write_parquet(job / f"{name}.parquet")
        settings = {"kind": kind, "config": config.model_dump(mode="json"), "base": base, "folder": str(folder.resolve())}
        (job / "job.json").write_text(json.dumps(settings | {"tables": list(tables)}))
        command = [sys.executable, "-m", "accelerate.commands.launch", *how.options, "-m", "fullstep_train.launch", str(job)]
        lines: deque[str] = deque(maxlen=TOLD)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                _follow(process, lines, tick)
            except BaseException:
                process.terminate()
                raise
        for refused in sorted(job.glob("refused-*.json")):
            raise InputError(**json.loads(refused.read_text()))
        if process.returncode:
            raise RuntimeError(f"the training processes ended with code {process.returncode}:\n" + "".join(lines))


def _follow(process: subprocess.Popen[str], lines: deque[str], tick: Tick) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        word, *numbers = line.split() or [""]
        if word == "tick":
            tick(*map(int, numbers))
        else:
            lines.append(line)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def train(kind: Kind, tables: Mapping[str, pl.DataFrame], config: Any, base: str, folder: Path, tick: Tick) -> None:
    """`train_prm` or `train_policy`, in this process. tables: as in `launch`."""
    # The Trainer and peft take seconds to import: only where something is trained.
    if kind == "prm":
        from fullstep_train.prm import train_prm

        train_prm(**tables, config=config, base=base, folder=folder, tick=tick)
    else:
        from fullstep_train.policy import train_policy

        preferences = preferences_of({name: table for name, table in tables.items() if name != "reference_logprobs"})
        train_policy(preferences, tables["reference_logprobs"], config, base, folder, tick)


def work(job: Path) -> None:
    """What each of the processes does."""
    from accelerate import PartialState

    settings = json.loads((job / "job.json").read_text())
    state = PartialState()

    def tick(done: int, total: int) -> None:
        if state.is_main_process:
            print("tick", done, total, flush=True)  # noqa: T201  # read by `_follow`

    config = CONFIGS[settings["kind"]].model_validate(settings["config"])
    tables = {name: pl.read_parquet(job / f"{name}.parquet") for name in settings["tables"]}
    try:
        train(settings["kind"], tables, config, settings["base"], Path(settings["folder"]), tick)
    except InputError as error:
        told = {name: getattr(error, name) for name in ("what", "where", "count", "examples", "next_step")}
        (job / f"refused-{state.process_index}.json").write_text(json.dumps(told))
        sys.exit(REFUSED)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
