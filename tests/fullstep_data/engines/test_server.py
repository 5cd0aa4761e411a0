"""The engine `server` against a real server on loopback: what is sent, what is made of an answer, whose fault a refusal is."""

import asyncio
import re
import signal
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from fullstep_data.config import SamplesConfig, ServerEngine
from fullstep_data.engines.protocol import Completion, Failure, Request, small_seed
from fullstep_data.engines.server import ServerGenerator, ServerTool
from fullstep_data.engines.server_calls import Caller
from fullstep_data.engines.tokenizer import load_tokenizer
from fullstep_data.samples import samples
from fullstep_data.stage import Context
from schemas import TABLES, InputError
from tests.fullstep_data.engines.loopback import Fault, Loopback, byte_tokenizer, loopback, nothing, slow, status
from tests.models import tiny_tokenizer

PROMPT = "Problem: 12 - 5 + 8 =\n"
OPENAI = {"model", "prompt", "max_tokens", "temperature", "top_p", "seed", "n", "stop"}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return byte_tokenizer(tmp_path_factory.mktemp("bytes"))


def engine(
    server: Loopback,
    tokenizer: Path | None,
    model: str = "scripted",
    timeout: float = 20.0,
    retries: int = 2,
    at_once: int = 8,
    pause: float = 0.02,
) -> ServerGenerator:
    """The engine with short pauses."""
    caller = Caller(server.url, server.key, timeout, retries, at_once, first_pause=pause)
    return ServerGenerator("server:test", model, caller, load_tokenizer(tokenizer) if tokenizer else None)


def requests(count: int, **settings: Any) -> list[Request]:
    return [Request(PROMPT, seed=seed, **{"max_tokens": 200, **settings}) for seed in range(count)]


def texts(results: list[Completion | Failure]) -> list[str]:
    assert all(isinstance(result, Completion) for result in results), results
    return [result.text for result in results if isinstance(result, Completion)]


def test_prompts_go_out_as_token_ids_and_settings_as_they_were_asked_for(tokenizer: Path) -> None:
    with loopback() as server:
        request = Request(PROMPT, seed=2**62 + 1, max_tokens=50, temperature=0.7, top_p=0.9, stop=("Step 2", "\n\n"))
        (result,) = engine(server, tokenizer).generate([request])
        (body,) = server.asked
    assert body["prompt"] == list(PROMPT.encode())
    assert (body["max_tokens"], body["temperature"], body["top_p"], body["stop"]) == (50, 0.7, 0.9, ["Step 2", "\n\n"])
    assert body["seed"] == small_seed(2**62 + 1) < 2**31
    # what a served model's generation config recommends is switched off
    assert (body["top_k"], body["min_p"], body["repetition_penalty"]) == (-1, 0.0, 1.0)
    assert body["stop_token_ids"] == [256]
    assert isinstance(result, Completion)
    assert result.token_ids == tuple(result.text.encode())


def test_text_prompts_use_nothing_that_openai_does_not_know() -> None:
    with loopback() as server:
        made = engine(server, None)
        (result,) = made.generate([Request(PROMPT, seed=1, max_tokens=50, stop=("Step 2",))])
        (body,) = server.asked
    assert set(body) == OPENAI
    assert body["prompt"] == PROMPT
    assert isinstance(result, Completion)
    assert result.token_ids is None
    assert result.tokens is None
    assert (result.finish_reason, result.prompt_tokens) == ("stop", len(PROMPT))
    assert made.render("Be brief.", "4 + 3", "auto") == "Be brief.\n\n4 + 3"
    with pytest.raises(InputError, match="sent as text"):
        made.render("", "4 + 3", "always")


def test_a_server_that_tells_neither_token_ids_nor_its_context(tokenizer: Path) -> None:
    with loopback(extras=False, max_model_len=None) as server:
        result, cut = engine(server, tokenizer).generate([requests(1)[0], Request(PROMPT, seed=0, max_tokens=4)])
    assert isinstance(result, Completion)
    assert isinstance(cut, Completion)
    assert (result.token_ids, result.finish_reason, result.prompt_tokens) == (None, "eos", len(PROMPT))
    assert cut.finish_reason == "length"


def test_samples_without_token_ids_are_rows_with_nulls() -> None:
    row = {"problem_id": "p", "question": "What is 4 - 1?", "answer": "3", "source": "t", "split": "train", "domain": "math"}
    config = SamplesConfig(engine=ServerEngine(url="http://h/v1"), samples=2, max_tokens=100)
    with loopback(extras=False) as server:
        tools = {"generator": engine(server, None)}
        outcome = samples(TABLES["problems"].frame([row]), Context(config, tools, {"first": 0, "last": 2}))
    rows = TABLES["samples"].check(outcome.rows, "test")
    assert rows["token_ids"].null_count() == rows["tokens"].null_count() == 2
    assert rows["prompt_tokens"].null_count() == 0


def test_requests_overlap_up_to_the_limit(tokenizer: Path) -> None:
    with loopback(fault=lambda body, nth: slow(0.05)) as server:
        limited = engine(server, tokenizer, at_once=3)
        texts(limited.generate(requests(12)))
        assert server.at_once == 3


def test_progress_tells_speed_cache_and_failures(tokenizer: Path) -> None:
    notes: list[str] = []
    with loopback() as server:
        made = engine(server, tokenizer, at_once=1)
        results = made.generate([*requests(3), Request("7" * 40_000, 1, 5)], lambda done, total, note="": notes.append(note))
    sampled = sum(len(result.text) for result in results if isinstance(result, Completion))
    # the server says that it had half of each prompt of 22 bytes
    assert (made.usage.sampled_tokens, made.usage.prompt_tokens, made.usage.cached_tokens) == (sampled, 66, 33)
    assert re.fullmatch(r"[\d,]+ tokens/s, cache 50 %", notes[2])
    assert re.fullmatch(r"[\d,]+ tokens/s, cache 50 %, 1 failed", notes[3])


@pytest.mark.parametrize(
    ("fault", "told"),
    [(status(429, {"Retry-After": "1"}), "server busy, waiting"), (status(500), "server error, trying again")],
)
def test_progress_tells_what_keeps_the_server_from_answering(fault: Fault, told: str, tokenizer: Path) -> None:
    """While nothing is done, and no longer once an answer is there."""
    notes: list[tuple[int, str]] = []
    with loopback(fault=lambda body, nth: fault if nth < 2 else None) as server:
        made = engine(server, tokenizer, at_once=1, pause=1.2)
        made.generate(requests(2), lambda done, total, note="": notes.append((done, note)))
    assert (0, told) in notes
    assert not [note for done, note in notes if done and told in note]


def test_a_server_without_completions_is_tried_again_and_then_the_request_fails(tokenizer: Path) -> None:
    """It answers other requests, the shortest one of its kind among them: so the request is at fault."""
    with loopback(
        fault=lambda body, nth: nothing if body["seed"] == small_seed(3) and body["max_tokens"] > 1 else None
    ) as server:
        results = engine(server, tokenizer).generate(requests(6))
        times = sum(body["seed"] == small_seed(3) and body["max_tokens"] > 1 for body in server.asked)
    assert results[3] == Failure("server gave fewer completions than asked after 3 tries", "0 of 1")
    assert len(texts(results[:3] + results[4:])) == 5
    assert times == 3


def test_a_server_error_on_one_request_is_a_reject_with_the_reason(tokenizer: Path) -> None:
    fault = status(500, message="CUDA error")
    with loopback(fault=lambda body, nth: fault if body["seed"] == small_seed(0) and body["max_tokens"] > 1 else None) as server:
        results = engine(server, tokenizer).generate(requests(3))
    assert results[0] == Failure("server error after 3 tries", "500: CUDA error")
    assert len(texts(results[1:])) == 2


@pytest.mark.parametrize("code", [500, 502, 400, 422])
def test_a_server_that_fails_every_request_stops_the_build(code: int, tokenizer: Path) -> None:
    with loopback(fault=lambda body, nth: status(code, message="no such field: top_k")) as server:
        with pytest.raises(InputError, match="the server fails: server") as caught:
            engine(server, tokenizer).generate(requests(20))
        assert any("no such field: top_k" in str(example) for example in caught.value.examples)
        assert "run the same command again" in caught.value.next_step


def test_an_answer_that_takes_too_long_is_asked_for_twice(tokenizer: Path) -> None:
    with loopback(
        fault=lambda body, nth: slow(60) if body["seed"] == small_seed(1) and body["max_tokens"] > 1 else None
    ) as server:
        results = engine(server, tokenizer, timeout=1.5, retries=7).generate(requests(3))
        assert sum(body["seed"] == small_seed(1) and body["max_tokens"] > 1 for body in server.asked) == 2
    assert results[1] == Failure("no answer in time after 2 tries", "none in 1.5 seconds")
    assert len(texts([results[0], results[2]])) == 2


def test_too_long_for_a_server_that_does_not_tell_its_context(tokenizer: Path) -> None:
    """The listing says nothing of a limit, the server has one all the same."""
    with loopback(max_model_len=300) as server:
        made = engine(server, tokenizer)
        made._context = None
        results = made.generate([Request("7 + 7 " * 60, seed=1, max_tokens=5), *requests(1)])
    assert results[0] == Failure("longer than the server's context", "400: This model's maximum context length is 300 tokens.")
    assert len(texts(results[1:])) == 1


def test_completions_are_shortened_to_the_room_that_a_prompt_leaves(tokenizer: Path) -> None:
    with loopback(max_model_len=len(PROMPT) + 5) as server:
        (result,) = engine(server, tokenizer).generate(requests(1))
    assert isinstance(result, Completion)
    assert result.token_ids is not None
    assert (len(result.token_ids), result.finish_reason) == (5, "length")


def test_an_unknown_model_is_told_with_those_that_there_are(tokenizer: Path) -> None:
    with loopback({"one": 0.1, "two": 0.2}) as server, pytest.raises(InputError, match="does not know the model three") as caught:
        engine(server, tokenizer, "three").generate(requests(4))
    assert list(caught.value.examples) == ["it serves one", "it serves two"]


def test_a_tokenizer_of_another_model_is_found_out(tmp_path: Path) -> None:
    tiny_tokenizer().save_pretrained(tmp_path)
    with loopback(fault=lambda body, nth: lambda handler: handler.answer(200, ANSWER)) as server:
        with pytest.raises(InputError, match="not that of the served model") as caught:
            engine(server, tmp_path).generate(requests(1))
        assert "Step 1: 4 + 3" in str(caught.value.examples[0])
        assert engine(server, None).generate(requests(1))  # as text it does not matter


ANSWER = {"choices": [{"text": "Step 1: 4 + 3 = 7", "finish_reason": "length", "token_ids": list(b"Step 1: 4 + 3 = 7")}]}


def test_an_interrupt_drops_what_is_in_flight(tokenizer: Path) -> None:
    with loopback(fault=lambda body, nth: slow(60) if nth else None) as server:
        made = engine(server, tokenizer, at_once=4)
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            made.generate(requests(40), lambda done, total, note: signal.raise_signal(signal.SIGINT))
        assert time.monotonic() - started < 30
        assert len(server.asked) < 10


def test_it_works_inside_the_event_loop_of_a_notebook(tokenizer: Path) -> None:
    async def cell() -> list[Completion | Failure]:
        return engine(server, tokenizer).generate(requests(2))

    with loopback() as server:
        assert len(texts(asyncio.run(cell()))) == 2


def test_the_identity_is_model_and_tokenizer_and_not_the_address(tokenizer: Path, tmp_path: Path) -> None:
    tool = ServerTool(ServerEngine(url="http://a/v1"), "m", str(tokenizer))
    moved = ServerTool(ServerEngine(url="http://b/v1", concurrency=2, retries=0, api_key_env="KEY"), "m", str(tokenizer))
    assert tool.identity({}) == moved.identity({})
    tiny_tokenizer().save_pretrained(tmp_path)
    others = [
        ServerTool(tool.config, "n", str(tokenizer)),
        ServerTool(tool.config, "m", str(tmp_path)),
        ServerTool(tool.config, "m", None),
    ]
    assert len({tool.identity({}), *(other.identity({}) for other in others)}) == 4


def test_a_model_that_the_server_names_by_a_path_is_told_without_its_folders() -> None:
    """The identity stands in rows that are published."""
    config = ServerEngine(url="http://a/v1", prompts="text")
    one, other = (ServerTool(config, f"/home/{user}/models/x.gguf", None).identity({}) for user in ("ann", "bob"))
    assert one.startswith("server:x.gguf-")
    assert "home" not in one
    assert one != other


@pytest.mark.parametrize("value", [None, "", "  ", "schlüssel", "a\nb"])
def test_a_variable_that_holds_no_key(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is None:
        monkeypatch.delenv("MY_KEY", raising=False)
    else:
        monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(InputError, match="environment variable MY_KEY holds no API key") as caught:
        ServerTool(ServerEngine(url="http://127.0.0.1:9/v1", api_key_env="MY_KEY"), "m", None).open({})
    assert not value or not value.strip() or value not in str(caught.value)


def test_frames_of_samples_know_lists_and_nulls() -> None:
    """Engines may mix: some samples with ids, some without."""
    row = {"problem_id": "p", "seed": 1, "prompt": "", "text": "", "finish_reason": "eos", "prompt_tokens": 1, "sampler": "s"}
    rows = [
        row | {"sample_index": 0, "token_ids": (1, 2), "tokens": 2},
        row | {"sample_index": 1, "token_ids": None, "tokens": None},
    ]
    assert TABLES["samples"].frame(rows)["token_ids"].to_list() == [[1, 2], None]
    assert TABLES["samples"].frame(rows)["token_ids"].dtype == pl.List(pl.Int32)


def test_a_judge_is_asked_for_log_probs_of_one_token(tokenizer: Path) -> None:
    with loopback() as server:
        for asked, prompt in ((tokenizer, list(PROMPT.encode())), (None, PROMPT)):
            (told,) = engine(server, asked).next_tokens([PROMPT], 7)
            body = server.asked[-1]
            assert (body["prompt"], body["max_tokens"], body["logprobs"], body["temperature"]) == (prompt, 1, 7, 0.0)
            assert isinstance(told, tuple)
            assert told[0][1] == 0.0


def test_tokens_beyond_those_asked_for_are_left_out(tokenizer: Path) -> None:
    """vLLM adds the sampled token to the most probable ones."""
    logprobs = {"top_logprobs": [{"b": -2.0, "a": -0.5, "c": -3.0}]}
    answer = {"choices": [{"text": "a", "logprobs": logprobs}]}
    with loopback(fault=lambda body, nth: lambda handler: handler.answer(200, answer)) as server:
        assert engine(server, tokenizer).next_tokens([PROMPT], 2) == [(("a", -0.5), ("b", -2.0))]


def test_a_server_without_log_probs_can_be_no_judge(tokenizer: Path) -> None:
    with loopback(extras=False) as server, pytest.raises(InputError, match="tells no log-probs") as caught:
        engine(server, tokenizer).next_tokens([PROMPT], 5)
    assert "the engine hf for the judge" in caught.value.next_step


def test_a_stop_string_that_a_server_leaves_in_is_cut_off() -> None:
    """transformers serve ends the text behind it."""
    answer = {"choices": [{"text": "Step 1: 7. Step 2: 8", "finish_reason": "stop"}]}
    with loopback(fault=lambda body, nth: lambda handler: handler.answer(200, answer)) as server:
        made = engine(server, None)
        (cut,) = made.generate(requests(1, stop=("8", "Step 2")))
        (whole,) = made.generate(requests(1, stop=("never",)))
    assert cut == Completion("Step 1: 7. ", None, "stop", None)
    assert whole == Completion("Step 1: 7. Step 2: 8", None, "eos", None)


LLAMA = {"id": "tiny", "aliases": [], "owned_by": "llamacpp", "meta": {"n_ctx": 64}}


def test_llama_cpp_is_asked_at_its_own_endpoint(tokenizer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of models gives it away; it would answer under any name, so that is looked up."""
    monkeypatch.setattr("tests.fullstep_data.engines.loopback.Handler.do_GET", lambda self: self.answer(200, {"data": [LLAMA]}))
    said = {"content": "Step 1", "tokens": list(b"Step 1"), "stop_type": "limit", "tokens_evaluated": 22}
    paths: list[str] = []

    def fault(body: dict[str, Any], nth: int) -> Any:
        def tell(handler: Any) -> None:
            paths.append(handler.path)
            handler.answer(200, said)

        return tell

    with loopback(fault=fault) as server:
        (made,) = engine(server, tokenizer, "tiny").generate(requests(1))
        long = engine(server, tokenizer, "tiny").generate([Request("7" * 64, 1, 5)])
        with pytest.raises(InputError, match="does not know the model huge") as caught:
            engine(server, tokenizer, "huge")
    assert made == Completion("Step 1", tuple(b"Step 1"), "length", 22)
    assert paths == ["/completion"]
    assert long == [Failure("prompt longer than the context", "64 tokens; the server reads 64")]
    assert list(caught.value.examples) == ["it serves tiny"]
