"""The engine `server`: any server with OpenAI's completions endpoint (vLLM, SGLang, llama.cpp), many requests at a time.

    tool = ServerTool(ServerEngine(url="http://localhost:8000/v1"), "Qwen/Qwen2.5-1.5B", tokenizer="Qwen/Qwen2.5-1.5B")
    tool.open({}).generate([Request(prompt, seed=7, max_tokens=256)])

Busy servers (429, 503), broken connections and faults of the server are tried again after growing pauses, or the one that it asks
for (Retry-After). What still fails is judged by the smallest request of its kind: where that one is answered, the request is at
fault and becomes a Failure; where it is not, the server is, and an InputError stops the build, so that an outage is never
mistaken for samples that cannot be drawn.
"""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path, PurePosixPath
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from anyio import create_task_group
from anyio.from_thread import start_blocking_portal

from fullstep_data.config import ServerEngine
from fullstep_data.engines.continuation import cut
from fullstep_data.engines.model_files import model_identity
from fullstep_data.engines.protocol import Completion, Failure, NextTokens, Request, Usage
from fullstep_data.engines.server_calls import Caller, Refusal
from fullstep_data.engines.server_dialects import Dialect, LlamaCpp, Prompt, context_of, dialect_of, names_of
from fullstep_data.engines.tokenizer import ModelTokenizer, load_tokenizer
from fullstep_data.prompts import Chat, plain_prompt
from fullstep_data.stage import Tick, no_tick
from schemas import InputError
from schemas.ids import content_id

Answer = TypeVar("Answer")
_TOO_LONG = ("context length", "context size", "context window", "maximum model length", "max_model_len", "too long")


@dataclass(frozen=True)
class ServerTool:
    """The tool `generator` of a recipe with the engine `server`. model: its name there.

    tokenizer: folder or Hub id of the served model's; None where prompts are sent as text.
    """

    config: ServerEngine
    model: str
    tokenizer: str | None

    def identity(self, models: Mapping[str, Path]) -> str:
        """Name at the server and content of the tokenizer's folder. The address does not count: servers move.

        A server that calls its model by a path of its own is told by the last name of that and a hash of the whole: the identity
        stands in rows, which are published.
        """
        name = self.model
        if name.startswith(("/", "~")):
            name = f"{PurePosixPath(name).name}-{content_id(name)[:8]}"
        return f"server:{name}:{model_identity(self.tokenizer, weights=False) if self.tokenizer else 'text'}"

    def open(self, models: Mapping[str, Path]) -> "ServerGenerator":
        config = self.config
        key = _key(config.api_key_env)
        caller = Caller(config.url, key, config.timeout_seconds, config.retries, config.concurrency)
        tokenizer = load_tokenizer(self.tokenizer) if self.tokenizer else None
        return ServerGenerator(self.identity({}), self.model, caller, tokenizer)


class ServerGenerator:
    """A served model. Raises InputError where the server cannot be reached or takes no such key."""

    def __init__(self, identity: str, model: str, caller: Caller, tokenizer: ModelTokenizer | None) -> None:
        self.identity = identity
        self.usage = Usage()
        self._model = model
        self._caller = caller
        self._tokenizer = tokenizer
        self._served = caller.served_models()
        self._dialect: Dialect = dialect_of(self._served, tokens=tokenizer is not None)
        self._context = next((context_of(entry) for entry in self._served if model in names_of(entry)), None)
        if isinstance(self._dialect, LlamaCpp) and not any(model in names_of(entry) for entry in self._served):
            raise self._unknown_model("")  # it would answer with the model that it has, whatever the name
        self._same_tokens = False  # seen that our tokenizer reads the server's ids as the server does

    def render(self, system: str, user: str, chat: Chat) -> str:
        """The prompt text, special tokens included; plain text where the server makes the tokens."""
        if self._tokenizer is not None:
            return self._tokenizer.render(system, user, chat)
        if chat == "always":
            raise InputError(
                'the prompt asks for a chat template (chat = "always"), and prompts are sent as text without one',
                where="samples.engine.prompts",
                next_step='set samples.engine.prompts = "token-ids", or chat = "never"',
            )
        return plain_prompt(system, user)

    def generate(self, requests: Sequence[Request], tick: Tick = no_tick) -> list[Completion | Failure]:
        """One result per request, in order; tick counts requests. An interrupt drops what is in flight."""
        return self._answers(requests, self._complete, tick)

    def next_tokens(self, prompts: Sequence[str], top: int, tick: Tick = no_tick) -> list[NextTokens | Failure]:
        """The `top` most probable next tokens of each prompt (see `Judge.next_tokens`). InputError: it tells no log-probs."""
        requests = [Request(prompt, 0, 1, temperature=0.0) for prompt in prompts]
        return self._answers(requests, partial(self._peek, top), tick)

    def _answers(
        self, requests: Sequence[Request], ask: Callable[[Request], Awaitable[Answer | Failure]], tick: Tick
    ) -> list[Answer | Failure]:
        results: list[Answer | Failure | None] = [None] * len(requests)
        faults: list[InputError] = []
        waiting = iter(enumerate(requests))
        news: SimpleQueue[bool] = SimpleQueue()  # True: one more is done; False: the end

        async def worker(stop: Any) -> None:
            for index, request in waiting:
                try:
                    results[index] = result = await ask(request)
                except InputError as fault:
                    faults.append(fault)
                    stop()
                    return
                self.usage.failed += isinstance(result, Failure)
                news.put(True)

        async def work() -> None:
            try:
                async with self._caller.connected(), create_task_group() as group:
                    for _ in range(min(self._caller.concurrency, len(requests))):
                        group.start_soon(worker, group.cancel_scope.cancel)
            finally:
                news.put(False)

        if requests:
            with (
                self.usage.at_work(),
                start_blocking_portal() as portal,
            ):  # a loop in a thread of its own, so that a notebook's does not matter
                working = portal.start_task_soon(work)
                _watch(news, lambda done: tick(done, len(requests), self._told()))
                working.result()
        if faults:
            raise faults[0]
        return [result for result in results if result is not None]

    def _told(self) -> str:
        return ", ".join(filter(None, (self.usage.told(), self._caller.trouble)))

    def cut(self, text: str, token_ids: Sequence[int], stops: Sequence[int]) -> list[tuple[int, int]]:
        """The fewest ids that hold `text` up to each stop (see `Generator.cut`). InputError: prompts are sent as text."""
        if self._tokenizer is None:
            raise InputError(
                "going on from a step needs token ids, and prompts are sent as text",
                where="samples.engine.prompts",
                next_step='set samples.engine.prompts = "token-ids", or step_labels.source = "outcome"',
            )
        return cut(self._tokenizer.decode, text, token_ids, stops)

    async def _complete(self, request: Request) -> Completion | Failure:
        got = await self._asked(request)
        return got if isinstance(got, Failure) else self._read(request, *got)

    async def _peek(self, top: int, request: Request) -> NextTokens | Failure:
        got = await self._asked(request, self._dialect.judged(top))
        if isinstance(got, Failure):
            return got
        decode = None if self._tokenizer is None else self._tokenizer.decode
        try:
            return self._dialect.next_tokens(got[1], decode)[:top]
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise InputError(
                "the server tells no log-probs, which a judge is asked for",
                where=f"{self._caller.url}, model {self._model}",
                examples=[f"it says {got[1]!r}"[:200]],
                next_step="take a server that does (vLLM, SGLang, llama.cpp), or the engine hf for the judge",
            ) from error

    async def _asked(self, request: Request, more: Mapping[str, Any] | None = None) -> tuple[Prompt, dict[str, Any]] | Failure:
        """What was sent as the prompt, and the server's answer. more: fields of the body besides the usual ones."""
        prompt: Prompt = request.prompt
        if self._tokenizer is not None:
            prompt = [*self._tokenizer.encode(request.prompt), *request.prefix]
        elif request.prefix:
            return Failure("no token ids to go on from", "prompts are sent as text")
        if not prompt:
            return Failure("prompt without tokens")
        limit = request.max_tokens
        if self._context is not None and self._tokenizer is not None:
            limit = min(limit, self._context - len(prompt))
            if limit < 1:
                return Failure("prompt longer than the context", f"{len(prompt)} tokens; the server reads {self._context}")
        answer = await self._caller.post(self._dialect.path, self._body(request, prompt, limit) | dict(more or {}))
        if isinstance(answer, Refusal):
            return await self._judge(answer, request)
        return prompt, answer

    def _body(self, request: Request, prompt: Prompt, limit: int) -> dict[str, Any]:
        ends = [] if self._tokenizer is None else sorted(self._tokenizer.end_ids)
        return self._dialect.body(self._model, request, prompt, limit, ends)

    def _read(self, request: Request, prompt: Prompt, said: dict[str, Any]) -> Completion:
        """Text and ids are cut at the first stop string, which some servers leave in."""
        answer = self._dialect.read(said)
        self.usage.add(answer.read, answer.cached, answer.sampled)
        if self._tokenizer is not None and answer.token_ids is not None:
            self._require_same_tokens(answer.text, answer.token_ids)
            return self._tokenizer.completion(request, answer.token_ids, answer.reason, len(prompt) - len(request.prefix))
        read = answer.read if self._tokenizer is None else len(prompt) - len(request.prefix)
        places = [place for place in (answer.text.find(stop) for stop in request.stop) if place >= 0]
        if places:
            return Completion(answer.text[: min(places)], None, "stop", read)
        return Completion(answer.text, None, answer.reason, read)

    def _require_same_tokens(self, text: str, ids: list[int]) -> None:
        """InputError where the ids read otherwise here than at the server: then the prompts were gibberish to it as well."""
        if self._same_tokens or self._tokenizer is None:
            return
        ours, theirs = (_letters(one) for one in (self._tokenizer.decode(ids), text))
        if min(len(ours), len(theirs)) < 8:
            return
        same = sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(ours, theirs, strict=False)))
        self._same_tokens = 2 * same >= min(len(ours), len(theirs))
        if not self._same_tokens:
            raise InputError(
                "the tokenizer is not that of the served model",
                where=f"model {self._model} at {self._caller.url}",
                examples=[f"the server reads its answer as {text[:40]!r}, the tokenizer as {self._tokenizer.decode(ids)[:40]!r}"],
                next_step="name the served model's folder or Hub id as samples.engine.tokenizer (or as the recipe's model)",
            )

    async def _judge(self, refusal: Refusal, request: Request) -> Failure:
        """Is the request at fault, or the server? Raises InputError where the server is."""
        if refusal.status == 404:
            raise self._unknown_model(refusal.detail)
        smallest = self._body(request, "1" if self._tokenizer is None else self._tokenizer.encode("1"), 1)
        probe = await self._caller.post(self._dialect.path, smallest)
        if isinstance(probe, Refusal):
            step = "mend or restart the server and run the same command again; finished parts are kept"
            refused = '. Where it refuses fields that OpenAI does not know, set samples.engine.prompts = "text"'
            raise InputError(
                f"the server fails: {refusal.reason}",
                where=f"{self._caller.url}/completions, model {self._model}",
                examples=[refusal.detail, f"the shortest request: {probe.detail or probe.reason}"],
                next_step=step + refused if 400 <= refusal.status < 500 else step,
            )
        if refusal.status in (400, 413, 422) and any(sign in refusal.detail.lower() for sign in _TOO_LONG):
            return Failure("longer than the server's context", refusal.detail)
        return Failure(refusal.reason, refusal.detail)

    def _unknown_model(self, detail: str) -> InputError:
        served = [names_of(entry)[0] for entry in self._served]
        return InputError(
            f"the server does not know the model {self._model}, or has no completions at this address",
            where=f"{self._caller.url}/completions",
            examples=[f"it serves {name}" for name in served] or [detail],
            next_step="set samples.engine.model to a name that it serves, and see that samples.engine.url ends with /v1",
        )


def _key(variable: str | None) -> str | None:
    """The API key in an environment variable. InputError, without the value, where there is none or it cannot be a key."""
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise InputError(
            f"the environment variable {variable} holds no API key{': it is not printable ASCII' if key else ''}",
            where="samples.engine.api_key_env",
            next_step=f"export {variable}=… in the shell that runs the build",
        )
    return key


def _watch(news: "SimpleQueue[bool]", tell: Callable[[int], None]) -> None:
    """Tell how many are done, in the caller's thread, until the work ends. Waking now and then lets any thread catch a Ctrl-C,
    and tells what keeps the server from answering.
    """
    done = 0
    while True:
        try:
            if not news.get(timeout=0.5):
                return
            done += 1
        except Empty:
            pass
        tell(done)


def _letters(text: str) -> str:
    """A text without blanks and broken characters, which servers and tokenizers cut in different ways."""
    return "".join(text.replace("\ufffd", "").split())
