"""What a stage may ask of an engine: `Generator` writes text, `StepScorer` rewards steps. Lists in, lists out, order kept.

Every engine passes `tests/fullstep_data/engines/test_conformance.py`. An engine is an argument of a stage, chosen by `cli`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from fullstep_data.stage import Tick, no_tick

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
    """What came of a request. token_ids: sampled ids whose decoding is `text` (or begins with it: a stop string was cut)."""

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    prompt_tokens: int


@dataclass(frozen=True)
class Failure:
    """A request that the engine could not serve; it becomes a reject with this reason."""

    reason: str
    detail: str = ""


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


@dataclass(frozen=True)
class ScoreRequest:
    """A solution whose steps are to be rewarded. stops: one past the last character of each step, ascending."""

    prompt: str
    text: str
    stops: tuple[int, ...]
    finished: bool


class StepScorer(Protocol):
    """Rewards steps: a process-reward model."""

    @property
    def identity(self) -> str:
        """Content of the PRM: goes into part keys and the column `scorer`."""
        ...

    def score(self, groups: Sequence[Sequence[ScoreRequest]], tick: Tick = no_tick) -> list[list[list[float] | str]]:
        """For each group of solutions with one prompt, for each solution: a reward in [0, 1] per step, or why there is none."""
        ...
