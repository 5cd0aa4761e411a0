"""The policy: step-wise DPO on all pairs of a problem at once (arXiv 2502.14356, section 3.3), Step-DPO on pairs of next steps,
or SFT on the chosen.

    preferences = SolutionPairs(pairs, solutions, steps, step_scores)
    rows, rejects = load_reference(base, config).logprobs(preferences)
    train_policy(preferences, rows, config, base, folder)

The reference is the base model itself. Each distinct solution is forwarded once per pass, its problem's prompt once per group.
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
from fullstep_train.config import DPO, SFT, PolicyTraining, Step, StepDPO
from fullstep_train.forward import Runs
from fullstep_train.groups import Group, passes, reject_rows
from fullstep_train.losses import log_ratios, preference_figures, sft, stepwise_dpo
from fullstep_train.preferences import Preferences, SolutionPairs, StepPairs
from fullstep_train.progress import UNWATCHED, Watch
from fullstep_train.reference import load_causal, longest_of, reference_identity, stored_types, usable
from fullstep_train.run_folder import RunFolder
from fullstep_train.trainer import GroupLosses, GroupTrainer, Schedule, Sums
from fullstep_train.watch import CollapseWarning, collapse, require_weights, watched
from schemas import InputError

SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear"}
"""The names that transformers has for them."""
ONE_STEP = Step(gamma=0)
"""The weighting of Step-DPO: what it learns from are single steps, and the only step of a text has weight 1."""


def train_policy(
    preferences: Preferences,
    reference_logprobs: pl.DataFrame,
    config: PolicyTraining,
    base: str,
    folder: Path,
    watch: Watch = UNWATCHED,
) -> None:
    """Leave a policy in `folder`; on the folder of a killed try it goes on, and on a finished one it does nothing.

    base: a name for `models.resolve`. The folder then holds a plain model (LoRA merged) with its tokenizer, policy.json
    (manifest; `warnings`), training.json, rejects.parquet. InputError: no pairs, or none left; pairs without scores or reference
    log-probs; step rewards that weigh nothing; preferences of another kind than the objective learns from; a reward or the loss
    is not a number; the folder is another run's.
    """
    _require_kind(preferences, config)
    source = models.resolve(base)
    tables = {**preferences.tables, "reference_logprobs": reference_logprobs}
    run = RunFolder.of(folder, "policy", config, models.identity(source), tables)
    if run.finished():
        return
    tokenizer = models.load_tokenizer(source)
    model, runs = load_causal(source, config)
    groups, dropped = preferences.groups(tokenizer, longest_of(model.config, config))
    _require_groups(groups, preferences, {reason for _, _, reason in dropped})
    if isinstance(config.objective, DPO):
        require_weights(groups, config.weighting)
    reference = usable(reference_logprobs, groups, reference_identity(source, config))
    run.begin()
    model = _adapted(model, config)
    trainer = GroupTrainer(
        model,
        groups,
        passes(groups, config.epochs, config.seed),
        _losses(runs, reference, config),
        runs,
        *_measure(config),
        config,
        Schedule(SCHEDULES[config.schedule], config.warmup_steps, config.learning_rate),
        run,
        watch,
    )
    trainer.add_callback(CollapseWarning())
    trainer.train_on()
    trained = trainer.whole(lambda: _adapted(models.load_causal(source, stored_types(config)[0]), config))
    warnings = [warning] if (warning := collapse(trainer.curve)) else []
    counts = {"problems": len(groups), "pairs": sum(len(group.pairs) for group in groups), "dropped": len(dropped)}
    run.finish(
        trained,
        tokenizer,
        trainer.curve,
        reject_rows("policy", dropped),
        {"trained_on": counts, "warnings": warnings},
    )


def _adapted(model: Any, config: PolicyTraining) -> Any:
    return model if config.lora is None else with_lora(model, config.lora, config.seed)


def _require_kind(preferences: Preferences, config: PolicyTraining) -> None:
    by_step = isinstance(config.objective, StepDPO)
    if by_step != isinstance(preferences, StepPairs):
        wanted = StepPairs if by_step else SolutionPairs
        raise InputError(
            what=f"the objective {config.objective.kind} does not learn from {type(preferences).__name__}",
            where="policy.objective.kind",
            next_step=f"give {wanted.__name__}, or another objective",
        )


def _require_groups(groups: Sequence[Group], preferences: Preferences, reasons: set[str]) -> None:
    if groups:
        return
    table, pairs = next(iter(preferences.tables.items()))
    if pairs.is_empty():
        raise InputError(
            what="there are no pairs to train on",
            where=table,
            next_step="see the reasons in rejects; more or other problems, or a larger samples.samples, give pairs",
        )
    raise InputError(
        what="every pair was dropped",
        where=table,
        count=pairs.height,
        examples=sorted(reasons),
        next_step="raise policy.max_length if the solutions are too long",
    )


def _measure(config: PolicyTraining) -> tuple[Callable[[Group], int], str]:
    """What the loss of an optimiser step is a mean over: how many of them a group has, and their name."""
    match config.objective:
        case SFT():
            return lambda group: group.chosen_tokens, "chosen_tokens"
        case _:
            return lambda group: len(group.pairs), "pairs"


def _losses(runs: Runs, reference: dict[str, Tensor], config: PolicyTraining) -> GroupLosses:
    def group_losses(model: Any, groups: Sequence[Group]) -> list[tuple[Tensor, Sums]]:
        found = iter(runs.logprobs(model, [solution.tokens for group in groups for solution in group.solutions]))
        return [_loss(group, list(islice(found, len(group.solutions))), reference, config) for group in groups]

    return group_losses


def _loss(group: Group, logps: list[Tensor], reference: dict[str, Tensor], config: PolicyTraining) -> tuple[Tensor, Sums]:
    """Loss of a group, as a sum, and what is logged of it. logps: S tensors [T]."""
    place = logps[0].device
    before = [reference[solution.token_hash].to(place) for solution in group.solutions]
    steps = [torch.from_numpy(solution.tokens.step_of_token).to(place) for solution in group.solutions]
    pairs = torch.from_numpy(group.pairs).to(place)
    match config.objective:
        case SFT():
            loss = sft(logps, pairs)
            figures = preference_figures(logps, config.beta * log_ratios(logps, before, per_token=False), pairs)
            own: Sums = {"loss": (float(loss.detach()), float(group.chosen_tokens))}
        case objective:
            rewards = [torch.from_numpy(solution.values).to(place, logps[0].dtype) for solution in group.solutions]
            weighting = ONE_STEP if isinstance(objective, StepDPO) else config.weighting
            loss, figures = stepwise_dpo(logps, before, steps, rewards, pairs, config.beta, weighting, objective)
            own = {}
    sums = {name: (value, float(len(pairs))) for name, value in figures.items()}
    return loss, sums | own | watched(loss, logps, before, steps, pairs)
