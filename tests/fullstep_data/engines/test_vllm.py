"""The engine `vllm`: what can be told without it, and (marked `vllm`, run by `make test-vllm`) vLLM itself on a tiny model.

The conformance suite runs over it too (test_conformance.py). Here: seeds, the prefix cache, what it refuses, and the engine
`server` against the server that vLLM brings along.
"""

import importlib.util
import json
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fullstep_data.config import ServerEngine, VLLMEngine
from fullstep_data.engines.protocol import Completion, Failure, Request
from fullstep_data.engines.server import ServerGenerator, ServerTool
from fullstep_data.engines.vllm import VLLMGenerator, VLLMTool
from schemas import InputError
from schemas.ids import sample_seed
from tests.fullstep_data.engines.one_vllm import OneVLLM, close
from tests.fullstep_data.engines.served import served
from tests.models import tiny_model

PROMPT = "Problem: State the final answer to the following arithmetic problem: 4 + 3 - 2 =\n"
CONFIG = VLLMEngine(dtype="float32", eager=True)
KEY = "a-key-that-nobody-guesses"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("vllm") / "model", hidden=128)


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_the_extra_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match="needs the package vllm") as caught:
        VLLMTool(CONFIG, str(folder)).open({})
    assert 'pip install "fullstep[vllm]"' in caught.value.next_step


def test_the_identity_counts_what_decides_a_sample(folder: Path, tmp_path: Path) -> None:
    identity = VLLMTool(CONFIG, str(folder)).identity({})
    same = {"gpu_memory_utilization": 0.5, "tensor_parallel": 2, "eager": False}
    assert VLLMTool(CONFIG.model_copy(update=same), str(folder)).identity({}) == identity
    changed = [CONFIG.model_copy(update=update) for update in ({"dtype": "auto"}, {"max_model_len": 99})]
    others = [VLLMTool(config, str(folder)) for config in changed]
    others.append(VLLMTool(CONFIG, str(tiny_model(tmp_path, seed=1))))
    assert len({identity, *(tool.identity({}) for tool in others)}) == 4


def test_an_adapter_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "x"}))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"low rank")
    with pytest.raises(InputError, match="holds an adapter") as caught:
        VLLMGenerator("vllm:test", str(tmp_path), CONFIG)
    assert "merge_and_unload" in caught.value.next_step


# From here on: vLLM itself.


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[OneVLLM]:
    yield OneVLLM(VLLMTool(CONFIG, str(folder)))
    close()


def asked(count: int, first: int = 0, prompt: str = PROMPT, **settings: Any) -> list[Request]:
    """Samples `first` to `count` - 1 of one problem, as the stage `samples` asks for them."""
    return [Request(prompt, sample_seed("problem", index, 0), **{"max_tokens": 40, **settings}) for index in range(first, count)]


def completed(results: list[Completion | Failure]) -> list[Completion]:
    assert all(isinstance(result, Completion) for result in results), results
    return [result for result in results if isinstance(result, Completion)]


@pytest.mark.vllm
def test_samples_do_not_depend_on_how_they_are_asked_for(engine: OneVLLM, folder: Path) -> None:
    """32 at once, one by one, 8 topped up to 32, and after a restart."""
    together = completed(engine.generate(asked(32)))
    assert len({sample.text for sample in together}) > 30
    assert [completed(engine.generate([request]))[0] for request in asked(32)] == together
    assert completed([*engine.generate(asked(8)), *engine.generate(asked(32, first=8))]) == together
    among_others = engine.generate([*asked(9, prompt="How many apples? "), *asked(32)])
    assert completed(among_others[9:]) == together
    restarted = OneVLLM(VLLMTool(CONFIG, str(folder)))
    assert completed(restarted.generate(asked(32))) == together


@pytest.mark.vllm
def test_the_prefix_cache_is_used_and_its_hits_are_counted(engine: OneVLLM) -> None:
    before, notes = replace(engine.usage), list[str]()
    prompt = "Another problem. " * 12
    made = completed(engine.generate(asked(16, prompt=prompt), lambda done, total, note="": notes.append(note)))
    assert re.fullmatch(r"[\d,]+ tokens/s, cache \d+ %(, \d+ failed)?", notes[-2])
    tokens = made[0].prompt_tokens
    assert tokens is not None
    assert engine.usage.prompt_tokens - before.prompt_tokens == 16 * tokens
    # 15 of 16 find all whole blocks of 32 tokens but the last, of which one token must be computed
    assert engine.usage.cached_tokens - before.cached_tokens >= 15 * 32 * ((tokens - 1) // 32)
    sampled = engine.usage.sampled_tokens - before.sampled_tokens
    assert sampled >= sum(sample.tokens or 0 for sample in made)


@pytest.mark.vllm
def test_an_interrupt_leaves_nothing_behind(engine: OneVLLM) -> None:
    def interrupt(done: int, total: int, note: str) -> None:
        if done == 2:
            signal.raise_signal(signal.SIGINT)

    undisturbed = completed(engine.generate(asked(6)))
    with pytest.raises(KeyboardInterrupt):
        engine.generate(asked(6, max_tokens=300), interrupt)
    assert completed(engine.generate(asked(6))) == undisturbed


@pytest.mark.vllm
def test_what_vllm_refuses_or_forgets_is_a_failure_and_the_rest_goes_on(engine: OneVLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = completed(engine.generate(asked(3)))
    no_token = replace(asked(1)[0], prefix=(1_000_000,))
    refused, *rest = engine.generate([no_token, *asked(3)])
    assert isinstance(refused, Failure)
    assert refused.reason == "vLLM refuses the request"
    assert "1000000" in refused.detail
    assert rest == undisturbed
    core, forgotten = engine.open()._llm.llm_engine, list[str]()
    step = core.step

    def forgetting() -> list[Any]:
        outputs = step()
        forgotten.extend(output.request_id for output in outputs[:1] if not forgotten)
        return [output for output in outputs if output.request_id not in forgotten]

    monkeypatch.setattr(core, "step", forgetting)
    notes = list[str]()
    results = engine.generate(asked(3), lambda done, total, note="": notes.append(f"{done}/{total} {note}"))
    lost = [place for place, result in enumerate(results) if isinstance(result, Failure)]
    assert [results[place] for place in lost] == [Failure("vLLM gave fewer completions than asked")]
    assert [result for result in results if isinstance(result, Completion)] == [
        sample for place, sample in enumerate(undisturbed) if place not in lost
    ]
    assert notes[-1].startswith("3/3 ")
    assert notes[-1].endswith(", 1 failed")


@pytest.mark.vllm
def test_a_dead_engine_is_told_and_what_to_do(engine: OneVLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    from vllm.v1.engine.exceptions import EngineDeadError

    def dead() -> list[Any]:
        raise EngineDeadError

    monkeypatch.setattr(engine.open()._llm.llm_engine, "step", dead)
    with pytest.raises(InputError, match="vLLM's engine died") as caught:
        engine.generate(asked(3))
    assert "run the same command again" in caught.value.next_step
    assert "gpu_memory_utilization" in caught.value.next_step


@pytest.mark.vllm
def test_a_shorter_context_is_kept_to(folder: Path) -> None:
    short = OneVLLM(VLLMTool(CONFIG.model_copy(update={"max_model_len": 64}), str(folder)))
    long, fits = short.generate([*asked(1, prompt="7 + 7 " * 40), *asked(1, max_tokens=500)])
    assert isinstance(long, Failure)
    assert long.reason == "prompt longer than the context"
    assert isinstance(fits, Completion)
    assert fits.prompt_tokens is not None
    assert fits.finish_reason == "eos" or fits.prompt_tokens + (fits.tokens or 0) == 64


@pytest.mark.vllm
def test_what_vllm_cannot_load_is_told(folder: Path) -> None:
    close()
    with pytest.raises(InputError, match="vLLM cannot load the model") as caught:
        VLLMTool(CONFIG.model_copy(update={"max_model_len": 100_000}), str(folder)).open({})
    assert caught.value.where == str(folder)


@pytest.fixture(scope="module")
def address(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """vLLM's own server, with a key. It takes a minute or two to start."""
    options = "--host 127.0.0.1 --served-model-name tiny --dtype float32 --enforce-eager --block-size 32"
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), *options.split()]
    log = tmp_path_factory.mktemp("server") / "log"
    key = {"VLLM_API_KEY": KEY, "VLLM_NO_USAGE_STATS": "1"}
    with served(lambda port: [*command, "--port", str(port)], log, key) as url:
        yield url


@pytest.fixture
def server(address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ServerGenerator:
    monkeypatch.setenv("TINY_KEY", KEY)
    return ServerTool(ServerEngine(url=address, api_key_env="TINY_KEY"), "tiny", str(folder)).open({})


@pytest.mark.vllm
def test_the_server_gives_the_samples_of_the_engine(engine: OneVLLM, server: ServerGenerator) -> None:
    requests = [*asked(12), *asked(4, temperature=0), *asked(4, top_p=0.5)]
    requests += [replace(request, stop=("e", "never written")) for request in asked(12, max_tokens=100)]
    requests += [replace(asked(1)[0], prompt="7 + 7 " * 10_000)]
    served = server.generate(requests)
    assert len({result.finish_reason for result in served if isinstance(result, Completion)}) >= 2
    assert isinstance(served[-1], Failure)
    assert served[-1].reason == "prompt longer than the context"
    assert served[:-1] == engine.generate(requests)[:-1]


@pytest.mark.vllm
def test_the_server_judges_as_the_engine_does(engine: OneVLLM, server: ServerGenerator) -> None:
    """The same next tokens; the server tells bytes that are half a character by one text, so only whole ones are compared."""
    prompts = [PROMPT, PROMPT + "Step 1: 4 + 3 = 7. ", "How many apples? "]
    for told, expected in zip(server.next_tokens(prompts, 10), engine.next_tokens(prompts, 10), strict=True):
        assert not isinstance(told, Failure)
        assert not isinstance(expected, Failure)
        found = dict(told)
        whole = {text: logprob for text, logprob in expected if text.isprintable() and "\ufffd" not in text}
        assert len(whole) > 3
        assert {text: found[text] for text in whole} == pytest.approx(whole, abs=1e-4)


@pytest.mark.vllm
def test_the_server_reads_text_as_well(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_KEY", KEY)
    text = ServerTool(ServerEngine(url=address, prompts="text", api_key_env="TINY_KEY"), "tiny", None).open({})
    results = completed(text.generate(asked(3)))
    assert all(result.text and result.token_ids is None and result.prompt_tokens for result in results)


@pytest.mark.vllm
def test_the_server_s_refusals_are_understood(address: str, folder: Path, server: ServerGenerator) -> None:
    with pytest.raises(InputError, match="wants an API key"):
        ServerTool(ServerEngine(url=address), "tiny", str(folder)).open({})
    other = ServerTool(ServerEngine(url=address, api_key_env="TINY_KEY"), "huge", str(folder)).open({})
    with pytest.raises(InputError, match="does not know the model huge") as caught:
        other.generate(asked(2))
    assert list(caught.value.examples) == ["it serves tiny"]
    server._context = None  # as with a server that does not tell it
    refused, fits = server.generate([*asked(1, prompt="7 + 7 " * 1000), *asked(1)])
    assert isinstance(refused, Failure)
    assert refused.reason == "longer than the server's context"
    assert isinstance(fits, Completion)
