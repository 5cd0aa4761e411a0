"""A PRM in vLLM's pooling runner, as a StepScorer: the probability that each step is correct.

    scorer = VLLMScorer(identity, folder, VLLMScoring(), read=step_reader(folder))     # fullstep_train.scorer, handed in by cli
    scorer.score(groups)

Token ids go in, never text, and they are those that the PRM was trained on: `read` makes them, and says at which token each step
is judged. The PRM is a *ForTokenClassification with two labels; its softmax is vLLM's.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fullstep_data.config import VLLMScoring
from fullstep_data.engines.protocol import ScoreRequest
from fullstep_data.engines.vllm import close_llm, load_llm
from fullstep_data.stage import Tick, no_tick

Read = Callable[[ScoreRequest], tuple[Sequence[int], Sequence[int]] | str]
"""A solution's token ids [L] and the index of the token at which each step is judged [K]; or why it cannot be scored."""

CORRECT = 1
"""The label of a correct step."""


class VLLMScorer:
    """Rewards steps. Raises InputError where vLLM is not installed or cannot load the PRM."""

    def __init__(self, identity: str, folder: Path, config: VLLMScoring, read: Read) -> None:
        self.identity = identity
        self._read = read
        self._llm: Any = load_llm(str(folder), config, runner="pooling")

    def score(self, groups: Sequence[Sequence[ScoreRequest]], tick: Tick = no_tick) -> list[list[list[float] | str]]:
        """For each solution of each group: the probability [K] that each step is correct, or the reason why there is none."""
        found: list[list[list[float] | str]] = []
        for done, group in enumerate(groups, start=1):
            found.append(self._score_group(group))
            tick(done, len(groups))
        return found

    def close(self) -> None:
        """Give the memory back."""
        llm, self._llm = self._llm, None
        close_llm(llm)

    def _score_group(self, group: Sequence[ScoreRequest]) -> list[list[float] | str]:
        read = [self._read(request) for request in group]
        prompts = [{"prompt_token_ids": list(one[0])} for one in read if not isinstance(one, str)]
        made = iter(self._llm.encode(prompts, pooling_task="token_classify", use_tqdm=False) if prompts else ())
        results: list[list[float] | str] = []
        for one in read:
            if isinstance(one, str):
                results.append(one)
                continue
            probabilities = next(made).outputs.data  # [L, 2]
            results.append(probabilities[list(one[1]), CORRECT].tolist())
        return results
