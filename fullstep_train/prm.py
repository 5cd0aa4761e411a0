"""The process-reward model: is this step on the way to the right answer? A two-class head on a language model.

    train_prm(solutions, steps, step_labels, config, base, folder)     # leaves a *ForTokenClassification
    scorer = load_scorer(folder)                                       # scorer.py

The loss is the cross-entropy at the LAST token of each step (targets may be soft). Labels never stand in the context.
Problems, not solutions, are split into training and validation.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from fullstep_train import models
from fullstep_train.adapters import with_lora
from fullstep_train.config import PRMTraining
from fullstep_train.forward import Runs, no_dropout, probe
from fullstep_train.groups import Group, labelled_groups, passes, reject_rows, step_values
from fullstep_train.losses import soft_cross_entropy
from fullstep_train.metrics import validation_metrics
from fullstep_train.progress import UNWATCHED, Watch
from fullstep_train.run_folder import RunFolder, write_json
from fullstep_train.trainer import GroupTrainer, Measure, Schedule, Sums
from schemas import InputError
from schemas.ids import stable_fraction

LABELS = {0: "incorrect", 1: "correct"}


def train_prm(
    solutions: pl.DataFrame,
    steps: pl.DataFrame,
    step_labels: pl.DataFrame,
    config: PRMTraining,
    base: str,
    folder: Path,
    watch: Watch = UNWATCHED,
) -> None:
    """Leave a PRM in `folder`; called again on the folder of a killed try it goes on, and on a finished one it does
    nothing.

    The frames keep the contracts of their tables; base: a name for `models.resolve`. The folder then holds a plain
    model (LoRA merged) with its tokenizer, prm.json (manifest), metrics.json (validation), training.json (curve),
    rejects.parquet. InputError: nothing is labelled, all solutions are dropped, the folder belongs to another run, the
    loss is not a number.
    """
    source = models.resolve(base)
    tables = {"solutions": solutions, "steps": steps, "step_labels": step_labels}
    run = RunFolder.of(folder, "prm", config, models.identity(source), tables)
    if run.finished():
        return
    tokenizer = models.load_tokenizer(source)
    dtype = models.compute_dtype(config.dtype)
    model = classifier(source, config, dtype)
    longest = min(config.max_length, models.context_length(model.config) or config.max_length)
    groups, dropped = labelled_groups(solutions, steps, step_labels, tokenizer, longest, config.target)
    if not groups:
        raise InputError(
            what="no solution is left to train the PRM on",
            where="solutions, step_labels",
            count=len(dropped),
            examples=sorted({reason for _, _, reason in dropped}),
            next_step="raise prm.max_length if they are too long; see how the labels were made if none is labelled",
        )
    run.begin()
    training, validation = split(groups, config.validation_share)
    runs = probe(model, config.max_group_tokens, dtype, config.attention)
    model = _adapted(model, config)
    trainer = _trainer(model, training, config, runs, run, watch)
    labels = step_values(step_labels.with_columns(pl.col("label").cast(pl.Float64)), "label")
    trainer.add_callback(Measure(trainer, lambda now: _auc(validation, labels, step_rewards(now, validation, runs))))
    trainer.train_on()
    trained = trainer.whole(lambda: _adapted(classifier(source, config, dtype, quantise=False), config))
    if not run.first_process:
        return
    if trained is not trainer.model:  # it was in shares, and has been put together
        runs = probe(trained, config.max_group_tokens, dtype, config.attention)
    rewards = step_rewards(trained, validation, runs)
    write_json(folder / "metrics.json", _metrics(training, validation, labels, rewards))
    run.finish(trained, tokenizer, trainer.curve, reject_rows("prm", dropped))


def _adapted(model: Any, config: PRMTraining) -> Any:
    return model if config.lora is None else with_lora(model, config.lora, config.seed, trained_whole=(head_name(model),))


def split(groups: list[Group], share: float) -> tuple[list[Group], list[Group]]:
    """Training and validation groups, by a hash of the problem: stable when problems are added.

    share 0: no validation. Otherwise two problems or more give at least one to each side.
    """
    held = held_back([group.problem_id for group in groups], share)
    return [group for group in groups if group.problem_id not in held], [group for group in groups if group.problem_id in held]


def held_back(problem_ids: Iterable[str], share: float) -> set[str]:
    """The problems of a training that it only measures on (see `split`)."""
    fractions = {problem_id: stable_fraction("prm-validation", problem_id) for problem_id in problem_ids}
    held = {problem_id for problem_id, fraction in fractions.items() if fraction < share}
    ordered = sorted(fractions, key=lambda problem_id: fractions[problem_id])
    if share > 0 and len(ordered) > 1:
        held |= set(ordered[:1])
        held -= set(ordered[-1:])
    elif len(ordered) == 1:
        held = set()
    return held


def step_rewards(model: Any, groups: list[Group], runs: Runs) -> list[np.ndarray]:
    """[K] the probability that each step is correct, for every solution of the groups in order."""
    model.eval()
    found: list[np.ndarray] = []
    with torch.no_grad():
        for group in groups:
            for logits in runs.step_logits(model, [solution.tokens for solution in group.solutions]):
                found.append(logits.softmax(-1)[:, 1].double().cpu().numpy())
    return found


def head_name(model: Any) -> str:
    """The name of the head in a *ForTokenClassification: transformers calls it score or classifier."""
    for name in ("score", "classifier"):
        if isinstance(getattr(model, name, None), nn.Linear):
            return name
    raise InputError(
        what=f"{type(model).__name__} has no linear head named score or classifier",
        where=str(type(model)),
        next_step="choose a base model whose *ForTokenClassification has one",
    )


def initialise_head(model: Any, seed: int) -> None:
    """Draw the head from a normal of width initializer_range in float32, bias 0, and see that it is so.

    transformers has left this head uninitialised for bfloat16 models (axolotl's _reinitialize_classification_head),
    with NaN for a loss.
    """
    head: nn.Linear = getattr(model, head_name(model))
    width = float(getattr(model.config.get_text_config(), "initializer_range", 0.02))
    drawn = torch.randn(head.weight.shape, generator=torch.Generator().manual_seed(seed)) * width
    head.to(torch.float32)
    with torch.no_grad():
        head.weight.copy_(drawn)
        if head.bias is not None:
            head.bias.zero_()
    spread = float(head.weight.detach().std())
    if not (torch.isfinite(head.weight).all() and 0.5 * width < spread < 1.5 * width):
        raise RuntimeError(f"the head is not initialised: standard deviation {spread}, wanted {width}")


def classifier(source: Path | str, config: PRMTraining, dtype: torch.dtype, quantise: bool = True) -> Any:
    """The base model with a fresh head and no dropout.

    What is trained is float32; the frozen weights under LoRA are in the type of the computation, or quantised where the config
    says so and `quantise` does.
    """
    model = models.load_token_classifier(
        source,
        dtype if config.lora is not None else torch.float32,
        quantise and models.quantised(config),
        num_labels=2,
        id2label=LABELS,
        label2id={label: number for number, label in LABELS.items()},
        classifier_dropout=0.0,
    )
    initialise_head(model, config.seed)
    no_dropout(model)
    return model if getattr(model, "is_quantized", False) else model.to(models.device())


def _trainer(model: Any, training: list[Group], config: PRMTraining, runs: Runs, run: RunFolder, watch: Watch) -> GroupTrainer:
    def group_losses(model: Any, groups: Sequence[Group]) -> list[tuple[Tensor, Sums]]:
        found = iter(runs.step_logits(model, [solution.tokens for group in groups for solution in group.solutions]))
        return [_loss(group, list(islice(found, len(group.solutions)))) for group in groups]

    order = passes(training, config.epochs, config.seed)
    steps = -(-len(order) // config.groups_per_step)
    schedule = Schedule("linear", round(config.warmup_share * steps), config.learning_rate)
    return GroupTrainer(
        model, training, order, group_losses, runs, lambda group: group.labelled_steps, "steps", config, schedule, run, watch
    )


def _loss(group: Group, logits: list[Tensor]) -> tuple[Tensor, Sums]:
    """Cross-entropy summed over the group's labelled steps. logits: S tensors [K, 2]."""
    targets = torch.from_numpy(np.concatenate([solution.values for solution in group.solutions]))
    loss = soft_cross_entropy(torch.cat(logits), targets.to(logits[0].device))
    return loss, {"loss": (float(loss.detach()), group.labelled_steps)}


def _metrics(
    training: list[Group], validation: list[Group], labels: dict[str, np.ndarray], rewards: list[np.ndarray]
) -> dict[str, Any]:
    found = _measured(validation, labels, rewards)
    return {"validation": found | _size(validation, labels), "training": _size(training, labels)}


def _measured(validation: list[Group], labels: dict[str, np.ndarray], rewards: list[np.ndarray]) -> dict[str, Any]:
    ids = [solution.solution_id for group in validation for solution in group.solutions]
    return validation_metrics([labels[solution_id] for solution_id in ids], rewards)


def _auc(validation: list[Group], labels: dict[str, np.ndarray], rewards: list[np.ndarray]) -> dict[str, float]:
    """What is logged while the PRM is trained; nothing where the labels of the validation problems are all alike."""
    auc = _measured(validation, labels, rewards)["auc"]
    return {} if auc is None else {"validation/auc": auc}


def _size(groups: list[Group], labels: dict[str, np.ndarray]) -> dict[str, Any]:
    """How much there was to learn or measure on; label_mean: share of the labelled steps that are correct."""
    ids = [solution.solution_id for group in groups for solution in group.solutions]
    known = np.concatenate([labels[solution_id] for solution_id in ids] or [np.empty(0)])
    known = known[np.isfinite(known)]
    return {
        "problems": len({group.problem_id for group in groups}),
        "solutions": len(ids),
        "steps": len(known),
        "label_mean": float(known.mean()) if len(known) else None,
    }
