"""How servers are asked and what their answers say; the answers are those of real servers, shortened."""

from typing import Any

import pytest

from fullstep_data.engines.protocol import Request, small_seed
from fullstep_data.engines.server_dialects import Answer, LlamaCpp, OpenAI, context_of, dialect_of, names_of

REQUEST = Request("4 + 3 =", seed=2**62 + 1, max_tokens=50, temperature=0.7, top_p=0.9, stop=("Step 2", "\n\n"))
VLLM_ENTRY = {"id": "tiny", "object": "model", "owned_by": "vllm", "max_model_len": 512}
LLAMA_ENTRY = {"id": "tiny", "aliases": ["small"], "owned_by": "llamacpp", "meta": {"n_ctx": 1024, "n_ctx_train": 512}}


def llama_answer(**changed: Any) -> dict[str, Any]:
    answer = {
        "content": " seven",
        "tokens": [5, 6, 1],
        "tokens_predicted": 3,
        "tokens_evaluated": 22,
        "stop_type": "eos",
        "stopping_word": "",
        "timings": {"cache_n": 16, "prompt_n": 6},
    }
    return answer | changed


def test_the_list_of_models_tells_who_is_there() -> None:
    assert dialect_of([VLLM_ENTRY], tokens=True) == OpenAI(tokens=True)
    assert dialect_of([], tokens=False) == OpenAI(tokens=False)
    assert dialect_of([LLAMA_ENTRY], tokens=True) == dialect_of([LLAMA_ENTRY], tokens=False) == LlamaCpp()


def test_the_list_of_models_tells_their_context_and_names() -> None:
    assert (context_of(VLLM_ENTRY), context_of(LLAMA_ENTRY), context_of({"id": "x"})) == (512, 1024, None)
    assert (names_of(VLLM_ENTRY), names_of(LLAMA_ENTRY)) == (["tiny"], ["tiny", "small"])


def test_llama_cpp_samples_at_the_temperature_before_it_cuts() -> None:
    """Its own order is the other way round: the same top_p would keep other tokens than vLLM and transformers keep."""
    body = LlamaCpp().body("tiny", REQUEST, [4, 5], limit=9, ends=[1])
    assert body["samplers"] == ["temperature", "top_p"]
    assert (body["prompt"], body["n_predict"], body["temperature"], body["top_p"]) == ([4, 5], 9, 0.7, 0.9)
    assert (body["stop"], body["seed"], body["return_tokens"]) == (["Step 2", "\n\n"], small_seed(2**62 + 1), True)
    assert LlamaCpp().judged(7) == {"n_probs": 7}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (llama_answer(), Answer(" seven", [5, 6], "eos", 22, 16, 3)),  # the end token, whichever it was, is left out
        (llama_answer(stop_type="word", stopping_word="Step 2"), Answer(" seven", [5, 6, 1], "stop", 22, 16, 3)),
        (llama_answer(stop_type="limit"), Answer(" seven", [5, 6, 1], "length", 22, 16, 3)),
        (llama_answer(tokens=[], content="", tokens_predicted=0, stop_type="limit"), Answer("", [], "length", 22, 16, 0)),
        ({"content": "an old one", "stop_type": "limit"}, Answer("an old one", None, "length", None, None, None)),
    ],
)
def test_what_llama_cpp_says_of_a_completion(answer: dict[str, Any], expected: Answer) -> None:
    assert LlamaCpp().read(answer) == expected


def test_what_llama_cpp_says_of_next_tokens_is_read_by_their_ids() -> None:
    """The text of half a character is the same for all halves."""
    ranked = [{"id": 9, "token": "\ufffd", "logprob": -0.5}, {"id": 8, "token": "\ufffd", "logprob": -1.5}]
    answer = llama_answer(completion_probabilities=[{"id": 9, "top_logprobs": ranked}])
    assert LlamaCpp().next_tokens(answer, lambda ids: f"<{ids[0]}>") == (("<9>", -0.5), ("<8>", -1.5))
    assert LlamaCpp().next_tokens(answer, None) == (("\ufffd", -0.5), ("\ufffd", -1.5))
    with pytest.raises(KeyError):
        LlamaCpp().next_tokens(llama_answer(), None)


def test_openai_s_fields_are_all_that_text_prompts_use() -> None:
    plain, more = (OpenAI(tokens).body("tiny", REQUEST, "4 + 3 =", limit=9, ends=[1]) for tokens in (False, True))
    assert set(plain) == {"model", "prompt", "max_tokens", "temperature", "top_p", "seed", "n", "stop"}
    assert set(more) - set(plain) == {
        "top_k",
        "min_p",
        "repetition_penalty",
        "repeat_penalty",
        "return_token_ids",
        "stop_token_ids",
    }


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"finish_reason": "length"}, "length"),
        ({"finish_reason": "stop", "stop_reason": "Step 2"}, "stop"),  # vLLM
        ({"finish_reason": "stop", "stop_reason": None}, "eos"),
        ({"finish_reason": "stop", "stop_reason": 1}, "eos"),  # vLLM: one of stop_token_ids
        ({"finish_reason": "stop", "matched_stop": "Step 2"}, "stop"),  # SGLang
        ({"finish_reason": "stop"}, "eos"),
    ],
)
def test_why_a_text_ended(choice: dict[str, Any], reason: str) -> None:
    assert OpenAI(tokens=True).read({"choices": [{"text": "7", **choice}]}).reason == reason


def test_what_an_openai_server_says_of_tokens() -> None:
    used = {"prompt_tokens": 22, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 16}}
    answer = {"choices": [{"text": "7", "finish_reason": "length", "token_ids": [5]}], "usage": used}
    assert OpenAI(tokens=True).read(answer) == Answer("7", [5], "length", 22, 16, 3)
    assert OpenAI(tokens=True).read({"choices": [{"text": None}]}) == Answer("", None, "eos", None, None, None)
    top = {"choices": [{"logprobs": {"top_logprobs": [{"b": -2.0, "a": -0.5}]}}]}
    assert OpenAI(tokens=True).next_tokens(top, None) == (("a", -0.5), ("b", -2.0))
