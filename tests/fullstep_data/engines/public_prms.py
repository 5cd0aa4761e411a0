"""Tiny published PRMs with random weights: the right architecture, tags and chat template of each format.

folder = prm_of(QwenFormat(), tmp_path / "prm")
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2Model

from fullstep_data.config import PublicFormat, QwenFormat, SkyworkFormat
from fullstep_data.engines.protocol import ScoreRequest
from tests.models import CHATML, tiny_model, tiny_tokenizer

STEPS = ("Step 1: 4 + 3 = 7.\n", "Step 2: 7 - 2 = 5.\n\n", "Step 3: The answer is \\boxed{5}.")
TAGS = ("ки", "<extra_0>")
TURNS = ("<|system|>", "<|user|>", "<|assistant|>")


def prm_of(form: PublicFormat, folder: Path, hidden: int = 32) -> Path:
    """Writes a PRM of a format into `folder`; returns `folder`. hidden: width; 128 runs in vLLM on a CPU."""
    if not isinstance(form, QwenFormat | SkyworkFormat):
        return tiny_model(folder, (*TAGS, *TURNS), CHATML, hidden=hidden)
    tokenizer = tiny_tokenizer((*TAGS, *TURNS), CHATML)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.2,
        use_sliding_window=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = {f"model.{name}": value for name, value in Qwen2Model(config).state_dict().items()}
        state |= {name: torch.randn(shape) / hidden**0.5 for name, shape in _heads(form, hidden).items()}
    folder.mkdir(parents=True)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    architecture = "Qwen2ForProcessRewardModel" if isinstance(form, QwenFormat) else "Qwen2ForPrmModel"
    settings = json.loads(config.to_json_string()) | {"architectures": [architecture]}
    (folder / "config.json").write_text(json.dumps(settings))
    tokenizer.save_pretrained(folder)
    return folder


def _heads(form: PublicFormat, hidden: int) -> dict[str, tuple[int, ...]]:
    if isinstance(form, SkyworkFormat):
        return {"v_head.summary.weight": (1, hidden), "v_head.summary.bias": (1,)}
    first = {"score.0.weight": (hidden, hidden), "score.0.bias": (hidden,)}
    return {**first, "score.2.weight": (2, hidden), "score.2.bias": (2,)}


def asked(count: int = 3, question: str = "What is 4 + 3 - 2?", **changed: Any) -> ScoreRequest:
    """The first `count` steps."""
    stops = tuple(len("".join(STEPS[:k])) for k in range(1, count + 1))
    settings = {"prompt": "few shots", "text": "".join(STEPS[:count]), "stops": stops, "finished": True, "question": question}
    return ScoreRequest(**{**settings, **changed})
