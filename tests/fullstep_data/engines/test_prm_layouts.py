"""What published PRMs read, against their model cards' way of making it, and what a tokenizer or a text may lack."""

from pathlib import Path
from typing import Any

import pytest

from fullstep_data.config import MathShepherdFormat, PublicFormat, QwenFormat, RLHFlowFormat, SkyworkFormat
from fullstep_data.engines.prm_layouts import HOLDS_TAG, TOO_LONG, Layout, reader, token_of, verdict_tokens
from schemas import InputError
from tests.fullstep_data.engines import real_tokenizers
from tests.fullstep_data.engines.public_prms import STEPS, TAGS, TURNS, asked
from tests.models import CHATML, tiny_tokenizer

FORMATS: list[PublicFormat] = [MathShepherdFormat(), RLHFlowFormat(), SkyworkFormat(), QwenFormat()]
TOKENIZER = tiny_tokenizer((*TAGS, *TURNS), CHATML)
PLAIN = [step.strip() for step in STEPS]
QUESTION = "What is 4 + 3 - 2?"


def laid_out(form: PublicFormat, tokenizer: Any = TOKENIZER, **changed: Any) -> Layout:
    made = reader(form, tokenizer, None)(asked(**changed))
    assert isinstance(made, Layout), made
    return made


def shown(layout: Layout) -> str:
    return TOKENIZER.decode(list(layout.ids))


def test_math_shepherd_has_a_tag_behind_each_step_and_is_judged_there() -> None:
    layout = laid_out(MathShepherdFormat())
    text = f"{QUESTION} {PLAIN[0]} ки\n{PLAIN[1]} ки\n{PLAIN[2]} ки"
    assert list(layout.ids) == TOKENIZER(text)["input_ids"]
    tag = TOKENIZER.convert_tokens_to_ids("ки")
    assert [layout.ids[place] for place in layout.places] == [tag] * 3


def test_rlhflow_is_judged_before_each_answer_as_if_asked_step_by_step() -> None:
    """The card asks about a chat that ends with the step's answer, and reads the third token from the end."""
    layout = laid_out(RLHFlowFormat())
    turns: list[dict[str, str]] = []
    for number, step in enumerate(PLAIN):
        turns.append({"role": "user", "content": step if number else f"{QUESTION} {step}"})
        turns.append({"role": "assistant", "content": "+"})
        ids = TOKENIZER(TOKENIZER.apply_chat_template(turns, tokenize=False), add_special_tokens=False)["input_ids"]
        assert list(layout.ids[: len(ids)]) == ids
        assert layout.places[number] == len(ids) - 3
        assert TOKENIZER.decode(ids[-2:]) == "+</s>"


def test_skywork_s_steps_are_tokens_by_themselves_each_with_its_line_end() -> None:
    layout = laid_out(SkyworkFormat())
    (line_end,) = TOKENIZER("\n")["input_ids"]
    ids = TOKENIZER(f"<s>{QUESTION}\n", add_special_tokens=False)["input_ids"]
    places = []
    for step in PLAIN:
        ids += [*TOKENIZER(step)["input_ids"], line_end]
        places.append(len(ids) - 1)
    assert (list(layout.ids), list(layout.places)) == (ids, places)


def test_qwen_s_answer_is_one_turn_with_a_tag_behind_each_step() -> None:
    layout = laid_out(QwenFormat(system="Be brief."))
    answer = "".join(f"{step}<extra_0>" for step in PLAIN)
    assert shown(layout) == f"<|system|>Be brief.</s><|user|>{QUESTION}</s><|assistant|>{answer}</s>"
    tag = TOKENIZER.convert_tokens_to_ids("<extra_0>")
    assert [layout.ids[place] for place in layout.places] == [tag] * 3
    assert "put your final answer within \\boxed{}" in shown(laid_out(QwenFormat()))


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.kind)
def test_every_step_has_a_place_whatever_stands_between_steps(form: PublicFormat) -> None:
    for count in (1, 2, 3):
        layout = laid_out(form, count=count)
        assert len(layout.places) == count
        assert list(layout.places) == sorted(set(layout.places))


@pytest.mark.parametrize(("form", "tag"), [(MathShepherdFormat(), "ки"), (QwenFormat(), "<extra_0>")])
def test_a_text_with_the_tag_in_it_is_refused(form: PublicFormat, tag: str) -> None:
    read = reader(form, TOKENIZER, None)
    assert read(asked(question=f"What is {tag}?")) == HOLDS_TAG
    assert read(asked(text=f"a {tag}", stops=(4 + len(tag) - 2,))) == HOLDS_TAG


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.kind)
def test_a_solution_longer_than_the_context_is_refused(form: PublicFormat) -> None:
    length = len(laid_out(form).ids)
    assert isinstance(reader(form, TOKENIZER, length)(asked()), Layout)
    assert reader(form, TOKENIZER, length - 1)(asked()) == TOO_LONG


def test_tags_of_one_s_own_are_looked_up() -> None:
    """An option's effect: another tag, other verdicts, another separator."""
    tag = TOKENIZER.convert_tokens_to_ids("<extra_0>")
    layout = laid_out(MathShepherdFormat(tag="<extra_0>"))
    assert layout.ids[layout.places[0]] == tag
    assert verdict_tokens(MathShepherdFormat(good="1", bad="0"), TOKENIZER) == tuple(TOKENIZER("10")["input_ids"])
    assert verdict_tokens(RLHFlowFormat(good="1"), TOKENIZER)[0] == TOKENIZER("1")["input_ids"][0]
    other = laid_out(SkyworkFormat(separator="<extra_0>"))
    assert other.ids[other.places[0]] == tag
    assert shown(laid_out(RLHFlowFormat(good="1"))).count("<|assistant|>1</s>") == 3


def test_a_tokenizer_without_the_tag_is_refused_and_says_how_it_writes_it() -> None:
    bare = tiny_tokenizer(chat_template=CHATML)
    for form in (MathShepherdFormat(), QwenFormat()):
        with pytest.raises(InputError, match=f"has no token '{form.tag}'") as caught:
            reader(form, bare, None)
        assert "it writes" in str(caught.value.examples[0])
    with pytest.raises(InputError, match="has no token 'good'"):
        token_of(TOKENIZER, "good", MathShepherdFormat())


def test_a_tokenizer_without_a_chat_template_is_refused() -> None:
    bare = tiny_tokenizer((*TAGS, *TURNS))
    for form in (RLHFlowFormat(), QwenFormat()):
        with pytest.raises(InputError, match="has no chat template"):
            laid_out(form, bare)


def test_a_chat_template_that_does_not_open_turns_is_refused() -> None:
    closed = tiny_tokenizer(TURNS, "{% for message in messages %}{{ message['content'] + ' and ' }}{% endfor %}")
    with pytest.raises(InputError, match="does not write its answers as turns of their own"):
        laid_out(RLHFlowFormat(), closed)


# With the tokenizers of the published models themselves (in the environment of `make test-vllm`)


@pytest.mark.vllm
def test_math_shepherd_s_tokens_are_those_that_its_card_names(tmp_path: Path) -> None:
    """The card: candidate_tokens = [648, 387], step_tag_id = 12902."""
    tokenizer = real_tokenizers.mistral(tmp_path)
    assert verdict_tokens(MathShepherdFormat(), tokenizer) == (648, 387)
    assert token_of(tokenizer, "ки", MathShepherdFormat()) == 12902
    layout = laid_out(MathShepherdFormat(), tokenizer)
    assert layout.ids[0] == tokenizer.bos_token_id
    assert [layout.ids[place] for place in layout.places] == [12902] * 3


@pytest.mark.vllm
def test_rlhflow_is_judged_at_the_blank_line_before_each_answer() -> None:
    """The third token from the end of a chat that ends with an answer: `\n\n`, then `+`, then the end of the turn."""
    tokenizer = real_tokenizers.llama_3()
    assert verdict_tokens(RLHFlowFormat(), tokenizer) == (10, 12)
    layout = laid_out(RLHFlowFormat(), tokenizer)
    end = tokenizer.convert_tokens_to_ids("<|eot_id|>")
    assert [list(layout.ids[place : place + 3]) for place in layout.places] == [[271, 10, end]] * 3


@pytest.mark.vllm
def test_qwen_s_and_skywork_s_steps_end_in_their_tags() -> None:
    tokenizer = real_tokenizers.qwen()
    tag = tokenizer.convert_tokens_to_ids("<extra_0>")
    for form, token in ((QwenFormat(), tag), (SkyworkFormat(), 198)):  # 198: a line end
        layout = laid_out(form, tokenizer)
        assert [layout.ids[place] for place in layout.places] == [token] * 3
        starts = [0, *(place + 1 for place in layout.places)]
        steps = [tokenizer.decode(layout.ids[start:place]) for start, place in zip(starts, layout.places, strict=False)]
        assert steps[1:] == PLAIN[1:]
        assert steps[0].endswith(PLAIN[0])
