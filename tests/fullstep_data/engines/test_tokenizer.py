"""A tokenizer without its model: ends of texts, cuts at stop strings, what a folder may lack. Templates: tests of the engines."""

import json
from pathlib import Path

import pytest

from fullstep_data.engines.model_files import model_identity
from fullstep_data.engines.protocol import Request
from fullstep_data.engines.tokenizer import ModelTokenizer, end_ids, load_tokenizer
from schemas import InputError
from tests.models import CHATML, tiny_model, tiny_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer alone: no config, no weights."""
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny_tokenizer(chat_template=CHATML).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> ModelTokenizer:
    return load_tokenizer(folder)


def test_prompts_and_ids_and_back(tokenizer: ModelTokenizer) -> None:
    prompt = tokenizer.render("Be brief.", "4 + 3", "always")
    assert prompt == "<|system|>Be brief.</s><|user|>4 + 3</s><|assistant|>"
    ids = tokenizer.encode(prompt)
    assert ids.count(tiny_tokenizer().eos_token_id) == 2
    assert tokenizer.decode(ids) == prompt.replace("</s>", "")


def test_an_end_token_is_dropped_and_is_the_reason(tokenizer: ModelTokenizer) -> None:
    ids = tokenizer.encode("4 + 3 = 7")
    (end,) = tokenizer.end_ids
    ended = tokenizer.completion(Request("", 1, 99), [*ids, end], "length", 5)
    assert (ended.text, ended.token_ids, ended.finish_reason, ended.prompt_tokens) == ("4 + 3 = 7", tuple(ids), "eos", 5)
    cut = tokenizer.completion(Request("", 1, 99), ids, "length", 5)
    assert (cut.token_ids, cut.finish_reason) == (tuple(ids), "length")


def test_text_and_ids_are_cut_at_the_first_stop_string(tokenizer: ModelTokenizer) -> None:
    ids = tokenizer.encode("Step 1: 7. Step 2: 9.")
    made = tokenizer.completion(Request("", 1, 99, stop=("9", " Step 2")), ids, "eos", 5)
    assert (made.text, made.finish_reason) == ("Step 1: 7.", "stop")
    assert made.token_ids is not None
    assert tokenizer.decode(made.token_ids).startswith(made.text)
    assert not tokenizer.decode(made.token_ids[:-1]).startswith(made.text)


def test_every_end_token_that_a_model_names_is_one(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    assert load_tokenizer(folder).end_ids == {tiny_tokenizer().eos_token_id}
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": [7, 9]}))
    assert load_tokenizer(folder).end_ids == {7, 9, tiny_tokenizer().eos_token_id}
    path.unlink()  # then the model's config counts
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"eos_token_id": 8}))
    assert load_tokenizer(folder).end_ids == {8, tiny_tokenizer().eos_token_id}


def test_a_tokenizer_without_an_end_token_has_no_ends() -> None:
    bare = tiny_tokenizer()
    bare.eos_token = None
    assert end_ids(bare, None) == frozenset()


def test_a_tokenizer_is_known_by_its_content(folder: Path, tmp_path: Path) -> None:
    tiny_tokenizer(vocab_extra=["<extra>"]).save_pretrained(tmp_path)
    assert model_identity(folder, weights=False) != model_identity(tmp_path, weights=False)


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tokenizer cannot be loaded") as caught:
        load_tokenizer(tmp_path)
    assert caught.value.where == str(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        load_tokenizer(tmp_path / "none")


def test_loading_says_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_tokenizer(folder).encode("x" * 5000)
    assert capfd.readouterr() == ("", "")
