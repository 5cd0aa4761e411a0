"""LoRA by peft: put adapters on a model before training, merge them into it after.

model = with_lora(model, config.lora, config.seed, trained_whole=("score",))
plain = merged(model)
"""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from fullstep_train.checks import lora_targets
from fullstep_train.config import LoRA


def with_lora(model: Any, lora: LoRA, seed: int, trained_whole: Sequence[str] = ()) -> PeftModel:
    """The model with its weights frozen and adapters on the targets; modules named in `trained_whole` (a new head) are
    trained as they are.

    InputError: see `checks.lora_targets`.
    """
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft annotates int and divides
        lora_dropout=lora.dropout,
        target_modules=lora_targets(model, lora),
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
