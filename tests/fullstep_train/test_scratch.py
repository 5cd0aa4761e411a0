"""From nothing to a model: a tokenizer that gives its text back, a training that learns, the same twice over."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from fullstep_train.models import identity
from fullstep_train.scratch import END_ID, Scratch, train_from_scratch, word_tokenizer

TEXTS = [(f"{a} (1)+{b}\n", f"(1) {a}+{b}={a + b}\nAnswer: {a + b}") for a in range(4) for b in range(4)]
TOKENS = r" \(\d\)[-+]\d|\(\d\) |[-+]\d+|Answer: |\n|."
SMALL = Scratch(width=32, epochs=60, warmup=5)


def test_tokens_are_the_matches_and_decoding_gives_the_text_back() -> None:
    tokenizer = word_tokenizer([prompt + text for prompt, text in TEXTS], TOKENS)
    text = "3 (1)+2\n(1) 3+2=5\nAnswer: 5"
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.convert_ids_to_tokens(ids)[:5] == ["3", " (1)+2", "\n", "(1) ", "3"]
    assert tokenizer.decode(ids) == text
    assert tokenizer.eos_token_id == END_ID
    assert tokenizer("3\n", return_offsets_mapping=True)["offset_mapping"] == [(0, 1), (1, 2)]


def test_it_learns_the_sums_and_leaves_a_plain_model(tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    train_from_scratch(TEXTS, TOKENS, SMALL, tmp_path)
    assert torch.equal(state, torch.random.get_rng_state())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = tokenizer(TEXTS[6][0], return_tensors="pt", add_special_tokens=False).input_ids
    answer = model.generate(ids, max_new_tokens=20, do_sample=False)[0, ids.shape[1] :]
    assert tokenizer.decode(answer, skip_special_tokens=True) == TEXTS[6][1]


@pytest.mark.parametrize(
    "change",
    [
        *({"seed": 1}, {"width": 16}, {"layers": 1}, {"heads": 2}),
        *({"epochs": 2}, {"batch_size": 8}, {"learning_rate": 1e-3}, {"warmup": 2}),
    ],
)
def test_every_setting_shows_and_the_same_settings_give_the_same_model(tmp_path: Path, change: dict[str, float]) -> None:
    settings = Scratch(width=32, epochs=1)
    for name, config in (("a", settings), ("b", settings), ("c", settings.model_copy(update=change))):
        train_from_scratch(TEXTS, TOKENS, config, tmp_path / name)
    assert identity(tmp_path / "a") == identity(tmp_path / "b") != identity(tmp_path / "c")
