"""LoRA by peft: put adapters on a model before training, merge them into it after.

model = with_lora(model, config.lora, config.seed, trained_whole=("score",))
plain = merged(model)
"""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from fullstep_train.config import LoRA
from schemas import InputError


def with_lora(model: Any, lora: LoRA, seed: int, trained_whole: Sequence[str] = ()) -> PeftModel:
    """The model with its weights frozen and adapters on the targets; modules named in `trained_whole` (a new head) are
    trained as they are.

    InputError: a target that is not in the model, or that is the head (its log-probs are made without its adapter).
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
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft annotates int and divides
        lora_dropout=lora.dropout,
        target_modules=targets,
        modules_to_save=list(trained_whole) or None,
    )
    with warnings.catch_warnings():
        # peft asks transformers by a name that transformers 5.23 deprecates.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        torch.manual_seed(seed)  # adapters are drawn from the global random state
        wrapped = get_peft_model(model, config)
    assert isinstance(wrapped, PeftModel)
    return wrapped


def merged(model: Any) -> Any:
    """The plain model with the adapters added into its weights; a model without adapters as it is."""
    return model.merge_and_unload() if isinstance(model, PeftModel) else model
