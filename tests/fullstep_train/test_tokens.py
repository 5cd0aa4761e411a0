"""tokens: every solution token belongs to one step, over tokenizers whose designs differ."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE, WordPiece
from transformers import PreTrainedTokenizerFast

from fullstep_train.tokens import NO_PROMPT, NO_TOKEN, TOO_LONG, Tokenised, tokenise
from schemas import InputError

CORPUS = [
    "Problem: 3 + 4 =\nSolution: Step 1: 3 + 4 = 7.\nStep 2: the answer is 7.\n\n",
    "Step 1: a b c\r\nStep 2: café naïve 🧮🧮 漢字\nStep 3:  two  blanks\n",
] * 20
PIECES = [
    "Step 1: ",
    "Step 2:",
    "7",
    " ",
    "  ",
    "\n",
    "\r\n",
    "\n\n",
    ".",
    "a",
    "é",
    "e\u0301",
    "🧮",
    "👩\u200d🔬",
    "漢",
    "\u00a0",
    "=\n",
    "ß",
    "ﬁ",
]
DESIGNS = ("byte-bpe", "byte-bpe-across-blanks", "byte-bpe-trimmed", "metaspace-byte-fallback", "wordpiece")
TRUTHFUL = ("byte-bpe", "byte-bpe-across-blanks", "metaspace-byte-fallback")


@cache
def build(design: str) -> Any:
    special = ["<s>", "</s>", "[UNK]"]
    if design.startswith("byte-bpe"):
        made = Tokenizer(BPE())
        across = design == "byte-bpe-across-blanks"
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not across)
        if design == "byte-bpe-trimmed":
            made.post_processor = processors.ByteLevel(trim_offsets=True)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
        made.train_from_iterator(CORPUS, trainer)
    elif design == "metaspace-byte-fallback":
        letters = [*sorted({character for text in CORPUS for character in text if ord(character) < 128} - {" "}), "▁"]
        vocabulary = {
            token: i
            for i, token in enumerate(special + [f"<0x{byte:02X}>" for byte in range(256)] + letters + ["St", "Ste", "▁S"])
        }
        merges = [("S", "t"), ("St", "e"), ("▁", "S")]
        made = Tokenizer(BPE(vocabulary, merges, byte_fallback=True, unk_token="[UNK]"))
        made.normalizer = normalizers.Replace(" ", "▁")
    else:
        made = Tokenizer(WordPiece(unk_token="[UNK]"))
        made.normalizer = normalizers.NFD()
        made.pre_tokenizer = pre_tokenizers.Whitespace()
        made.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False))
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="[UNK]")


def stops_of(steps: list[str]) -> list[int]:
    return np.cumsum([len(step) for step in steps]).tolist()


step_texts = st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join), min_size=1, max_size=4)
prompts = st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join)


@pytest.mark.parametrize("design", DESIGNS)
@settings(max_examples=60, deadline=None)
@given(prompt=prompts, steps=step_texts, finished=st.booleans())
def test_every_solution_token_belongs_to_one_step(design: str, prompt: str, steps: list[str], finished: bool) -> None:
    tokenizer = build(design)
    text = "".join(steps)
    made = tokenise(tokenizer, prompt, text, stops_of(steps), finished=finished, max_length=10_000)
    if isinstance(made, str):
        assert made in (NO_TOKEN, NO_PROMPT)
        return
    whole = tokenizer(prompt + text, add_special_tokens=False, return_offsets_mapping=True)
    eos = [tokenizer.eos_token_id] if finished else []
    assert list(made.ids) == whole["input_ids"] + eos
    assert len(made.step_of_token) == len(made.ids) - made.prompt_tokens
    assert np.unique(made.step_of_token).tolist() == list(range(len(steps)))
    assert np.all(np.diff(made.step_of_token) >= 0)
    last = made.last_token_of_step()
    assert made.step_of_token[last].tolist() == list(range(len(steps)))
    assert last[-1] == len(made.step_of_token) - 1
    if design in TRUTHFUL:
        owner = [-1] * len(prompt) + [k for k, step in enumerate(steps) for _ in step]
        expected = []
        for start, end in whole["offset_mapping"]:
            inside = [owner[place] for place in range(start, end) if owner[place] >= 0]
            if inside:
                expected.append(inside[0])
        assert made.step_of_token.tolist() == expected + [len(steps) - 1] * len(eos)


def test_a_merge_over_the_border_of_prompt_and_solution_is_a_solution_token() -> None:
    tokenizer = build("byte-bpe-across-blanks")
    prompt, text = "Problem: 3 + 4 =\nSolution: Ste", "p 1: 3 + 4 = 7."
    offsets = tokenizer(prompt + text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    straddling = [place for place, (start, end) in enumerate(offsets) if start < len(prompt) < end]
    assert len(straddling) == 1
    made = tokenise(tokenizer, prompt, text, [len(text)], finished=False, max_length=99)
    assert isinstance(made, Tokenised)
    assert made.prompt_tokens == straddling[0]
    assert set(made.step_of_token.tolist()) == {0}


def test_a_step_that_a_merge_swallowed_makes_the_solution_unusable() -> None:
    """'Step' is one token of the trained vocabulary: cut after 'Ste', the step 'p' has no token of its own, with or
    without an end token.
    """
    tokenizer = build("byte-bpe")
    assert len(tokenizer("Step", add_special_tokens=False)["input_ids"]) == 1
    for finished in (False, True):
        assert tokenise(tokenizer, "7\n", "Step", [3, 4], finished=finished, max_length=99) == NO_TOKEN


def test_the_end_token_stands_once_and_only_after_a_finished_solution() -> None:
    tokenizer = build("byte-bpe")
    end = tokenizer.eos_token_id
    finished = tokenise(tokenizer, "7\n", "a.", [2], finished=True, max_length=99)
    cut = tokenise(tokenizer, "7\n", "a.", [2], finished=False, max_length=99)
    written = tokenise(tokenizer, "7\n", "a.</s>", [6], finished=True, max_length=99)
    assert isinstance(finished, Tokenised)
    assert isinstance(cut, Tokenised)
    assert isinstance(written, Tokenised)
    assert finished.ids == (*cut.ids, end)
    assert finished.step_of_token[-1] == 0
    assert written.ids == finished.ids
    assert end not in cut.ids


def test_trimmed_offsets_give_the_newline_to_the_step_that_it_ends() -> None:
    """The trimmed tokenizer says that a token of blanks alone spans nothing; the steps must come out as with true
    offsets.
    """
    steps = ["Step 1: 3 + 4 = 7.\n", "Step 2: two  blanks\n\n", "the answer is 7."]
    found = [
        tokenise(build(design), "Problem: 3 + 4 =\n", "".join(steps), stops_of(steps), finished=True, max_length=999)
        for design in ("byte-bpe", "byte-bpe-trimmed")
    ]
    true, trimmed = found
    assert isinstance(true, Tokenised)
    assert isinstance(trimmed, Tokenised)
    assert true.ids == trimmed.ids
    assert true.step_of_token.tolist() == trimmed.step_of_token.tolist()


def test_bytes_of_one_character_go_together() -> None:
    tokenizer = build("metaspace-byte-fallback")
    made = tokenise(tokenizer, "a", "🧮7", [1, 2], finished=False, max_length=99)
    assert isinstance(made, Tokenised)
    assert made.step_of_token.tolist() == [0, 0, 0, 0, 1]  # U+1F9EE is four bytes


def test_too_long_is_refused_and_never_cut() -> None:
    tokenizer = build("byte-bpe")
    made = tokenise(tokenizer, "7\n", "a b c", [5], finished=True, max_length=99)
    assert isinstance(made, Tokenised)
    assert not isinstance(tokenise(tokenizer, "7\n", "a b c", [5], finished=True, max_length=len(made.ids)), str)
    assert tokenise(tokenizer, "7\n", "a b c", [5], finished=True, max_length=len(made.ids) - 1) == TOO_LONG


def test_without_a_prompt_token_nothing_predicts_the_first() -> None:
    assert tokenise(build("byte-bpe"), "", "a", [1], finished=True, max_length=99) == NO_PROMPT


@pytest.mark.parametrize("stops", [[], [2], [1, 1, 3], [3, 2], [0, 3]])
def test_steps_that_do_not_cover_the_text_are_an_error(stops: list[int]) -> None:
    with pytest.raises(InputError, match="do not cover"):
        tokenise(build("byte-bpe"), "7", "abc", stops, finished=True, max_length=99)
