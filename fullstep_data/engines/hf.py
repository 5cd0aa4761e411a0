"""The engine `hf`: transformers in this process, on the GPU where there is one. The only file of this layer that imports torch.

    generator = HFGeneratorTool(HFEngine(batch_size=32), "path/to/model").open({})
    generator.generate([Request(prompt, seed=7, max_tokens=256, temperature=0.8, stop=("\\n\\n",))])

The decoding loop is transformers' `generate`. Ours are: the draw (one uniform number per row and token out of the request's
seed, so a sample does not depend on its neighbours), the end of each row, and the batch. Tokens that all prompts of a batch
begin with are run once, equal prompts are run once, and a batch shrinks when half of its rows have ended.

Axes of tensors: B rows of a batch, U distinct prompts of it, T tokens, V vocabulary.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, GenerationConfig
from transformers.cache_utils import DynamicLayer
from transformers.generation.logits_process import LogitsProcessor, LogitsProcessorList
from transformers.generation.stopping_criteria import StoppingCriteria, StoppingCriteriaList

from fullstep_data.config import HFEngine
from fullstep_data.engines.continuation import cut, held
from fullstep_data.engines.model_files import ModelPlace, find_model, model_identity
from fullstep_data.engines.protocol import Completion, Failure, FinishReason, NextTokens, Request
from fullstep_data.engines.tokenizer import ModelTokenizer, end_ids, quiet
from fullstep_data.prompts import Chat
from fullstep_data.stage import Tick, no_tick
from schemas import InputError

# No token is shorter than a byte of text, so this many tokens more than a stop string has bytes hold it whole, wherever it began.
_SPARE_TOKENS = 8
_NO_PROBABILITIES = Failure("model gave no probabilities", "logits were not finite")


@dataclass(frozen=True)
class HFGeneratorTool:
    """The tool `generator` of a recipe with the engine `hf`. model: a folder or a Hub id."""

    config: HFEngine
    model: str

    def identity(self, models: Mapping[str, Path]) -> str:
        return _identity(self.model, self.config.batch_size, self.config.dtype)

    def open(self, models: Mapping[str, Path]) -> "HFGenerator":
        return HFGenerator(self.model, self.config.batch_size, self.config.dtype)


class HFGenerator:
    """A causal language model that completes prompts. Raises InputError where the model cannot be loaded.

    model: a folder (whole model or LoRA adapter) or a Hub id. batch_size: most rows that run at once. dtype: "auto" is bfloat16
    on a GPU and float32 on a CPU. The identity carries `dtype` as it was asked for, so that a data set may move between machines.
    """

    def __init__(self, model: str | Path, batch_size: int = 32, dtype: str = "auto") -> None:
        self.identity = _identity(model, batch_size, dtype)
        self._batch_size = batch_size
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        default = torch.bfloat16 if self._device.type == "cuda" else torch.float32
        with quiet():
            tokenizer, self._model = _load(find_model(model), default if dtype == "auto" else getattr(torch, dtype))
        self._model.to(self._device).eval()
        self._tokenizer = ModelTokenizer(tokenizer, end_ids(tokenizer, self._model.generation_config.eos_token_id))
        # What a model recommends (repetition penalty, top-k …) must not bend the distribution that was asked for.
        self._model.generation_config = GenerationConfig()
        self._context: int | None = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        # Only plain key-value caches can have a gap in the middle and lose rows.
        layers = DynamicCache(config=self._model.config).layers
        self._shares_prompts = bool(layers) and all(type(layer) is DynamicLayer for layer in layers)

    def render(self, system: str, user: str, chat: Chat) -> str:
        """The prompt text, special tokens included. Raises InputError where chat="always" meets a tokenizer without template."""
        return self._tokenizer.render(system, user, chat)

    def generate(self, requests: Sequence[Request], tick: Tick = no_tick) -> list[Completion | Failure]:
        """One result per request, in order. Batches depend on these requests alone: the same list gives the same result.

        tick counts tokens: the total is what all requests may sample, a request that ends early jumps to its end.
        """
        with quiet():
            rows = [self._row(request) for request in requests]
            waiting = sorted((row for row in rows if isinstance(row, _Row)), key=lambda row: len(row.prompt_ids))
            total = sum(row.limit for row in waiting)
            done = 0
            for first in range(0, len(waiting), self._batch_size):
                batch = waiting[first : first + self._batch_size]
                self._run(batch, lambda tokens, done=done: tick(done + tokens, total))
                done += sum(row.limit for row in batch)
        return [row if isinstance(row, Failure) else self._result(row) for row in rows]

    def next_tokens(self, prompts: Sequence[str], top: int, tick: Tick = no_tick) -> list[NextTokens | Failure]:
        """The `top` most probable next tokens of each prompt (see `Judge.next_tokens`); tick counts prompts."""
        found: dict[int, NextTokens | Failure] = {}
        with quiet():
            rows = [self._row(Request(prompt, 0, 1)) for prompt in prompts]
            found.update((place, row) for place, row in enumerate(rows) if isinstance(row, Failure))
            waiting = [(place, row) for place, row in enumerate(rows) if isinstance(row, _Row)]
            waiting.sort(key=lambda one: len(one[1].prompt_ids))
            for first in range(0, len(waiting), self._batch_size):
                batch = waiting[first : first + self._batch_size]
                with _enough_memory(len(batch)), torch.inference_mode():
                    told = self._next([row for _, row in batch], top)
                found.update(zip((place for place, _ in batch), told, strict=True))
                tick(len(found), len(prompts))
        return [found[place] for place in range(len(prompts))]

    def _next(self, rows: list["_Row"], top: int) -> list[NextTokens | Failure]:
        ids, mask, cache = self._read_prompts(rows)
        places = (mask.cumsum(-1) - 1).clamp(min=0)  # [B, T]
        read = slice(None) if cache is None else slice(-1, None)
        made = self._model(ids[:, read], attention_mask=mask, position_ids=places[:, read], past_key_values=cache)
        logprobs, tokens = made.logits[:, -1].float().log_softmax(-1).sort(descending=True, stable=True)  # [B, V] each
        told: list[NextTokens | Failure] = []
        for row, found in zip(logprobs[:, :top].tolist(), tokens[:, :top].tolist(), strict=True):
            if any(map(math.isnan, row)):
                told.append(_NO_PROBABILITIES)
            else:
                told.append(tuple((self._tokenizer.decode([token]), number) for token, number in zip(found, row, strict=True)))
        return told

    def _row(self, request: Request) -> "_Row | Failure":
        prompt_ids = [*self._tokenizer.encode(request.prompt), *request.prefix]
        if not prompt_ids:
            return Failure("prompt without tokens")
        room = request.max_tokens if self._context is None else self._context - len(prompt_ids)
        if room < 1:
            detail = f"{len(prompt_ids)} tokens; the model reads {self._context}"
            return Failure("prompt longer than the context", detail)
        return _Row(request, prompt_ids, min(room, request.max_tokens))

    def _run(self, rows: list["_Row"], report: Callable[[int], None]) -> None:
        """Samples until every row has ended; writes the outcome into the rows."""
        with _enough_memory(len(rows)), torch.inference_mode():
            self._sample(rows, report)

    def _sample(self, rows: list["_Row"], report: Callable[[int], None]) -> None:
        ids, mask, cache = self._read_prompts(rows)
        draw = _Draw(rows, self._device)
        ends = _Ends(rows, self._tokenizer, shrink=cache is not None, report=report)
        while ends.live:
            ids = self._model.generate(
                ids,
                attention_mask=mask,
                past_key_values=cache,
                do_sample=False,
                max_new_tokens=max(row.limit - len(row.tokens) for row in ends.live),
                logits_processor=LogitsProcessorList([draw]),
                stopping_criteria=StoppingCriteriaList([ends]),
            )
            keep = torch.tensor([index for index, row in enumerate(ends.rows) if row.live], device=self._device)
            if cache is None or not len(keep):
                continue
            mask = torch.nn.functional.pad(mask, (0, ids.shape[1] - mask.shape[1]), value=1)
            ids, mask = ids[keep], mask[keep]
            cache.batch_select_indices(keep)
            draw.select(keep)
            ends.rows = draw.rows = ends.live

    def _read_prompts(self, rows: list["_Row"]) -> tuple[torch.Tensor, torch.Tensor, DynamicCache | None]:
        """Prompt ids [B, T], their mask [B, T], and a cache of all but their last token (None: `generate` makes its own).

        Padding stands between the tokens that all prompts begin with and the rest of each; positions skip it.
        """
        distinct = list(dict.fromkeys(tuple(row.prompt_ids) for row in rows))
        common = _common_prefix(distinct) if self._shares_prompts else 0
        width = max(map(len, distinct))
        ids = torch.zeros(len(distinct), width, dtype=torch.long)  # [U, T]; id 0 where masked
        mask = torch.zeros(len(distinct), width, dtype=torch.long)
        for index, prompt in enumerate(distinct):
            tail = width - (len(prompt) - common)
            ids[index, :common], ids[index, tail:] = torch.tensor(prompt[:common]), torch.tensor(prompt[common:])
            mask[index, :common] = mask[index, tail:] = 1
        ids, mask = ids.to(self._device), mask.to(self._device)
        place = {prompt: index for index, prompt in enumerate(distinct)}
        select = torch.tensor([place[tuple(row.prompt_ids)] for row in rows], device=self._device)
        if not self._shares_prompts:
            return ids[select], mask[select], None
        cache = DynamicCache(config=self._model.config)
        decoder = self._model.base_model  # without the head: no logits are wanted here
        if common:
            decoder(ids[:1, :common], past_key_values=cache, use_cache=True)
            cache.batch_repeat_interleave(len(distinct))
        if width - 1 > common:
            decoder(
                ids[:, common:-1],
                attention_mask=mask[:, :-1],
                position_ids=(mask.cumsum(-1) - 1).clamp(min=0)[:, common:-1],
                past_key_values=cache,
                use_cache=True,
            )
        if width > 1:
            cache.batch_select_indices(select)
        return ids[select], mask[select], cache

    def _result(self, row: "_Row") -> Completion | Failure:
        if row.broken:
            return _NO_PROBABILITIES
        assert row.reason is not None
        prompt_tokens = len(row.prompt_ids) - len(row.request.prefix)
        return self._tokenizer.completion(row.request, row.tokens, row.reason, prompt_tokens)

    def cut(self, text: str, token_ids: Sequence[int], stops: Sequence[int]) -> list[tuple[int, int]]:
        """The fewest ids that hold `text` up to each stop (see `Generator.cut`)."""
        return cut(self._tokenizer.decode, text, token_ids, stops)


@dataclass
class _Row:
    """One request while it runs. limit: most tokens it may sample. tokens: sampled so far, without an end token."""

    request: Request
    prompt_ids: list[int]
    limit: int
    tokens: list[int] = field(default_factory=list)
    reason: FinishReason | None = None
    broken: bool = False

    @property
    def live(self) -> bool:
        return self.reason is None and not self.broken


class _Draw(LogitsProcessor):
    """Draws each row's next token from its own distribution by inverting the cumulative distribution at the row's uniform number.

    Exact at any temperature; top-p keeps the most probable tokens whose mass before them is below top_p. One number per token
    (Gumbel noise would need V) keeps the draw off the GPU's critical path.
    """

    def __init__(self, rows: list[_Row], device: torch.device) -> None:
        self.rows = rows
        self._step = 0
        numbers = numpy.zeros((len(rows), max(row.limit for row in rows)))
        for index, row in enumerate(rows):
            numbers[index, : row.limit] = numpy.random.default_rng(row.request.seed).random(row.limit)
        self._numbers = torch.from_numpy(numbers).to(device)  # [B, T]
        self._temperature = torch.tensor([[row.request.temperature] for row in rows], device=device)  # [B, 1]
        self._top_p = torch.tensor([[row.request.top_p] for row in rows], device=device)  # [B, 1]

    def select(self, keep: torch.Tensor) -> None:
        """Goes on with these rows only."""
        self._numbers, self._temperature, self._top_p = self._numbers[keep], self._temperature[keep], self._top_p[keep]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """scores [B, V] -> 0 at the drawn token of each row, minus infinity elsewhere."""
        best, greedy = scores.max(-1, keepdim=True)  # [B, 1] each
        for row, finite in zip(self.rows, best.isfinite().flatten().tolist(), strict=True):
            row.broken = row.broken or (row.live and not finite)
        sampled = self._temperature > 0
        heat = torch.where(sampled, self._temperature, 1.0)
        probabilities = torch.softmax((scores - best) / heat, dim=-1)  # [B, V]
        if (self._top_p < 1).any():
            probabilities = _nucleus(probabilities, self._top_p)
        cumulative = probabilities.cumsum(-1, dtype=torch.float64)
        target = self._numbers[:, self._step, None] * cumulative[:, -1:]
        drawn = torch.searchsorted(cumulative, target, right=True).clamp(max=scores.shape[-1] - 1)
        self._step += 1
        token = torch.where(sampled, drawn, greedy)
        return torch.full_like(scores, -torch.inf).scatter(-1, token, 0.0)


def _nucleus(probabilities: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """probabilities [B, V], top_p [B, 1] -> the same with 0 outside of each row's nucleus (not summing to 1)."""
    ordered, index = torch.sort(probabilities, dim=-1, descending=True, stable=True)
    outside = (ordered.cumsum(-1) - ordered >= top_p) & (top_p < 1)
    return torch.zeros_like(probabilities).scatter(-1, index, ordered.masked_fill(outside, 0.0))


class _Ends(StoppingCriteria):
    """Collects each row's sampled tokens and says when it ends: at an end token, a stop string, or its limit.

    shrink: also end the call when only half of its rows are live; the caller goes on with those.
    """

    def __init__(self, rows: list[_Row], tokenizer: ModelTokenizer, shrink: bool, report: Callable[[int], None]) -> None:
        self.rows = rows
        self._all_rows = rows
        self._tokenizer = tokenizer
        self._shrink = shrink
        self._report = report

    @property
    def live(self) -> list[_Row]:
        return [row for row in self.rows if row.live]

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> Any:
        """input_ids [B, T] -> ended [B]."""
        for row, token in zip(self.rows, input_ids[:, -1].tolist(), strict=True):
            if row.live:
                self._take(row, token)
        self._report(sum(len(row.tokens) if row.live else row.limit for row in self._all_rows))
        ended = [not row.live for row in self.rows]
        if self._shrink and 2 * sum(ended) >= len(ended):
            ended = [True] * len(ended)
        return torch.tensor(ended, device=input_ids.device)

    def _take(self, row: _Row, token: int) -> None:
        if token in self._tokenizer.end_ids:
            row.reason = "eos"
            return
        row.tokens.append(token)
        if row.request.stop and self._stops(row):
            row.reason = "stop"
            return
        if len(row.tokens) >= row.limit:
            row.reason = "length"

    def _stops(self, row: _Row) -> bool:
        """Do the last tokens hold a stop string that ends in what was sampled? One may begin in the prefix; one that lies in the
        prefix alone, as the end of the step before, is over.
        """
        width = max(len(stop.encode()) for stop in row.request.stop) + _SPARE_TOKENS
        recent = row.tokens[-width:]
        lead = row.request.prefix[len(row.request.prefix) - min(len(row.request.prefix), width - len(recent)) :]
        tail, border = self._tokenizer.decode([*lead, *recent]), held(self._tokenizer.decode, lead)
        return any(tail.find(stop, max(0, border - len(stop) + 1)) >= 0 for stop in row.request.stop)


@contextmanager
def _enough_memory(rows: int) -> Iterator[None]:
    """InputError where the GPU cannot hold a batch of so many rows."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise InputError(
            "the GPU's memory does not hold a batch", count=rows, next_step="lower engine.batch_size in the recipe"
        ) from error


def _identity(model: str | Path, batch_size: int, dtype: str) -> str:
    return f"hf:{model_identity(model)}:{dtype}:batch{batch_size}"


def _load(place: ModelPlace, dtype: torch.dtype) -> tuple[Any, Any]:
    """Tokenizer and model. An adapter is merged into its base. Weights that are missing are an error, never random numbers."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(place.path, revision=place.revision or "main")
        if place.adapter is not None:
            from peft import PeftConfig, PeftModel

            base = PeftConfig.from_pretrained(place.path).base_model_name_or_path
            _, model = _load(find_model(str(base)), dtype)
            with warnings.catch_warnings():
                # peft 0.21 asks transformers 5.23 for a name that is on its way out
                warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)
                return tokenizer, PeftModel.from_pretrained(model, place.path).merge_and_unload()
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            place.path, revision=place.revision or "main", dtype=dtype, output_loading_info=True
        )
        model, report = loaded
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise InputError(
            f"model cannot be loaded: {error}",
            where=place.path,
            next_step="give a folder that holds a causal language model and its tokenizer (both written by save_pretrained)",
        ) from error
    if report["missing_keys"]:
        raise InputError(
            "model lacks weights of a causal language model",
            where=place.path,
            count=len(report["missing_keys"]),
            examples=sorted(report["missing_keys"]),
            next_step="give a causal language model, not a classifier or an encoder",
        )
    return tokenizer, model


def _common_prefix(prompts: Sequence[tuple[int, ...]]) -> int:
    """How many tokens all prompts begin with; each keeps at least one token of its own."""
    same = takewhile(lambda column: len(set(column)) == 1, zip(*prompts, strict=False))
    return min(sum(1 for _ in same), min(map(len, prompts)) - 1)
