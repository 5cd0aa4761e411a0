"""The loop: a transformers Trainer whose items are problem groups, and whose checkpoints resume to the bit.

    trainer = GroupTrainer(model, groups, order, group_loss, weight, "pairs", config, schedule, run, tick)
    trainer.train_on()
    trainer.curve                          # one row of figures per optimiser step

`group_loss(model, group)` gives a sum over the group's pairs (policy) or labelled steps (PRM), and named sums to be
logged, each with what it is a mean over; `weight(group)` says how many pairs or steps those are. An optimiser step
takes the mean over all of its groups: the sum of the losses over the sum of the weights, however the groups are cut
into micro-batches. The order of the groups is given, so no sampler's random state is in play.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainingArguments

from fullstep_train.config import Training
from fullstep_train.groups import Group
from fullstep_train.progress import Tick, quiet
from fullstep_train.run_folder import RunFolder
from schemas import InputError

Sums = dict[str, tuple[float, float]]
"""What is logged of a group, by name: a sum, and the number that it is divided by; both are added up over groups."""
GroupLoss = Callable[[Any, Group], tuple[Tensor, Sums]]


@dataclass(frozen=True)
class Schedule:
    """kind: a scheduler of transformers. warmup: optimiser steps. rate: the highest learning rate."""

    kind: str
    warmup: int
    rate: float


class GroupTrainer(Trainer):
    """One item = one group; see the module. groups_done counts from the start of the run, resumed or not."""

    def __init__(
        self,
        model: Any,
        groups: Sequence[Group],
        order: Sequence[int],
        group_loss: GroupLoss,
        weight: Callable[[Group], int],
        unit: str,
        config: Training,
        schedule: Schedule,
        run: RunFolder,
        tick: Tick,
    ):
        self.groups, self.order, self.group_loss, self.weight, self.run, self.tick = (
            groups,
            order,
            group_loss,
            weight,
            run,
            tick,
        )
        self.unit = unit
        self.groups_done = 0
        self.sums: dict[str, tuple[float, float]] = {}
        self.units = 0
        super().__init__(
            model=model,
            args=_arguments(config, schedule, run.checkpoints),
            train_dataset=_Places(order),
            data_collator=_places,
        )
        self.loss_is_scaled_for_ga = True
        self.pop_callback(PrinterCallback)

    def train_on(self) -> None:
        """Train to the end, from the last checkpoint where there is one."""
        shutil.rmtree(self._get_output_dir(None), ignore_errors=True)
        last = self.run.last_checkpoint()
        if last is not None:
            self.groups_done = int(last.name.rpartition("-")[2]) * self.args.gradient_accumulation_steps
        with quiet():
            self.train(resume_from_checkpoint=str(last) if last else None)

    @property
    def curve(self) -> list[dict[str, Any]]:
        """One row of figures per optimiser step, those before a resume too."""
        return [row for row in self.state.log_history if "loss" in row]

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Tensor | int | None = None
    ) -> Any:
        """This micro-batch's share of the optimiser step's loss: sum over its groups / weight of all the step's
        groups.
        """
        assert num_items_in_batch is not None
        total: Tensor | None = None
        for place in inputs["places"].tolist():
            group = self.groups[place]
            loss, sums = self.group_loss(model, group)
            if not torch.isfinite(loss):
                raise _not_finite(group, self.state.global_step)
            for name, (value, over) in sums.items():
                before, before_over = self.sums.get(name, (0.0, 0.0))
                self.sums[name] = (before + value, before_over + over)
            self.units += self.weight(group)
            total = loss if total is None else total + loss
            self.groups_done += 1
            self.tick(self.groups_done, len(self.order))
        assert total is not None
        # DDP takes the mean of the processes' gradients, and the weights were summed over the processes.
        return total * (self.accelerator.num_processes / num_items_in_batch)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor:
        places = [place for batch in batch_samples for place in batch["places"].tolist()]
        weight = torch.tensor(float(sum(self.weight(self.groups[place]) for place in places)), device=device)
        if self.args.world_size > 1:
            weight = self.accelerator.reduce(weight)
        assert isinstance(weight, Tensor)
        return weight

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add to the Trainer's own numbers the means of what `group_loss` gave since the last optimiser step."""
        if self.units:
            means = {name: value / over if over else 0.0 for name, (value, over) in self.sums.items()}
            logs |= means | {self.unit: self.units}
            self.sums.clear()
            self.units = 0
        super().log(logs, start_time)

    def _get_output_dir(self, trial: Any) -> str:
        """Where the Trainer writes a checkpoint; `_save_checkpoint` moves it to its place when it is complete."""
        return str(self.run.checkpoints / "partial")

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        partial, name = Path(self._get_output_dir(trial)), f"checkpoint-{self.state.global_step}"
        for file in (partial / name).rglob("*"):
            if file.is_file():
                with file.open("rb") as written:
                    os.fsync(written.fileno())
        older = list(self.run.checkpoints.glob("checkpoint-*"))
        (partial / name).replace(self.run.checkpoints / name)
        for checkpoint in older:
            shutil.rmtree(checkpoint)


class _Places(torch.utils.data.Dataset[int]):
    """The places of the groups, in the order of work."""

    def __init__(self, order: Sequence[int]):
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> int:
        return self.order[index]


def _places(places: list[int]) -> dict[str, Tensor]:
    """A micro-batch: the places of its groups."""
    return {"places": torch.tensor(places)}


def _arguments(config: Training, schedule: Schedule, checkpoints: Path) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=1,  # the order of work holds all the passes
        per_device_train_batch_size=1,
        gradient_accumulation_steps=config.groups_per_step,
        learning_rate=schedule.rate,
        lr_scheduler_type=schedule.kind,
        warmup_steps=schedule.warmup,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        seed=config.seed,
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_steps=config.save_every,
        report_to="none",
        disable_tqdm=True,
    )


def _not_finite(group: Group, step: int) -> InputError:
    return InputError(
        what="the loss is not a number",
        where=f"problem {group.problem_id}, after {step} optimiser steps",
        examples=[f"solution {solution.solution_id}" for solution in group.solutions],
        next_step="lower learning_rate or max_grad_norm, or raise the warm-up; see whether dtype = 'float32' mends it",
    )
