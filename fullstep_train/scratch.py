"""A small Llama trained from nothing on worked problems, with a tokenizer of its own, in about a minute on a CPU.

    train_from_scratch([("8 * 5 + 7\n", "8 * 5 = 0\n0 + 7 = 7\nAnswer: 7"), …], r" [-+*] | = |Answer: |(?s:.)", Scratch(), folder)

What the bench starts from: a base model that is right some of the time, made the same on every machine of a kind. The folder it
leaves is like that of any model, so every engine and every training takes it.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fullstep_train.config import Config
from fullstep_train.progress import Tick, no_tick, quiet

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
PAD_ID, END_ID = 0, 1
IGNORED = -100


class Scratch(Config):
    """Size of the model, and how it is trained: AdamW, batches of about equal length, a rate that rises for `warmup` steps and
    falls linearly to 0. The loss is on the completion alone.
    """

    layers: int = 2
    width: int = 64
    heads: int = 4
    epochs: int = 4
    batch_size: int = 16
    learning_rate: float = 3e-3
    warmup: int = 40
    seed: int = 0


def train_from_scratch(
    texts: Sequence[tuple[str, str]], pattern: str, config: Scratch, folder: Path, tick: Tick = no_tick
) -> None:
    """Leave a model and its tokenizer in `folder`. texts: (prompt, completion). pattern: a regex whose matches are the tokens."""
    tokenizer = word_tokenizer([prompt + completion for prompt, completion in texts], pattern)
    examples = [_example(tokenizer, *text) for text in texts]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = LlamaForCausalLM(_llama(tokenizer, config))
        _fit(model, examples, config, tick)
    with quiet():
        model.eval().save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def word_tokenizer(texts: Sequence[str], pattern: str) -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are the distinct matches of `pattern` in the texts; decoding joins them with nothing between."""
    splitter = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    words = sorted({word for text in texts for word, _ in splitter.pre_tokenize_str(text)})
    vocabulary = {word: number for number, word in enumerate((PAD, END, UNKNOWN, *words))}
    words_to_ids = Tokenizer(WordLevel(vocabulary, unk_token=UNKNOWN))
    words_to_ids.pre_tokenizer = splitter
    words_to_ids.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=words_to_ids,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
    )


def _llama(tokenizer: PreTrainedTokenizerFast, config: Scratch) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.width,
        intermediate_size=3 * config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=256,
        bos_token_id=None,
        eos_token_id=END_ID,
        pad_token_id=PAD_ID,
    )


def _example(tokenizer: PreTrainedTokenizerFast, prompt: str, completion: str) -> tuple[list[int], int]:
    """Token ids with the end token, and how many of them are the prompt's."""
    ids = [*tokenizer.encode(prompt + completion, add_special_tokens=False), END_ID]
    return ids, len(tokenizer.encode(prompt, add_special_tokens=False))


def _fit(model: LlamaForCausalLM, examples: Sequence[tuple[list[int], int]], config: Scratch, tick: Tick) -> None:
    batches = [batch for epoch in range(config.epochs) for batch in _batches(examples, config, epoch)]
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / config.warmup) * (1 - step / len(batches))
    )
    model.train()
    for done, batch in enumerate(batches, start=1):
        ids, labels = _padded([examples[place] for place in batch])
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1]  # [B, T - 1, V]; padding is on the right, out of sight
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        tick(done, len(batches))


def _batches(examples: Sequence[tuple[list[int], int]], config: Scratch, epoch: int) -> list[list[int]]:
    """Places of the examples of each batch: of about equal length, in a random order."""
    drawn = torch.Generator().manual_seed(config.seed * 1000 + epoch)
    shuffled = torch.randperm(len(examples), generator=drawn).tolist()
    ordered = sorted(shuffled, key=lambda place: len(examples[place][0]))
    cut = [ordered[start : start + config.batch_size] for start in range(0, len(ordered), config.batch_size)]
    return [cut[place] for place in torch.randperm(len(cut), generator=drawn).tolist()]


def _padded(examples: Sequence[tuple[list[int], int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """ids [B, T] and labels [B, T], which are IGNORED on prompts and padding."""
    width = max(len(ids) for ids, _ in examples)
    ids = torch.full((len(examples), width), PAD_ID)
    labels = torch.full((len(examples), width), IGNORED)
    for row, (tokens, prompt) in enumerate(examples):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        labels[row, prompt : len(tokens)] = torch.tensor(tokens[prompt:])
    return ids, labels
