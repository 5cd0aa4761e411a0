"""What can be known of a training before anything is computed: it is told then, not hours later in the stage that trains.

require_trainable("policy", source, config)      # InputError: the tokenizer, lora.targets, a package that is missing
require_same_tokenizer(sampler, source, "policy")    # InputError: it would read the texts as other tokens
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification

from fullstep_train import models
from fullstep_train.config import LoRA, Training
from schemas import InputError

Kind = Literal["prm", "policy"]
CLASSES: Mapping[Kind, Any] = {"prm": AutoModelForTokenClassification, "policy": AutoModelForCausalLM}

SUBJECTS: Mapping[Kind, str] = {"prm": "the PRM", "policy": "the model that is to be trained"}
NEXT_STEPS: Mapping[Kind, str] = {
    "prm": "take a PRM that was trained from this model or its family (fs-data build trains one)",
    "policy": "train that model or one of its family (policy.base), or build a dataset with this one",
}


def require_trainable(kind: Kind, source: Path | str, config: Training) -> None:
    """InputError where this model cannot be trained by this config: its tokenizer gives no offsets or has no end token,
    lora.targets name none of its layers, what quantises is not installed. Reads its config and tokenizer, not its weights.
    """
    models.load_tokenizer(source)
    if models.quantised(config):
        models.in_four_bits(models.compute_dtype(config.dtype))
    if config.lora is not None and config.lora.targets != "all-linear":
        with torch.device("meta"):  # layers without weights
            model = CLASSES[kind].from_config(models.load_config(source))
        lora_targets(model, config.lora)


def require_same_tokenizer(writer: Path | str, reader: Path | str, kind: Kind) -> None:
    """InputError where a model has another tokenizer than the one whose texts it is to judge or to learn from.

    Prompts carry the writer's special tokens as text: to another tokenizer they are words that it was never trained on.
    """
    first, second = models.load_tokenizer(writer), models.load_tokenizer(reader)
    own, other = first.get_vocab(), second.get_vocab()
    if own == other and first.eos_token == second.eos_token:
        return
    apart = sorted(token for token in own.keys() ^ other.keys())
    moved = sorted(token for token in own.keys() & other.keys() if own[token] != other[token])
    ends = [f"texts end with {first.eos_token!r} there, with {second.eos_token!r} here"] if not apart and not moved else []
    raise InputError(
        what=f"{SUBJECTS[kind]} has another tokenizer than the model that wrote the texts: {len(own):,} tokens there, "
        f"{len(other):,} here",
        where=str(reader),
        count=len(apart) + len(moved) or None,
        examples=[f"only one knows {token!r}" for token in apart[:3]] + [f"{token!r} has two ids" for token in moved[:2]] + ends,
        next_step=NEXT_STEPS[kind],
    )


def lora_targets(model: Any, lora: LoRA) -> list[str]:
    """The endings of the names of the layers that get adapters. InputError: a target is not in the model, or is its head (whose
    log-probs are made without its adapter).
    """
    linear = sorted(
        {name.rpartition(".")[2] for name, module in model.base_model.named_modules() if isinstance(module, nn.Linear)}
    )
    targets = linear if lora.targets == "all-linear" else list(lora.targets)
    unknown = [target for target in targets if target.rpartition(".")[2] not in linear]
    if unknown or not targets:
        raise InputError(
            what="lora.targets name no linear layer below the model's head",
            where="lora.targets",
            count=len(unknown),
            examples=unknown,
            next_step=f"choose among: {', '.join(linear) or '(this model has no linear layers: train without lora)'}",
        )
    return targets
