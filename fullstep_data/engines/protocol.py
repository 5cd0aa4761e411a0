"""What a stage may ask of an engine: `Generator` writes text, `Judge` says what it would write next, `StepScorer` rewards steps.
Lists in, lists out, order kept.

Every engine passes `tests/fullstep_data/engines/test_conformance.py`. An engine is an argument of a stage, chosen by `cli`.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from fullstep_data.stage import Tick, no_tick
from schemas.ids import content_id

FinishReason = Literal["eos", "stop", "length"]


@dataclass(frozen=True)
class Request:
    """One text to be completed. `seed` alone decides the sample: the same request gives the same completion in the same batch.

    prompt: rendered, special tokens included (the engine adds none). temperature 0 is greedy. stop: strings that end the
    completion and are cut off. max_tokens: most tokens to sample. prefix: ids sampled before, that the model reads after the
    prompt's own: the completion is what comes after them (text, ids and max_tokens count from there).
    """

    prompt: str
    seed: int
    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    prefix: tuple[int, ...] = ()


@dataclass(frozen=True)
class Completion:
    """What came of a request. token_ids: sampled ids whose decoding is `text` (or begins with it: a stop string was cut).

    token_ids, prompt_tokens: None where a server does not tell. beyond: the ids sampled after these, up to the end of the stop
    string: who goes on behind it has them in the prefix too.
    """

    text: str
    token_ids: tuple[int, ...] | None
    finish_reason: FinishReason
    prompt_tokens: int | None
    beyond: tuple[int, ...] = ()

    @property
    def tokens(self) -> int | None:
        """How many were sampled."""
        return None if self.token_ids is None else len(self.token_ids)


@dataclass(frozen=True)
class Failure:
    """A request that the engine could not serve; it becomes a reject with this reason."""

    reason: str
    detail: str = ""


@dataclass
class Usage:
    """What an engine has read and written since it was opened, for the progress line.

    cached_tokens: of the prompts' tokens, those that it did not compute again (0 where it does not tell). failed: requests
    of the call in hand, which become rejects when it is done. seconds: at work.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    sampled_tokens: int = 0
    failed: int = 0
    seconds: float = 0.0
    _began: float | None = None

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """One call: the clock runs inside."""
        self._began, self.failed = time.monotonic(), 0
        try:
            yield
        finally:
            self.seconds, self._began = self._seconds(), None

    def add(self, prompt_tokens: int | None, cached_tokens: int | None, sampled_tokens: int | None) -> None:
        self.prompt_tokens += prompt_tokens or 0
        self.cached_tokens += cached_tokens or 0
        self.sampled_tokens += sampled_tokens or 0

    def told(self) -> str:
        """As in "412 tokens/s, cache 87 %, 3 failed"; leaves out what is not known."""
        seconds, parts = self._seconds(), list[str]()
        if self.sampled_tokens and seconds:
            parts.append(f"{self.sampled_tokens / seconds:,.0f} tokens/s")
        if self.cached_tokens:
            parts.append(f"cache {100 * self.cached_tokens / self.prompt_tokens:.0f} %")
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        return ", ".join(parts)

    def _seconds(self) -> float:
        return self.seconds + (0.0 if self._began is None else time.monotonic() - self._began)


def small_seed(seed: int) -> int:
    """A seed in [0, 2**31) for engines that keep only its low bits; different seeds stay different but by chance (2**-31)."""
    return int(content_id("small seed", seed), 16) % 2**31


class Generator(Protocol):
    """Completes prompts."""

    @property
    def identity(self) -> str:
        """Engine, model content and numeric settings: what decides the samples besides the request."""
        ...

    def render(self, system: str, user: str, chat: Literal["auto", "always", "never"]) -> str:
        """The prompt text of this model: its chat template where it has one and `chat` allows, special tokens included."""
        ...

    def generate(self, requests: Sequence[Request], tick: Tick = no_tick) -> list[Completion | Failure]:
        """One result per request, in order."""
        ...

    def cut(self, text: str, token_ids: Sequence[int], stops: Sequence[int]) -> list[tuple[int, int]]:
        """For each stop (characters): the fewest of the sampled ids of `text` that hold it up to there, as a `prefix` for a
        request; and how many characters they hold, which may be more (a token may stand across the stop).
        """
        ...


NextTokens = tuple[tuple[str, float], ...]
"""The most probable next tokens of a prompt, the most probable first: text and log-probability (of the plain distribution:
temperature 1, all of the vocabulary).
"""


class Judge(Protocol):
    """A Generator that tells its log-probs. All engines that run a model do; so does `scripted`."""

    @property
    def identity(self) -> str:
        """As of a Generator."""
        ...

    def render(self, system: str, user: str, chat: Literal["auto", "always", "never"]) -> str:
        """As of a Generator."""
        ...

    def next_tokens(self, prompts: Sequence[str], top: int, tick: Tick = no_tick) -> list[NextTokens | Failure]:
        """For each rendered prompt, in order, its `top` most probable next tokens (fewer where there are no more)."""
        ...


@dataclass(frozen=True)
class ScoreRequest:
    """A solution whose steps are to be rewarded. stops: one past the last character of each step, ascending.

    question: of the problem, for PRMs that want it without the prompt around it; empty where it is not known.
    """

    prompt: str
    text: str
    stops: tuple[int, ...]
    finished: bool
    question: str = ""

    @property
    def steps(self) -> list[str]:
        """The steps as texts, without the blanks around them."""
        return [self.text[start:stop].strip() for start, stop in zip((0, *self.stops), self.stops, strict=False)]


class StepScorer(Protocol):
    """Rewards steps: a process-reward model."""

    @property
    def identity(self) -> str:
        """Content of the PRM: goes into part keys and the column `scorer`."""
        ...

    def score(self, groups: Sequence[Sequence[ScoreRequest]], tick: Tick = no_tick) -> list[list[list[float] | str]]:
        """For each group of solutions with one prompt, for each solution: a reward in [0, 1] per step, or why there is none."""
        ...
