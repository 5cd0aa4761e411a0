"""Engines in a recipe: what is refused, and that no refusal repeats a key."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from fullstep_data.engine_config import Engine, ServerEngine, VLLMEngine

KEY = "sk-test-0f1e2d3c4b5a69788796"
SERVER: dict[str, Any] = {"kind": "server", "url": "http://host:8000/v1"}


def engine(**changed: Any) -> Any:
    return TypeAdapter(Engine).validate_python(SERVER | changed)


def test_the_kind_decides_which_keys_there_are() -> None:
    assert engine() == ServerEngine(url="http://host:8000/v1")
    assert engine(url="https://host/v1/").url == "https://host/v1"
    assert TypeAdapter(Engine).validate_python({"kind": "vllm", "max_model_len": 9}) == VLLMEngine(max_model_len=9)
    with pytest.raises(ValidationError):
        TypeAdapter(Engine).validate_python({"kind": "vllm", "url": "http://host"})


@pytest.mark.parametrize("url", ["host:8000", "ftp://host", "http://", f"http://me:{KEY}@host/v1", f"http://host/v1?key={KEY}"])
def test_an_address_is_http_and_holds_no_secret(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        engine(url=url)
    assert not any(KEY in error["msg"] for error in caught.value.errors())


@pytest.mark.parametrize("name", [KEY, "hf_abcdef", "my-key", "$KEY", ""])
def test_a_key_is_named_and_never_given(name: str) -> None:
    with pytest.raises(ValidationError, match="not the name of an environment variable in capitals"):
        engine(api_key_env=name)
    assert engine(api_key_env="OPENAI_API_KEY").api_key_env == "OPENAI_API_KEY"


def test_a_tokenizer_is_for_token_ids() -> None:
    with pytest.raises(ValidationError, match="tokenizer goes with prompts"):
        engine(prompts="text", tokenizer="x")
    assert engine(tokenizer="x").tokenizer == "x"


@pytest.mark.parametrize("change", [{"concurrency": 0}, {"timeout_seconds": 0}, {"retries": -1}])
def test_limits_are_limits(change: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        engine(**change)
