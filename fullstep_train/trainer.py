"""The loop: a transformers Trainer whose items are problem groups, and whose checkpoints resume to the bit.

    trainer = GroupTrainer(model, groups, order, group_losses, runs, weight, "pairs", config, schedule, run, watch)
    trainer.train_on()
    trainer.curve                          # one row of figures per optimiser step

`group_losses(model, groups)` runs groups in one pass and gives for each a sum over its pairs (policy) or labelled steps
(PRM), and named sums to be logged, each with what it is a mean over; `weight(group)` says how many pairs or steps those
are. An optimiser step takes the mean over all of its groups: the sum of the losses over the sum of the weights, however
the groups are cut into micro-batches (`batches`) and divided over processes. The order of the groups is given, so no
sampler's random state is in play.

Of several processes each goes through its share of every optimiser step; the gradients are added up once, at its end. The
first process alone writes. Processes that have gone through their share run on without weight until all have, so that
models which gather their weights in every pass (FSDP) stay in step.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from fullstep_train.batches import micro_batches, pass_overhead, shares
from fullstep_train.config import Training
from fullstep_train.forward import Runs
from fullstep_train.groups import Group
from fullstep_train.memory import enough_memory
from fullstep_train.progress import Watch, quiet
from fullstep_train.run_folder import RunFolder
from schemas import InputError

OR_LESS = ", set gradient_checkpointing = true, or train with lora"
"""What else to do where memory runs out in training."""
# What transformers calls it: the second until 5.20, below which vLLM keeps its environment.
_NAMES = ("activation_checkpointing", "gradient_checkpointing")
CHECKPOINTING = _NAMES[0] if hasattr(TrainingArguments, _NAMES[0]) else _NAMES[1]

Sums = dict[str, tuple[float, float]]
"""What is logged of a group, by name: a sum, and the number that it is divided by; both are added up over groups."""
GroupLosses = Callable[[Any, Sequence[Group]], list[tuple[Tensor, Sums]]]


@dataclass(frozen=True)
class Schedule:
    """kind: a scheduler of transformers. warmup: optimiser steps. rate: the highest learning rate."""

    kind: str
    warmup: int
    rate: float


class GroupTrainer(Trainer):
    """One item = the groups of one optimiser step; see the module.

    groups_done counts from the start of the run, resumed or not.
    """

    def __init__(
        self,
        model: Any,
        groups: Sequence[Group],
        order: Sequence[int],
        group_losses: GroupLosses,
        runs: Runs,
        weight: Callable[[Group], int],
        unit: str,
        config: Training,
        schedule: Schedule,
        run: RunFolder,
        watch: Watch,
    ):
        self.groups, self.group_losses, self.weight, self.unit = groups, group_losses, weight, unit
        self.runs, self.pack_tokens, self.run, self.watch = runs, config.pack_tokens, run, watch
        self.groups_in_all = len(order)
        steps = [tuple(order[start : start + config.groups_per_step]) for start in range(0, len(order), config.groups_per_step)]
        self.groups_done = 0
        self.sums: dict[str, tuple[float, float]] = {}
        self.units = 0
        self.measured: dict[str, float] = {}
        super().__init__(
            model=model,
            args=_arguments(config, schedule, run, watch.trackers),
            train_dataset=_Steps(steps),
        )
        self.pop_callback(PrinterCallback)

    def train_on(self) -> None:
        """Train to the end, from the last checkpoint where there is one."""
        if self.run.first_process:
            shutil.rmtree(self._get_output_dir(None), ignore_errors=True)
        self.accelerator.wait_for_everyone()
        if self.is_deepspeed_enabled:
            _require_gathering(self.accelerator.state.deepspeed_plugin)
        last = self.run.last_checkpoint()
        if last is not None:
            steps = self.train_dataset[: int(last.name.rpartition("-")[2])]  # type: ignore[index]  # ours, see _Steps
            self.groups_done = sum(map(len, steps))
        with quiet(), enough_memory("in training", OR_LESS):
            self.train(resume_from_checkpoint=str(last) if last else None)

    def whole(self, plain: Callable[[], Any]) -> Any:
        """The trained model in one piece and unquantised, on the process that writes; on others whatever they hold.

        plain: makes the model as it was before the training, unquantised, with adapters where they are trained. Every process
        has to call this: the parts of a sharded model come together here.
        """
        if not (self.is_fsdp_enabled or self.is_deepspeed_enabled or getattr(self.model, "is_quantized", False)):
            return self.model
        weights = self.accelerator.get_state_dict(self.model_wrapped)
        if not self.run.first_process:
            return self.model
        unset_hf_deepspeed_config()  # else ZeRO 3 would have this model in shares, too
        model = plain()
        trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        model.load_state_dict({name: weights[name] for name in trained}, strict=False)
        return model

    @property
    def curve(self) -> list[dict[str, Any]]:
        """One row of figures per optimiser step, those before a resume too."""
        return [row for row in self.state.log_history if "loss" in row]

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The same steps in every process: `training_step` takes this process's share of them."""
        # A generator of its own: the loader draws a seed, which must not move the state that dropout uses.
        return DataLoader(self.train_dataset, batch_size=1, collate_fn=_only, generator=torch.Generator())  # type: ignore[arg-type]  # annotated as datasets' Dataset too

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Forward and backward over this process's share of an optimiser step. The loss is the mean over the whole step."""
        model.train()
        groups = [self.groups[place] for place in inputs]
        weight, before = sum(map(self.weight, groups)), self.groups_done
        overhead = pass_overhead(self.args.device)
        each = [micro_batches(share, self.runs, self.pack_tokens, overhead) for share in shares(groups, self.args.world_size)]
        mine = each[self.args.process_index]
        total = torch.zeros((), device=self.args.device)
        with _gradients_added_up(model) as mean_over:
            passes = max(map(len, each))
            for number in range(passes):
                # DeepSpeed makes its optimiser step within the backward pass that this says is the last.
                self.accelerator.gradient_state._set_sync_gradients(number == passes - 1)
                idle = number >= len(mine)
                batch = groups[:1] if idle else mine[number]
                loss = self._batch_loss(model, batch, idle) / weight
                self.accelerator.backward(loss * mean_over)
                total += loss.detach()
                if not idle:
                    self.groups_done += len(batch)
                    self.watch.tick(self.groups_done, self.groups_in_all)
        self._add_up_sums()
        self.groups_done = before + len(groups)
        return total

    def _batch_loss(self, model: Any, batch: Sequence[Group], idle: bool) -> Tensor:
        """Sum of the groups' losses; what is logged of them is kept. idle: 0, by a pass all the same."""
        found = self.group_losses(model, batch)
        if idle:
            return torch.stack([loss for loss, _ in found]).sum() * 0
        for group, (loss, sums) in zip(batch, found, strict=True):
            if not torch.isfinite(loss):
                raise _not_finite(group, self.state.global_step)
            self._keep(sums, self.weight(group))
        return torch.stack([loss for loss, _ in found]).sum()

    def _keep(self, sums: Sums, units: int) -> None:
        for name, (value, over) in sums.items():
            before, before_over = self.sums.get(name, (0.0, 0.0))
            self.sums[name] = (before + value, before_over + over)
        self.units += units

    def _add_up_sums(self) -> None:
        """What is logged, over all processes."""
        if self.args.world_size == 1:
            return
        found: list[Any] = [None] * self.args.world_size
        distributed.all_gather_object(found, (self.sums, self.units))
        self.sums, self.units = {}, 0
        for sums, units in found:
            self._keep(sums, units)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add to the Trainer's own numbers the means of what `group_loss` gave since the last optimiser step, and what a
        `Measure` found after it.
        """
        if self.units:
            means = {name: value / over if over else 0.0 for name, (value, over) in self.sums.items()}
            logs |= means | {self.unit: self.units} | self.measured
            self.sums.clear()
            self.measured.clear()
            self.units = 0
        super().log(logs, start_time)
        if "loss" in logs and self.run.first_process:
            self.watch.figures(self.state.log_history[-1])

    def _get_output_dir(self, trial: Any) -> str:
        """Where the Trainer writes a checkpoint; `_save_checkpoint` moves it to its place when it is complete."""
        return str(self.run.checkpoints / "partial")

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.run.first_process:
            self._move_into_place(Path(self._get_output_dir(trial)), f"checkpoint-{self.state.global_step}")
        self.accelerator.wait_for_everyone()

    def _move_into_place(self, partial: Path, name: str) -> None:
        for file in (partial / name).rglob("*"):
            if file.is_file():
                with file.open("rb") as written:
                    os.fsync(written.fileno())
        older = list(self.run.checkpoints.glob("checkpoint-*"))
        (partial / name).replace(self.run.checkpoints / name)
        for checkpoint in older:
            shutil.rmtree(checkpoint)


class Measure(TrainerCallback):
    """Measures the model after every optimiser step that leaves a checkpoint, and after the last: what it finds is logged with
    that step. Every process measures, so that models whose weights are gathered in every pass stay in step.
    """

    def __init__(self, trainer: GroupTrainer, measure: Callable[[Any], Mapping[str, float]]):
        self.trainer, self.measure = trainer, measure

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Before the step is logged."""
        if state.global_step % state.save_steps == 0 or state.global_step == state.max_steps:
            self.trainer.measured.update(self.measure(self.trainer.model))


class _Steps(Dataset[Any]):
    """The places of the groups of each optimiser step, in the order of work."""

    def __init__(self, steps: Sequence[tuple[int, ...]]):
        self.steps = steps

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: Any) -> Any:
        return self.steps[index]


def _only(steps: list[tuple[int, ...]]) -> tuple[int, ...]:
    """A loader's batch: one optimiser step."""
    return steps[0]


@contextmanager
def _gradients_added_up(model: Any) -> Iterator[int]:
    """Over the backward passes inside: gradients add up over them and over processes. Gives what a loss is multiplied by.

    DDP would average the gradients of every pass, and cannot recompute a pass within a backward pass: it is left out
    until the end, and the gradients are added up once. Other wrappers take the mean over the processes.
    """
    if not isinstance(model, DistributedDataParallel):
        yield distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
        return
    with model.no_sync():
        yield 1
    for parameter in model.parameters():
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)


def _require_gathering(plugin: Any) -> None:
    """InputError where ZeRO 3 could not put the trained model together at the end."""
    settings = plugin.deepspeed_config.get("zero_optimization", {})
    if settings.get("stage") == 3 and not settings.get("stage3_gather_16bit_weights_on_model_save"):
        raise InputError(
            what="ZeRO 3 keeps each process's part of the weights, and this configuration does not gather them for saving",
            where="--accelerate-config",
            next_step="set zero3_save_16bit_model: true in deepspeed_config (in a file of DeepSpeed's own: "
            "zero_optimization.stage3_gather_16bit_weights_on_model_save)",
        )


def _arguments(config: Training, schedule: Schedule, run: RunFolder, trackers: Sequence[str]) -> TrainingArguments:
    renamed: dict[str, Any] = {CHECKPOINTING: config.gradient_checkpointing}
    return TrainingArguments(
        output_dir=str(run.checkpoints),
        run_name=run.folder.name,
        num_train_epochs=1,  # the order of work holds all the passes
        per_device_train_batch_size=1,  # one item is the groups of an optimiser step
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
        report_to=list(trackers) or "none",
        accelerator_config={"use_configured_state": True},  # that of RunFolder, or of `launch`
        disable_tqdm=True,
        **renamed,
    )


def _not_finite(group: Group, step: int) -> InputError:
    return InputError(
        what="the loss is not a number",
        where=f"problem {group.problem_id}, after {step} optimiser steps",
        examples=[f"solution {solution.solution_id}" for solution in group.solutions],
        next_step="lower learning_rate or max_grad_norm, or raise the warm-up; see whether dtype = 'float32' mends it",
    )
