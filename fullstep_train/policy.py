"""The policy: step-wise DPO on all pairs of a problem at once (arXiv 2502.14356, section 3.3), or SFT on the chosen.

    train_policy(pairs, solutions, steps, step_scores, config, base, folder)

The reference is the base model itself; its log-probs are a table, computed once (`reference`). Each distinct solution
is forwarded once per pass, its problem's prompt once per group.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from fullstep_train import models
from fullstep_train.adapters import with_lora
from fullstep_train.config import DPO, SFT, PolicyTraining
from fullstep_train.forward import Runs, answer_logprobs, no_dropout, probe
from fullstep_train.groups import Group, passes, preference_groups, reject_rows
from fullstep_train.losses import log_ratios, preference_figures, sft, stepwise_dpo
from fullstep_train.progress import Tick, no_tick
from fullstep_train.reference import reference_logprobs
from fullstep_train.run_folder import RunFolder, data_record, versions
from fullstep_train.trainer import GroupLosses, GroupTrainer, Schedule, Sums
from fullstep_train.watch import CollapseWarning, collapse, uniform, watched
from schemas import InputError
from schemas.ids import content_id

# A forward pass with its backward pass takes about three times a forward pass alone: what the tick counts in.
TRAINING_COST = 3


def train_policy(
    pairs: pl.DataFrame,
    solutions: pl.DataFrame,
    steps: pl.DataFrame,
    step_scores: pl.DataFrame,
    config: PolicyTraining,
    base: str,
    folder: Path,
    tick: Tick = no_tick,
) -> None:
    """Leave a policy in `folder`; on the folder of a killed try it goes on, and on a finished one it does nothing.

    The frames keep the contracts of their tables; base: a name for `models.resolve`. The folder then holds a plain model (LoRA
    merged) with its tokenizer, policy.json (manifest; `warnings`), training.json, reference_logprobs.parquet, rejects.parquet.
    InputError: no pairs, or none left; pairs without scores; a reward or the loss is not a number; the folder is another run's.
    """
    source = models.resolve(base)
    data = data_record(pairs=pairs, solutions=solutions, steps=steps, step_scores=step_scores)
    identity = models.identity(source)
    settings = {"config": config.model_dump(exclude={"base"}), "base": identity, "data": data}
    run = RunFolder(folder, "policy", content_id(settings, versions()))
    if run.finished():
        return
    tokenizer = models.load_tokenizer(source)
    dtype = models.compute_dtype(config.dtype)
    model = _causal(source, config, dtype)
    longest = min(config.max_length, models.context_length(model.config) or config.max_length)
    groups, dropped = preference_groups(pairs, solutions, steps, step_scores, tokenizer, longest)
    if not groups:
        raise _nothing_left(pairs.height, {reason for _, _, reason in dropped})
    run.begin()
    order = passes(groups, config.epochs, config.seed)
    total = len(groups) + TRAINING_COST * len(order)
    runs = probe(model, config.max_group_tokens, dtype)
    with run.first_process_first():
        reference = reference_logprobs(
            model, groups, runs, identity, folder / "reference_logprobs.parquet", _part_of(tick, 0, 1, total)
        )
    if config.lora is not None:
        model = with_lora(model, config.lora, config.seed)
    trainer = GroupTrainer(
        model,
        groups,
        order,
        _losses(runs, reference, config),
        runs,
        *_measure(config),
        config,
        Schedule("constant_with_warmup", config.warmup_steps, config.learning_rate),
        run,
        _part_of(tick, len(groups), TRAINING_COST, total),
    )
    trainer.add_callback(CollapseWarning())
    trainer.train_on()
    warnings = [uniform(groups, config.weighting) if isinstance(config.objective, DPO) else None, collapse(trainer.curve)]
    counts = {"problems": len(groups), "pairs": sum(len(group.pairs) for group in groups), "dropped": len(dropped)}
    run.finish(
        trainer.model,
        tokenizer,
        trainer.curve,
        reject_rows("policy", dropped),
        settings | {"trained_on": counts, "warnings": [warning for warning in warnings if warning]},
    )


def _nothing_left(pairs: int, reasons: set[str]) -> InputError:
    return InputError(
        what="every pair was dropped",
        where="pairs",
        count=pairs,
        examples=sorted(reasons),
        next_step="raise policy.max_length if the solutions are too long",
    )


def _causal(source: Path | str, config: PolicyTraining, dtype: torch.dtype) -> Any:
    """The base model, answering with log-probs.

    What is trained is float32; frozen weights are in the type of the computation.
    """
    model = models.load_causal(source, dtype if config.lora is not None else torch.float32)
    no_dropout(model)
    answer_logprobs(model)
    return model.to(models.device())


def _part_of(tick: Tick, before: int, cost: int, whole: int) -> Tick:
    """The tick of one of two phases: `before` units are done by then, each of its own costs `cost`."""

    def part(done: int, total: int) -> None:
        tick(before + cost * done, whole)

    return part


def _measure(config: PolicyTraining) -> tuple[Callable[[Group], int], str]:
    """What the loss of an optimiser step is a mean over: how many of them a group has, and their name."""
    match config.objective:
        case DPO():
            return lambda group: len(group.pairs), "pairs"
        case SFT():
            return lambda group: group.chosen_tokens, "chosen_tokens"


def _losses(runs: Runs, reference: dict[str, Tensor], config: PolicyTraining) -> GroupLosses:
    def group_losses(model: Any, groups: Sequence[Group]) -> list[tuple[Tensor, Sums]]:
        found = iter(runs.logprobs(model, [solution.tokens for group in groups for solution in group.solutions]))
        return [_loss(group, list(islice(found, len(group.solutions))), reference, config) for group in groups]

    return group_losses


def _loss(group: Group, logps: list[Tensor], reference: dict[str, Tensor], config: PolicyTraining) -> tuple[Tensor, Sums]:
    """Loss of a group, as a sum, and what is logged of it. logps: S tensors [T]."""
    place = logps[0].device
    before = [reference[solution.solution_id].to(place) for solution in group.solutions]
    steps = [torch.from_numpy(solution.tokens.step_of_token).to(place) for solution in group.solutions]
    pairs = torch.from_numpy(group.pairs).to(place)
    match config.objective:
        case DPO() as dpo:
            rewards = [torch.from_numpy(solution.values).to(place, logps[0].dtype) for solution in group.solutions]
            loss, figures = stepwise_dpo(logps, before, steps, rewards, pairs, config.beta, config.weighting, dpo)
            own: Sums = {}
        case SFT():
            loss = sft(logps, pairs)
            figures = preference_figures(logps, config.beta * log_ratios(logps, before, per_token=False), pairs)
            own = {"loss": (float(loss.detach()), float(group.chosen_tokens))}
    sums = {name: (value, float(len(pairs))) for name, value in figures.items()}
    return loss, sums | own | watched(loss, logps, before, steps, pairs)
