"""A completions server on loopback for tests: real HTTP, answers by the scripted engine, and as many faults as one likes.

    with loopback(fault=lambda body, nth: status(429, {"Retry-After": "1"}) if nth == 0 else None) as server:
        Caller(server.url, …)

Its tokens are bytes, as those of the scripted engine; `byte_tokenizer` is the tokenizer for it. Token 256 ends a text.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from fullstep_data.engines.protocol import Completion, Request
from fullstep_data.engines.scripted import CONTEXT, ScriptedGenerator

END = 256
Fault = Callable[["Handler"], None]
"""Answers in the server's stead."""


def byte_tokenizer(folder: Path) -> Path:
    """Writes a tokenizer whose tokens are the bytes of the text and `<end>` into `folder`; returns `folder`."""
    # ByteLevel writes byte b as a printable character: the b-th of the printable ones themselves, then 256, 257, … for the rest.
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    vocabulary = {chr(byte if byte in printable else next(others)): byte for byte in range(256)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")
    fast.save_pretrained(folder)
    return folder


@dataclass
class Loopback:
    """asked: bodies of the completions asked for, in order. at_once: most of them in the server at one moment."""

    models: Mapping[str, float]
    key: str | None
    fault: Callable[[dict[str, Any], int], Fault | None]
    extras: bool
    max_model_len: int | None
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    at_once: int = 0
    inside: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)
    prompts: set[bytes] = field(default_factory=set)

    def border(self, ids: list[int]) -> int:
        """Where the prompt ends and what was sampled from it begins: at the end of the longest prompt that came before.

        A model needs no such thing, but the scripted engine reads its sum in the prompt alone.
        """
        asked = bytes(ids)
        with self.lock:
            known = max((len(prompt) for prompt in self.prompts if asked.startswith(prompt)), default=0)
            if not known:
                self.prompts.add(asked)
        return known or len(asked)


class Handler(BaseHTTPRequestHandler):
    """One connection. body: of the request in hand."""

    protocol_version = "HTTP/1.1"
    state: Loopback
    body: dict[str, Any]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the standard library
        """Nothing on the terminal."""

    def do_GET(self) -> None:
        if self._key_is_right():
            entries = [{"id": name} for name in self.state.models]
            if self.state.max_model_len:
                entries = [entry | {"max_model_len": self.state.max_model_len} for entry in entries]
            self.answer(200, {"object": "list", "data": entries})

    def do_POST(self) -> None:
        state = self.state
        self.body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with state.lock:
            nth = len(state.asked)
            state.asked.append(self.body)
            state.inside += 1
            state.at_once = max(state.at_once, state.inside)
        try:
            if fault := state.fault(self.body, nth):
                fault(self)
            elif self._key_is_right():
                self.complete()
        finally:
            with state.lock:
                state.inside -= 1

    def complete(self) -> None:
        """What a sound server says."""
        model, prompt = self.body["model"], self.body["prompt"]
        if model not in self.state.models:
            self.answer(404, {"error": {"message": f"The model `{model}` does not exist.", "code": 404}})
            return
        ids = isinstance(prompt, list)
        limit, length = self.state.max_model_len, len(prompt if ids else prompt.encode())
        if limit and length + self.body["max_tokens"] > limit:
            self.answer(400, {"error": {"message": f"This model's maximum context length is {limit} tokens."}})
            return
        border = self.state.border(prompt) if ids else 0
        text, prefix = (bytes(prompt[:border]).decode(), tuple(prompt[border:])) if ids else (prompt, ())
        asked = {name: self.body[name] for name in ("seed", "max_tokens", "temperature", "top_p")}
        request = Request(text, stop=tuple(self.body.get("stop", ())), prefix=prefix, **asked)
        (made,) = ScriptedGenerator(self.state.models[model]).generate([request])
        assert isinstance(made, Completion)
        choice: dict[str, Any] = {
            "index": 0,
            "text": made.text,
            "finish_reason": "length" if made.finish_reason == "length" else "stop",
        }
        if self.state.extras:
            choice["stop_reason"] = "a stop string" if made.finish_reason == "stop" else None
        if self.state.extras and self.body.get("return_token_ids"):
            choice["token_ids"] = [*(made.token_ids or ()), *made.beyond, *([END] if made.finish_reason == "eos" else [])]
        if self.state.extras and "logprobs" in self.body:
            (told,) = ScriptedGenerator(self.state.models[model]).next_tokens([text], self.body["logprobs"])
            assert isinstance(told, tuple)
            choice["logprobs"] = {"top_logprobs": [dict(told)]}
        used: dict[str, Any] = {"prompt_tokens": length, "completion_tokens": len(made.token_ids or ())}
        if self.state.extras:
            used["prompt_tokens_details"] = {"cached_tokens": length // 2}
        self.answer(200, {"choices": [choice], "usage": used})

    def answer(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _key_is_right(self) -> bool:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.state.key in (None, given):
            return True
        self.answer(401, {"error": {"message": f"Incorrect API key provided: {given}."}})
        return False


class Quiet(ThreadingHTTPServer):
    request_queue_size = 128  # as many may connect at one moment

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients go away in the midst of an answer: that is what some tests are about."""


@contextmanager
def loopback(
    models: Mapping[str, float] | None = None,
    key: str | None = None,
    fault: Callable[[dict[str, Any], int], Fault | None] = lambda body, nth: None,
    extras: bool = True,
    max_model_len: int | None = CONTEXT,
) -> Iterator[Loopback]:
    """A server of scripted engines. models: error rate by name. fault: given a body and how many came before it, what goes wrong.

    extras: says token ids and stop reasons as vLLM does. max_model_len None: unlimited, and not told.
    """
    state = Loopback(models or {"scripted": 0.4}, key, fault, extras, max_model_len)
    server = Quiet(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"state": state}))
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        state.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def status(code: int, headers: Mapping[str, str] | None = None, message: str = "so it is") -> Fault:
    """An error response."""
    return lambda handler: handler.answer(code, {"error": {"message": message}}, headers)


def slow(seconds: float) -> Fault:
    """The right answer, late (or when the server closes)."""

    def wait(handler: Handler) -> None:
        handler.state.closing.wait(seconds)
        handler.complete()

    return wait


def drop(handler: Handler) -> None:
    """The connection closes without an answer."""
    handler.close_connection = True


def cut(handler: Handler) -> None:
    """The connection closes in the middle of the answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


def nothing(handler: Handler) -> None:
    """An answer without a completion."""
    handler.answer(200, {"choices": []})


def page(handler: Handler) -> None:
    """Some other server."""
    handler.answer(200, b"<html>Welcome to nginx!</html>")
