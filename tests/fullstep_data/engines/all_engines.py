"""Every engine over a tiny model of its own: what the conformance tests go over.

An engine is made by a function (folder for its files, variant) -> engine; the variant "other" has another identity.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from fullstep_data.config import ServerEngine, VLLMEngine
from fullstep_data.engines.hf import HFGenerator
from fullstep_data.engines.protocol import Generator
from fullstep_data.engines.scripted import ScriptedGenerator
from fullstep_data.engines.server import ServerTool
from fullstep_data.engines.vllm import VLLMTool
from tests.fullstep_data.engines.llama_server import llama_server
from tests.fullstep_data.engines.loopback import byte_tokenizer, loopback
from tests.fullstep_data.engines.one_vllm import OneVLLM
from tests.fullstep_data.engines.one_vllm import close as close_vllm
from tests.models import tiny_model, tiny_tokenizer

Decode = Callable[[tuple[int, ...]], str]


def hf(folder: Path, variant: str) -> Generator:
    model = folder / variant
    if not model.exists():
        tiny_model(model, seed=0 if variant == "one" else 1)
    return HFGenerator(model, batch_size=8, dtype="float32")


def scripted(folder: Path, variant: str) -> Generator:
    return ScriptedGenerator(0.4 if variant == "one" else 0.1)


SERVERS = ExitStack()
"""What must be closed when the module ends."""


def server(folder: Path, variant: str) -> Generator:
    """Two models served by the scripted engine, each by a server of its own."""
    tokenizer = byte_tokenizer(folder / "bytes")
    served = SERVERS.enter_context(loopback({"one": 0.4, "other": 0.1}))
    return ServerTool(ServerEngine(url=served.url), variant, str(tokenizer)).open({})


def vllm(folder: Path, variant: str) -> Generator:
    model = folder / f"wide-{variant}"
    if not model.exists():
        tiny_model(model, seed=0 if variant == "one" else 1, hidden=128)
    SERVERS.callback(close_vllm)
    return OneVLLM(VLLMTool(VLLMEngine(dtype="float32", eager=True), str(model)))


def llama(folder: Path, variant: str) -> Generator:
    """llama.cpp's server, as the engine `server` meets it."""
    model = folder / f"llama-{variant}"
    if not model.exists():
        tiny_model(model, seed=0 if variant == "one" else 1, hidden=128)
        (folder / f"served-{variant}").mkdir()
    url = SERVERS.enter_context(llama_server(model, folder / f"served-{variant}", variant))
    return ServerTool(ServerEngine(url=url), variant, str(model)).open({})


def decode_tiny(tokens: tuple[int, ...]) -> str:
    return str(tiny_tokenizer().decode(list(tokens), skip_special_tokens=True))


def decode_bytes(tokens: tuple[int, ...]) -> str:
    return bytes(tokens).decode()


# name: (how to make it, how its token ids read, a string that most of its completions hold)
ENGINES: dict[str, tuple[Callable[..., Generator], Decode, str]] = {
    "hf": (hf, decode_tiny, "e"),
    "scripted": (scripted, decode_bytes, "Step 2"),
    "server": (server, decode_bytes, "Step 2"),
    "vllm": (vllm, decode_tiny, "e"),
    "llama": (llama, decode_tiny, "e"),
}
