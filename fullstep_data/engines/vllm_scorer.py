"""A PRM in vLLM's pooling runner, as a StepScorer: the probability that each step is correct.

    scorer = VLLMScorer(identity, folder, VLLMScoring(), read=step_reader(folder))     # fullstep_train.scorer, handed in by cli
    scorer.score(groups)

Token ids go in, never text, and they are those that the PRM was trained on: `read` makes them, and says at which token each step
is judged. The PRM is a *ForTokenClassification with two labels, or a published one of Qwen's (Qwen2ForProcessRewardModel); the
softmax is vLLM's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fullstep_data.config import PublicFormat, QwenFormat, VLLMScoring
from fullstep_data.engines.model_files import model_identity
from fullstep_data.engines.prm_layouts import TOO_LONG, reader, token_of
from fullstep_data.engines.protocol import ScoreRequest
from fullstep_data.engines.tokenizer import load_tokenizer
from fullstep_data.engines.vllm import close_llm, load_llm, told_if_it_dies
from fullstep_data.stage import Tick, no_tick
from schemas.ids import content_id

Read = Callable[[ScoreRequest], tuple[Sequence[int], Sequence[int]] | str]
"""A solution's token ids [L] and the index of the token at which each step is judged [K]; or why it cannot be scored."""

CORRECT = 1
"""The label of a correct step."""


@dataclass(frozen=True)
class PublicVLLMScorerTool:
    """The tool `scorer` of a recipe with a published PRM in vLLM. model: a folder or a Hub id."""

    engine: VLLMScoring
    model: str
    form: PublicFormat

    def identity(self, models: Mapping[str, Path]) -> str:
        """Content of the model, the format, the numeric type, and that vLLM runs it."""
        return content_id("public prm", "vllm", self.engine.dtype, model_identity(self.model), self.form.model_dump())

    def open(self, models: Mapping[str, Path]) -> "VLLMScorer":
        assert isinstance(self.form, QwenFormat), "StepScoresConfig lets no other through"
        tokenizer = load_tokenizer(self.model).tokenizer
        lay_out, tag = reader(self.form, tokenizer, None), token_of(tokenizer, self.form.tag, self.form)

        def read(request: ScoreRequest) -> tuple[Sequence[int], Sequence[int]] | str:
            made = lay_out(request)
            return made if isinstance(made, str) else (made.ids, made.places)

        return VLLMScorer(self.identity(models), Path(self.model), self.engine, read, step_tag=tag)


class VLLMScorer:
    """Rewards steps. Raises InputError where vLLM is not installed or cannot load the PRM.

    step_tag: vLLM gives the probabilities at the tokens with this id alone (its STEP pooling), and these are where steps are
    judged; None: it gives them at all tokens.
    """

    def __init__(self, identity: str, folder: Path, config: VLLMScoring, read: Read, step_tag: int | None = None) -> None:
        self.identity = identity
        self._read = read
        self._at_tags = step_tag is not None
        self._llm: Any = load_llm(str(folder), config, step_tag, runner="pooling")
        self._context: int = self._llm.model_config.max_model_len

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
        read = [self._fitting(request) for request in group]
        prompts = [{"prompt_token_ids": list(one[0])} for one in read if not isinstance(one, str)]
        with told_if_it_dies(self._llm):
            made = iter(self._llm.encode(prompts, pooling_task="token_classify", use_tqdm=False) if prompts else ())
        results: list[list[float] | str] = []
        for one in read:
            if isinstance(one, str):
                results.append(one)
                continue
            probabilities = next(made).outputs.data  # [L, 2], or [K, 2] at tags alone
            places = slice(None) if self._at_tags else list(one[1])
            results.append(probabilities[places, CORRECT].tolist())
        return results

    def _fitting(self, request: ScoreRequest) -> tuple[Sequence[int], Sequence[int]] | str:
        made = self._read(request)
        return TOO_LONG if not isinstance(made, str) and len(made[0]) > self._context else made
