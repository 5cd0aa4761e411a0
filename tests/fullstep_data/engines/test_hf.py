"""The engine `hf` on tiny models: exact sampling, padding in the middle, ends of texts, what a model folder may lack."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from scipy.stats import chisquare
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForTokenClassification,
    MistralConfig,
    MistralForCausalLM,
)

from fullstep_data.config import HFEngine
from fullstep_data.engines.hf import HFGenerator, HFGeneratorTool, _nucleus
from fullstep_data.engines.model_files import model_identity
from fullstep_data.engines.protocol import Completion, Failure, Request
from schemas import InputError
from tests.models import CHATML, tiny_model, tiny_tokenizer

PROMPT = "Problem: 4 + 3 - 2 =\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("hf") / "model")


@pytest.fixture(scope="module")
def engine(folder: Path) -> HFGenerator:
    return HFGenerator(folder, batch_size=8)


def completed(engine: HFGenerator, requests: list[Request]) -> list[Completion]:
    results = engine.generate(requests)
    assert all(isinstance(result, Completion) for result in results), results
    return [result for result in results if isinstance(result, Completion)]


def next_token_probabilities(folder: Path, prompt: str, temperature: float) -> numpy.ndarray:
    """softmax(logits / T) of the token after the prompt, from a plain forward pass."""
    ids = torch.tensor([tiny_tokenizer()(prompt, add_special_tokens=False)["input_ids"]])
    with torch.inference_mode():
        logits = AutoModelForCausalLM.from_pretrained(folder)(ids).logits[0, -1]
    return torch.softmax(logits.double() / temperature, dim=-1).numpy()


def first_tokens(engine: HFGenerator, count: int, **settings: Any) -> Counter[int]:
    """How often each token came first in `count` samples (-1: the end token)."""
    results = completed(engine, [Request(PROMPT, seed=seed, max_tokens=1, **settings) for seed in range(count)])
    return Counter(result.token_ids[0] if result.token_ids else -1 for result in results)


def chi_square_p(drawn: Counter[int], probabilities: numpy.ndarray, end_id: int) -> float:
    """Fit of the draws to the distribution: tokens expected at least five times each, all others in one class."""
    count = drawn.total()
    drawn = Counter({end_id if token == -1 else token: number for token, number in drawn.items()})
    common = [token for token, share in enumerate(probabilities) if share * count >= 5]
    rest = 1 - probabilities[common].sum()
    observed = [drawn[token] for token in common] + ([count - sum(drawn[token] for token in common)] if rest * count > 1 else [])
    expected = [probabilities[token] * count for token in common] + ([rest * count] if rest * count > 1 else [])
    return float(chisquare(observed, numpy.array(expected) * sum(observed) / sum(expected)).pvalue)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_first_tokens_follow_the_model_s_distribution(folder: Path, engine: HFGenerator, temperature: float) -> None:
    end_id = tiny_tokenizer().eos_token_id
    drawn = first_tokens(engine, 800, temperature=temperature)
    assert len(drawn) > 20
    assert chi_square_p(drawn, next_token_probabilities(folder, PROMPT, temperature), end_id) > 0.01
    # The same draws do not fit another temperature: the test can tell.
    assert chi_square_p(drawn, next_token_probabilities(folder, PROMPT, 1.5 * temperature), end_id) < 0.01


def test_top_p_keeps_the_smallest_set_of_tokens_that_holds_the_mass(folder: Path, engine: HFGenerator) -> None:
    probabilities = next_token_probabilities(folder, PROMPT, 1.0)
    order = numpy.argsort(-probabilities)
    nucleus = order[: int((probabilities[order].cumsum() < 0.5).sum()) + 1]
    drawn = first_tokens(engine, 800, top_p=0.5)
    assert set(drawn) <= set(nucleus.tolist())
    inside = numpy.zeros_like(probabilities)
    inside[nucleus] = probabilities[nucleus] / probabilities[nucleus].sum()
    assert chi_square_p(drawn, inside, tiny_tokenizer().eos_token_id) > 0.01


def test_a_nucleus_by_hand() -> None:
    # mass before each token, most probable first: 0, 0.5, 0.8, 0.95
    row = torch.tensor([0.15, 0.5, 0.05, 0.3])
    kept = _nucleus(row.repeat(4, 1), torch.tensor([[0.4], [0.6], [0.85], [1.0]]))
    assert (kept > 0).tolist() == [
        [False, True, False, False],  # 0 < 0.4 <= 0.5
        [False, True, False, True],  # 0.5 < 0.6 <= 0.8
        [True, True, False, True],  # 0.8 < 0.85 <= 0.95
        [True, True, True, True],
    ]
    assert torch.equal(kept[3], row)


def test_a_vanishing_temperature_is_greedy(engine: HFGenerator) -> None:
    greedy, cold = completed(engine, [Request(PROMPT, 1, 20, temperature=t) for t in (0.0, 1e-6)])
    assert greedy == cold


def test_padding_in_the_middle_changes_no_token(folder: Path) -> None:
    """Greedy output in one padded batch, token by token that of transformers' own unpadded loop (float32)."""
    start = "Problem: How many apples are left? "
    prompts = [start + tail for tail in ("", "4", "4 + 3 - 2 and 12 * 3 = 36", "6 - 2 =", "She gives away 2.")]
    prompts += ["Another start: 7 - 2", "Problem"]
    tokenizer, model = tiny_tokenizer(), AutoModelForCausalLM.from_pretrained(folder)
    plain = []
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
        sequence = model.generate(ids, do_sample=False, max_new_tokens=30)[0, ids.shape[1] :].tolist()
        plain.append(tuple(sequence[:-1] if sequence[-1] == tokenizer.eos_token_id else sequence))
    assert len(set(plain)) == len(prompts)
    for together in (
        prompts,
        prompts[:5],
        prompts[:2],
    ):  # no common prefix, a common prefix, one row all of whose tokens but one are common
        requests = [Request(prompt, 0, 30, temperature=0.0) for prompt in together]
        batched = completed(HFGenerator(folder, batch_size=8), requests)
        assert [result.token_ids for result in batched] == plain[: len(together)]


def test_rows_that_end_early_leave_the_others_unchanged(engine: HFGenerator) -> None:
    """The batch shrinks whenever half of it has ended; limits of 1 to 64 tokens make it shrink again and again."""
    requests = [Request(f"{PROMPT}{index % 3}", index, max_tokens=2 ** (index % 7)) for index in range(8)]
    assert completed(engine, requests) == [completed(engine, [request])[0] for request in requests]


def test_batches_are_part_of_the_identity_and_not_of_float32_samples(folder: Path, engine: HFGenerator) -> None:
    requests = [Request(PROMPT + "x" * index, index, 20) for index in range(10)]
    other = HFGenerator(folder, batch_size=3)
    assert completed(other, requests) == completed(engine, requests)
    assert other.identity != engine.identity


def test_models_with_sliding_windows_are_padded_on_the_left(tmp_path: Path) -> None:
    """Their caches cannot have a gap, so nothing is shared: the same samples alone and together all the same."""
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=8,
        initializer_range=0.2,
    )
    MistralForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    engine = HFGenerator(tmp_path, batch_size=8)
    requests = [Request(PROMPT + "12 " * (index % 3), index, 12 + index) for index in range(6)]
    assert completed(engine, requests) == [completed(engine, [request])[0] for request in requests]


def test_what_a_model_recommends_does_not_bend_the_distribution(folder: Path, engine: HFGenerator, tmp_path: Path) -> None:
    bent = shutil.copytree(folder, tmp_path / "bent")
    settings = json.loads((bent / "generation_config.json").read_text())
    settings |= {"do_sample": True, "top_k": 1, "temperature": 0.1, "repetition_penalty": 5.0, "max_length": 3}
    (bent / "generation_config.json").write_text(json.dumps(settings))
    requests = [Request(PROMPT, seed, 20) for seed in range(4)]
    assert completed(HFGenerator(bent, 8), requests) == completed(engine, requests)


def test_an_end_token_that_only_the_generation_config_names_ends_a_text(
    folder: Path, engine: HFGenerator, tmp_path: Path
) -> None:
    requests = [Request(PROMPT, seed, 30) for seed in range(8)]
    free = completed(engine, requests)
    (end_id, _), *_ = Counter(token for result in free for token in result.token_ids).most_common(1)
    chatty = shutil.copytree(folder, tmp_path / "chatty")
    settings = json.loads((chatty / "generation_config.json").read_text())
    (chatty / "generation_config.json").write_text(json.dumps(settings | {"eos_token_id": [1, end_id]}))
    for result, before in zip(completed(HFGenerator(chatty, 8), requests), free, strict=True):
        if end_id in before.token_ids:
            assert result.token_ids == before.token_ids[: before.token_ids.index(end_id)]
            assert result.finish_reason == "eos"
        else:
            assert result == before


def test_a_completion_ends_where_the_context_ends(tmp_path: Path) -> None:
    engine = HFGenerator(tiny_model(tmp_path, context=32), batch_size=4)
    room = 32 - len(tiny_tokenizer()(PROMPT, add_special_tokens=False)["input_ids"])
    stopped = [
        result for result in completed(engine, [Request(PROMPT, s, 100) for s in range(6)]) if result.finish_reason == "length"
    ]
    assert stopped
    assert {len(result.token_ids) for result in stopped} == {room}


def test_an_empty_prompt_is_a_failure(engine: HFGenerator) -> None:
    assert engine.generate([Request("", 1, 5)]) == [Failure("prompt without tokens")]


def test_a_model_whose_numbers_are_broken_is_a_failure(folder: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.model.norm.weight.fill_(torch.nan)
    broken = shutil.copytree(folder, tmp_path / "broken")
    model.save_pretrained(broken)
    for temperature in (0.0, 1.0):
        (result,) = HFGenerator(broken).generate([Request(PROMPT, 1, 5, temperature=temperature)])
        assert isinstance(result, Failure)
        assert result.reason == "model gave no probabilities"


def test_chat_templates_are_used_where_there_is_one_and_it_is_wanted(folder: Path, engine: HFGenerator, tmp_path: Path) -> None:
    chat = HFGenerator(tiny_model(tmp_path / "chat", chat_template=CHATML))
    assert chat.render("Be brief.", "4 + 3", "auto") == "<|system|>Be brief.</s><|user|>4 + 3</s><|assistant|>"
    assert chat.render("", "4 + 3", "always") == "<|user|>4 + 3</s><|assistant|>"
    assert chat.render("", "4 + 3", "never") == "4 + 3"
    with pytest.raises(InputError, match=r'chat = "always".*has none') as error:
        engine.render("", "4 + 3", "always")
    assert 'chat = "auto"' in error.value.next_step


def test_a_chat_template_that_refuses_a_system_text_is_the_user_s_to_mend(tmp_path: Path) -> None:
    refuse = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    template = refuse + "{{ messages[0]['content'] }}"
    engine = HFGenerator(tiny_model(tmp_path, chat_template=template))
    assert engine.render("", "4 + 3", "auto") == "4 + 3"
    with pytest.raises(InputError, match="no system role"):
        engine.render("Be brief.", "4 + 3", "auto")


def test_a_tokenizer_that_begins_texts_with_a_token_has_it_in_the_prompt(folder: Path, tmp_path: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    copy = shutil.copytree(folder, tmp_path / "bos")
    tokenizer.save_pretrained(copy)
    engine = HFGenerator(copy)
    prompt = engine.render("", "4 + 3", "auto")
    assert prompt == "<s>4 + 3"
    # and it is there once
    (result,) = completed(engine, [Request(prompt, 1, 1)])
    assert result.prompt_tokens == 1 + len(tiny_tokenizer()("4 + 3", add_special_tokens=False)["input_ids"])


def test_the_tool_has_the_identity_of_what_it_opens(folder: Path) -> None:
    tool = HFGeneratorTool(HFEngine(batch_size=4, dtype="float32"), str(folder))
    assert tool.identity({}) == tool.open({}).identity
    assert tool.identity({}) == f"hf:{model_identity(folder)}:float32:batch4"


# peft 0.21 asks transformers 5.23 for a name that is on its way out
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_an_adapter_is_its_base_with_a_change(folder: Path, engine: HFGenerator, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    def adapted(base: Path, name: str) -> Path:
        torch.manual_seed(0)
        lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
        get_peft_model(AutoModelForCausalLM.from_pretrained(base), lora).save_pretrained(tmp_path / name)
        tiny_tokenizer().save_pretrained(tmp_path / name)
        return tmp_path / name

    first = adapted(folder, "first")
    second = adapted(shutil.copytree(folder, tmp_path / "moved"), "second")
    assert model_identity(first) == model_identity(second)
    assert model_identity(first) != model_identity(folder)
    requests = [Request(PROMPT, seed, 20) for seed in range(4)]
    assert completed(HFGenerator(first), requests) != completed(engine, requests)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "model path does not exist"),
        (lambda path: path.write_text("GGUF"), "is a file, not a folder"),
        (lambda path: path.mkdir(), "no config.json"),
        (lambda path: (path.mkdir(), (path / "config.json").write_text("{}")), "no weights"),
    ],
)
def test_a_model_that_is_not_there_is_one_clear_error(make: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model"
    make(path)
    for attempt in (lambda: HFGenerator(path), lambda: HFGeneratorTool(HFEngine(), str(path)).identity({})):
        with pytest.raises(InputError, match=message) as error:
            attempt()
        assert str(path) in error.value.where
        assert error.value.next_step


def test_a_damaged_weights_file_is_one_clear_error(folder: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(InputError, match="model cannot be loaded"):
        HFGenerator(damaged)


def test_a_folder_without_a_tokenizer_is_one_clear_error(folder: Path, tmp_path: Path) -> None:
    for file in ("config.json", "model.safetensors"):
        shutil.copy(folder / file, tmp_path / file)
    with pytest.raises(InputError, match="model cannot be loaded"):
        HFGenerator(tmp_path)


def test_a_classifier_is_no_generator(folder: Path, tmp_path: Path) -> None:
    """Its missing output layer must not be made up."""
    LlamaForTokenClassification(LlamaConfig.from_pretrained(folder)).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="lacks weights") as error:
        HFGenerator(tmp_path)
    assert list(error.value.examples) == ["lm_head.weight"]


def test_loading_and_sampling_say_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    HFGenerator(folder).generate([Request(PROMPT * 20, 1, 5), Request("x" * 5000, 1, 5)])
    assert capfd.readouterr() == ("", "")


def test_next_tokens_are_those_of_a_plain_forward_pass(folder: Path, engine: HFGenerator, tmp_path: Path) -> None:
    """Of prompts of several lengths in one batch, with and without a cache that may have gaps."""
    prompts = [PROMPT, PROMPT + "4 + 3 = 7. " * 3, "Problem: 12 * 3 =", PROMPT]
    for prompt, told in zip(prompts, engine.next_tokens(prompts, 6), strict=True):
        assert isinstance(told, tuple)
        expected = numpy.sort(next_token_probabilities(folder, prompt, 1.0))[::-1][:6]
        assert [logprob for _, logprob in told] == pytest.approx(numpy.log(expected).tolist(), abs=1e-4)
    other = HFGenerator(folder, batch_size=8)
    other._shares_prompts = False  # as with sliding windows
    for told, plain in zip(engine.next_tokens(prompts, 6), other.next_tokens(prompts, 6), strict=True):
        assert [logprob for _, logprob in told] == pytest.approx([logprob for _, logprob in plain], abs=1e-4)
