"""Log-probs of given tokens by vLLM, for the reference model of a policy.

    logprobs = VLLMLogprobs("path/to/model", VLLMReference())
    logprobs([(ids, 12)])          # of ids[12:], each given all ids before it

Token ids go in, as training makes them. vLLM gives the log-probs of a prompt's own tokens (prompt_logprobs), of the plain
distribution; its prefix cache is not used for that.
"""

from collections.abc import Sequence
from typing import Any

from fullstep_data.config import VLLMReference
from fullstep_data.engines.vllm import close_llm, load_llm, read_prompts
from schemas import InputError


class VLLMLogprobs:
    """A causal model in vLLM. Raises InputError where vLLM is not installed or cannot load it."""

    def __init__(self, model: str, config: VLLMReference) -> None:
        self._llm: Any = load_llm(model, config)
        self._context: int = self._llm.model_config.max_model_len

    def __call__(self, texts: Sequence[tuple[Sequence[int], int]]) -> list[list[float]]:
        """log p of the tokens from `start` on, for each (ids [L], start): [L - start] numbers.

        InputError: a text fills the context, and vLLM wants room for one more token.
        """
        long = [len(ids) for ids, _ in texts if len(ids) >= self._context]
        if long:
            raise InputError(
                f"vLLM reads {self._context - 1} tokens of a text at most, for it samples one more",
                where="reference_logprobs.engine",
                count=len(long),
                examples=[f"{length} tokens" for length in long],
                next_step=f"set policy.max_length = {self._context - 1}, or reference_logprobs.engine.kind to transformers",
            )
        if not texts:
            return []
        made = read_prompts(self._llm, [ids for ids, _ in texts])
        return [
            [float(output.prompt_logprobs[place][ids[place]].logprob) for place in range(start, len(ids))]
            for (ids, start), output in zip(texts, made, strict=True)
        ]

    def close(self) -> None:
        """Give the memory back."""
        llm, self._llm = self._llm, None
        close_llm(llm)
