"""vLLM inside this process can be there once only: the end of one engine takes the groundwork from under the others.

    engine = OneVLLM(VLLMTool(config, folder))       # opened at its first request; that closes the one before it

So tests may hold as many as they like, and going from one to another is a restart.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from fullstep_data.engines.protocol import Completion, Failure, NextTokens, Request, Usage
from fullstep_data.engines.tokenizer import load_tokenizer
from fullstep_data.engines.vllm import VLLMTool
from fullstep_data.prompts import Chat
from fullstep_data.stage import Tick, no_tick


class OneVLLM:
    """A Generator over vLLM that makes room for others."""

    live: ClassVar["OneVLLM | None"] = None

    def __init__(self, tool: VLLMTool) -> None:
        self.identity = tool.identity({})
        self._tool = tool
        self._opened: Any = None

    @property
    def usage(self) -> Usage:
        return self.open().usage

    def render(self, system: str, user: str, chat: Chat) -> str:
        return load_tokenizer(self._tool.model).render(system, user, chat)

    def generate(self, requests: Sequence[Request], tick: Tick = no_tick) -> list[Completion | Failure]:
        return self.open().generate(requests, tick)

    def next_tokens(self, prompts: Sequence[str], top: int, tick: Tick = no_tick) -> list[NextTokens | Failure]:
        return self.open().next_tokens(prompts, top, tick)

    def cut(self, text: str, token_ids: Sequence[int], stops: Sequence[int]) -> list[tuple[int, int]]:
        return self.open().cut(text, token_ids, stops)

    def open(self) -> Any:
        if self._opened is None:
            close()
            self._opened = self._tool.open({})
            OneVLLM.live = self
        return self._opened


def close() -> None:
    """Close the engine that is there."""
    if OneVLLM.live is not None:
        OneVLLM.live._opened.close()
        OneVLLM.live._opened = OneVLLM.live = None
