"""Tiny models made on the spot: a seeded two-layer Llama and a byte-level BPE tokenizer trained on a few lines.

    folder = tiny_model(tmp_path / "model")                       # no chat template
    folder = tiny_model(tmp_path / "chat", chat_template=CHATML)  # with one

The same arguments give a model with the same weights and the same token ids.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
TEXT = (
    "Problem: State the final answer to the following arithmetic problem: 4 + 3 - 2 =",
    "Step 1: 4 + 3 = 7. Step 2: 7 - 2 = 5. Step 3: The answer is \\boxed{5}.",
    "Step 1: 12 * 3 = 36. Step 2: 36 + 8 = 44. The answer is \\boxed{44}.",
    "How many apples does Ann have? She has 6 apples and gives away 2, so 6 - 2 = 4 apples are left.",
)
CHATML = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '</s>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def tiny_tokenizer(vocab_extra: Sequence[str] = (), chat_template: str | None = None) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer (any text, any language) of 256 bytes, some merges, bos, eos, pad and `vocab_extra`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=[BOS, EOS, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=PAD)
    if vocab_extra:
        fast.add_tokens(list(vocab_extra))
    fast.chat_template = chat_template
    return fast


def tiny_model(
    folder: Path,
    vocab_extra: Sequence[str] = (),
    chat_template: str | None = None,
    seed: int = 0,
    context: int = 512,
    hidden: int = 32,
) -> Path:
    """Writes the tokenizer and a random float32 Llama (2 layers, weights fixed by `seed`) into `folder`; returns `folder`.

    The weights are drawn wide (standard deviation 0.2), so that next-token distributions are far from uniform.
    hidden: width; its four heads must have 32 or more each to run in vLLM on a CPU.
    """
    tokenizer = tiny_tokenizer(vocab_extra, chat_template)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
