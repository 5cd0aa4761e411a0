"""How a server wants to be asked for a completion and what its answer says: OpenAI's way, or llama.cpp's own. Pure.

    dialect = dialect_of(served, tokens=True)            # served: what its list of models says
    body = dialect.body("tiny", request, prompt=[1, 2, 3], limit=64, ends=[0])
    dialect.read(answer)                                 # Answer(text, token_ids, reason, …)

| | OpenAI | llama.cpp |
|---|---|---|
| asked at | `completions` | `/completion`, beside `/v1` |
| sampled ids | `token_ids`, where the server knows `return_token_ids` (vLLM) | `tokens` |
| why it ended | a stop string is told by vLLM and SGLang; else an end is taken for the model's own | `stop_type` |
| next tokens | `logprobs.top_logprobs` | `completion_probabilities`, with their ids |

llama.cpp has OpenAI's endpoint too, but that one tells no ids, and its samplers cut the distribution (top_p) before the
temperature bends it, where vLLM and transformers do so after; its own takes the order as a field.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fullstep_data.engines.protocol import FinishReason, NextTokens, Request, small_seed

Prompt = list[int] | str
Decode = Callable[[Sequence[int]], str]

# What a model's own generation config recommends must not bend the distribution that was asked for: these switch it off.
_PLAIN_SAMPLING = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "repeat_penalty": 1.0}


@dataclass(frozen=True)
class Answer:
    """What a server says of one completion. None where it does not tell.

    token_ids: sampled, with those of a stop string, without an end token where `reason` is eos for sure. read, cached, sampled:
    tokens of the prompt, those of them that it had in a cache, tokens of the completion.
    """

    text: str
    token_ids: list[int] | None
    reason: FinishReason
    read: int | None
    cached: int | None
    sampled: int | None


class Dialect(Protocol):
    """One way to ask."""

    @property
    def path(self) -> str:
        """Where: below the server's address, or from its root where it begins with a slash (see `Caller.post`)."""
        ...

    def body(self, model: str, request: Request, prompt: Prompt, limit: int, ends: Sequence[int]) -> dict[str, Any]:
        """What to send. limit: most tokens to sample. ends: ids that end a text (of no use where the prompt is text)."""
        ...

    def judged(self, top: int) -> dict[str, Any]:
        """Fields that make the answer say the `top` most probable next tokens."""
        ...

    def read(self, answer: Mapping[str, Any]) -> Answer:
        """A completion."""
        ...

    def next_tokens(self, answer: Mapping[str, Any], decode: Decode | None) -> NextTokens:
        """The most probable next tokens, the most probable first. decode: reads ids, of which some are half a character.

        KeyError, TypeError, ValueError, IndexError, AttributeError: it tells none.
        """
        ...


@dataclass(frozen=True)
class OpenAI:
    """The completions endpoint. tokens: prompts are ids, and the server knows more fields than OpenAI, as vLLM and SGLang do."""

    tokens: bool
    path: str = "completions"

    def body(self, model: str, request: Request, prompt: Prompt, limit: int, ends: Sequence[int]) -> dict[str, Any]:
        """See `Dialect`."""
        body: dict[str, Any] = {
            "model": model,
            "prompt": prompt,
            "max_tokens": limit,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": small_seed(request.seed),
            "n": 1,
        }
        if request.stop:
            body["stop"] = list(request.stop)
        more = _PLAIN_SAMPLING | {"return_token_ids": True, "stop_token_ids": list(ends)}
        return body | more if self.tokens else body

    def judged(self, top: int) -> dict[str, Any]:
        """See `Dialect`."""
        return {"logprobs": top}

    def read(self, answer: Mapping[str, Any]) -> Answer:
        """Of its one choice (`Caller.post` has seen that there is one)."""
        choice, used = answer["choices"][0], answer.get("usage") or {}
        return Answer(
            text=str(choice.get("text") or ""),
            token_ids=choice.get("token_ids"),
            reason=_reason(choice),
            read=used.get("prompt_tokens"),
            cached=(used.get("prompt_tokens_details") or {}).get("cached_tokens"),
            sampled=used.get("completion_tokens"),
        )

    def next_tokens(self, answer: Mapping[str, Any], decode: Decode | None) -> NextTokens:
        """See `Dialect`. The texts are the server's."""
        told = answer["choices"][0]["logprobs"]["top_logprobs"][0]
        return _ranked((str(token), float(logprob)) for token, logprob in told.items())


@dataclass(frozen=True)
class LlamaCpp:
    """llama.cpp's own endpoint. It ends a text at the end tokens that the model's file names."""

    path: str = "/completion"

    def body(self, model: str, request: Request, prompt: Prompt, limit: int, ends: Sequence[int]) -> dict[str, Any]:
        """See `Dialect`. The only samplers are those that were asked for, in the order of all engines."""
        return {
            "model": model,
            "prompt": prompt,
            "n_predict": limit,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "samplers": ["temperature", "top_p"],
            "seed": small_seed(request.seed),
            "stop": list(request.stop),
            "return_tokens": True,
        }

    def judged(self, top: int) -> dict[str, Any]:
        """See `Dialect`. The log-probs are of the plain distribution (post_sampling_probs is off)."""
        return {"n_probs": top}

    def read(self, answer: Mapping[str, Any]) -> Answer:
        """See `Dialect`."""
        reasons: dict[Any, FinishReason] = {"word": "stop", "eos": "eos"}
        reason: FinishReason = reasons.get(answer.get("stop_type"), "length")
        ids = answer.get("tokens")
        cached = (answer.get("timings") or {}).get("cache_n")
        return Answer(
            text=str(answer["content"]),
            token_ids=ids[:-1] if ids and reason == "eos" else ids,
            reason=reason,
            read=answer.get("tokens_evaluated"),
            cached=cached,
            sampled=answer.get("tokens_predicted"),
        )

    def next_tokens(self, answer: Mapping[str, Any], decode: Decode | None) -> NextTokens:
        """See `Dialect`."""
        told = answer["completion_probabilities"][0]["top_logprobs"]
        return _ranked((decode([one["id"]]) if decode else str(one["token"]), float(one["logprob"])) for one in told)


def dialect_of(served: Sequence[Mapping[str, Any]], tokens: bool) -> Dialect:
    """The dialect of a server with such a list of models. tokens: prompts are ids."""
    return LlamaCpp() if any(entry.get("owned_by") == "llamacpp" for entry in served) else OpenAI(tokens)


def context_of(entry: Mapping[str, Any]) -> int | None:
    """Most tokens of prompt and completion, as an entry of a list of models tells it (vLLM and SGLang, llama.cpp)."""
    told = entry.get("max_model_len") or (entry.get("meta") or {}).get("n_ctx")
    return told if isinstance(told, int) else None


def names_of(entry: Mapping[str, Any]) -> list[str]:
    """What a served model is called."""
    return [str(entry.get("id")), *map(str, entry.get("aliases") or ())]


def _ranked(tokens: Any) -> NextTokens:
    return tuple(sorted(tokens, key=lambda item: -item[1]))


def _reason(choice: Mapping[str, Any]) -> FinishReason:
    """vLLM (stop_reason) and SGLang (matched_stop) name the stop string; of other servers an end is taken for the model's own."""
    if choice.get("finish_reason") == "length":
        return "length"
    return "stop" if any(isinstance(choice.get(name), str) for name in ("stop_reason", "matched_stop")) else "eos"
