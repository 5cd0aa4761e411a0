"""A published PRM in transformers, as a StepScorer: asked in its own format, without any code out of its folder.

    tool = PublicPRMTool("path/to/Qwen2.5-Math-PRM-7B", QwenFormat())
    tool.open({}).score(groups)          # groups of requests with their question

What a reward is, at the tokens that `prm_layouts` names (logits z, hidden state h after the last norm):

math-shepherd, rlhflow   softmax over z[good], z[bad] of the next token, the share of good
skywork                  sigmoid(w . h + b), the value head `v_head.summary`
qwen                     softmax(W2 relu(W1 h + b1) + b2), the share of label 1, the head `score`
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import AutoModel, AutoModelForCausalLM

from fullstep_data.config import MathShepherdFormat, PublicFormat, QwenFormat, RLHFlowFormat
from fullstep_data.engines.model_files import find_model, model_identity
from fullstep_data.engines.prm_layouts import Layout, Read, reader, verdict_tokens
from fullstep_data.engines.protocol import ScoreRequest
from fullstep_data.engines.tokenizer import load_tokenizer, quiet
from fullstep_data.stage import Tick, no_tick
from schemas import InputError
from schemas.ids import content_id

_AT_ONCE = 8
_HEADS = {
    "qwen": ("score.0.weight", "score.0.bias", "score.2.weight", "score.2.bias"),
    "skywork": ("v_head.summary.weight", "v_head.summary.bias"),
}


@dataclass(frozen=True)
class PublicPRMTool:
    """The tool `scorer` of a recipe with a format that is not ours. model: a folder or a Hub id."""

    model: str
    form: PublicFormat

    def identity(self, models: Mapping[str, Path]) -> str:
        """Content of the model and the format."""
        return content_id("public prm", model_identity(self.model), self.form.model_dump())

    def open(self, models: Mapping[str, Path]) -> "PublicPRM":
        return PublicPRM(self.identity(models), self.model, self.form)


class PublicPRM:
    """Rewards steps. Raises InputError where the folder holds no such PRM, or its tokenizer lacks the format's tags."""

    def __init__(self, identity: str, model: str, form: PublicFormat) -> None:
        self.identity = identity
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        dtype = torch.bfloat16 if self._device.type == "cuda" else torch.float32
        self._tokenizer = load_tokenizer(model).tokenizer
        reader(form, self._tokenizer, None)  # a tag that is missing is told before gigabytes are read
        self._model = _loaded(model, form, dtype).to(self._device)
        context: int | None = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        self._read: Read = reader(form, self._tokenizer, context)
        self._rewards: Callable[[Tensor], Tensor] = self._head(model, form)

    def score(self, groups: Sequence[Sequence[ScoreRequest]], tick: Tick = no_tick) -> list[list[list[float] | str]]:
        """For each solution of each group: the reward [K] of its steps, or the reason why there is none."""
        found: list[list[list[float] | str]] = []
        for done, group in enumerate(groups, start=1):
            found.append(self._score_group(group))
            tick(done, len(groups))
        return found

    def _score_group(self, group: Sequence[ScoreRequest]) -> list[list[float] | str]:
        read = [self._read(request) for request in group]
        usable = [one for one in read if isinstance(one, Layout)]
        made: list[list[float]] = []
        for first in range(0, len(usable), _AT_ONCE):
            made += self._batch(usable[first : first + _AT_ONCE])
        rewards = iter(made)
        return [one if isinstance(one, str) else next(rewards) for one in read]

    def _batch(self, layouts: Sequence[Layout]) -> list[list[float]]:
        """Padded on the right, where a causal model does not look."""
        width = max(len(one.ids) for one in layouts)
        ids = torch.zeros(len(layouts), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, one in enumerate(layouts):
            ids[row, : len(one.ids)] = torch.tensor(list(one.ids))
            mask[row, : len(one.ids)] = 1
        with torch.inference_mode():
            made = self._model(ids.to(self._device), attention_mask=mask.to(self._device), use_cache=False)
            outputs: Tensor = made.logits if hasattr(made, "logits") else made.last_hidden_state
            return [self._rewards(outputs[row, list(one.places)].float()).tolist() for row, one in enumerate(layouts)]

    def _head(self, model: str, form: PublicFormat) -> Callable[[Tensor], Tensor]:
        """Rewards [K] of what the model gives at the places of the steps: logits [K, V], or hidden states [K, H]."""
        if isinstance(form, MathShepherdFormat | RLHFlowFormat):
            verdicts = list(verdict_tokens(form, self._tokenizer))
            return lambda logits: logits[:, verdicts].softmax(-1)[:, 0]
        weights = [one.to(self._device, torch.float32) for one in _head_weights(model, form.kind)]
        if isinstance(form, QwenFormat):
            first, first_bias, second, second_bias = weights
            return lambda hidden: ((hidden @ first.T + first_bias).relu() @ second.T + second_bias).softmax(-1)[:, 1]
        weight, bias = weights
        return lambda hidden: (hidden @ weight.T + bias).sigmoid()[:, 0]


def _loaded(model: str, form: PublicFormat, dtype: torch.dtype) -> Any:
    """The language model, or for formats with a head of their own the model beneath it."""
    kind = AutoModelForCausalLM if isinstance(form, MathShepherdFormat | RLHFlowFormat) else AutoModel
    place = find_model(model)
    with quiet():
        try:
            loaded: Any = kind.from_pretrained(
                place.path, revision=place.revision or "main", dtype=dtype, output_loading_info=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError) as error:
            raise _no_prm(place.path, form.kind, str(error).splitlines()[0]) from error
    if loaded[1]["missing_keys"]:
        raise _no_prm(place.path, form.kind, f"weights are missing: {', '.join(sorted(loaded[1]['missing_keys'])[:3])}")
    return loaded[0].eval()


def _head_weights(model: str, kind: str) -> list[Tensor]:
    place = find_model(model)
    folder = Path(place.path)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(place.path, revision=place.revision, allow_patterns=["*.safetensors"]))
    found: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            found.update({name: opened.get_tensor(name) for name in opened.keys() if name in _HEADS[kind]})  # noqa: SIM118
    missing = [name for name in _HEADS[kind] if name not in found]
    if missing:
        raise _no_prm(str(folder), kind, f"its safetensors hold no {', '.join(missing)}")
    return [found[name] for name in _HEADS[kind]]


def _no_prm(where: str, kind: str, why: str) -> InputError:
    return InputError(
        f"the folder holds no PRM of the format {kind}: {why}",
        where=where,
        next_step="name the folder or Hub id of such a PRM, or another step_scores.format.kind",
    )
