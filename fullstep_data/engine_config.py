"""The engines that a recipe may name, typed: one frozen model per kind. Part of `fullstep_data.config`.

    [samples.engine]
    kind = "server"                       # hf, vllm, server, scripted, given
    url = "http://localhost:8000/v1"

Inert: nothing here opens a file, a model or a connection.
"""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Config(BaseModel):
    """Base of every section: frozen; an unknown key, NaN and infinity are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class HFEngine(Config):
    """transformers in this process. model None: the recipe's `model`."""

    kind: Literal["hf"] = "hf"
    model: str | None = None
    batch_size: int = Field(default=32, ge=1)
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"


class VLLMSettings(Config):
    """How vLLM (extra `vllm`) runs a model.

    dtype: auto = bfloat16 on a GPU and float32 on a CPU. gpu_memory_utilization: share of the memory that weights and caches may
    take. tensor_parallel: GPUs that share the model. eager: without compilation; starts faster and runs slower.
    """

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    tensor_parallel: int = Field(default=1, ge=1)
    eager: bool = False


class VLLMEngine(VLLMSettings):
    """vLLM in this process. model None: the recipe's `model`.

    max_model_len: longest prompt + completion in tokens (None: what the model was built for); a smaller one leaves room for more
    requests at once.
    """

    kind: Literal["vllm"] = "vllm"
    model: str | None = None
    max_model_len: int | None = Field(default=None, ge=2)


class ServerEngine(Config):
    """Any server with OpenAI's completions endpoint: vLLM, SGLang, llama.cpp.

    url: where its paths begin, usually with /v1 at the end. model: its name there (None: the recipe's `model`).
    prompts: token-ids = made here by `tokenizer` (None: that of the recipe's `model`), so that the model reads exactly what the
    data set says; sampled ids come back where the server offers them. text = for servers that read text alone; the server
    adds its own special tokens, and there is no chat template. api_key_env: NAME of the environment variable that holds the key.
    concurrency: requests in flight. timeout_seconds: for one answer. retries: of one request, after pauses that grow.
    """

    kind: Literal["server"] = "server"
    url: str
    model: str | None = None
    prompts: Literal["token-ids", "text"] = "token-ids"
    tokenizer: str | None = None
    api_key_env: str | None = None
    concurrency: int = Field(default=32, ge=1)
    timeout_seconds: float = Field(default=600.0, gt=0)
    retries: int = Field(default=8, ge=0)

    @field_validator("url")
    @classmethod
    def _url_without_secrets(cls, url: str) -> str:
        # The text of these errors does not repeat the value: recipes stand in manifests, and errors in logs.
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not an http:// or https:// address")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("an address without user, password or query: a key goes into an environment variable (api_key_env)")
        return url.rstrip("/")

    @field_validator("api_key_env")
    @classmethod
    def _name_not_key(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            raise ValueError("not the name of an environment variable in capitals; the key itself must not stand in a recipe")
        return name

    @model_validator(mode="after")
    def _tokenizer_goes_with_ids(self) -> "ServerEngine":
        if self.prompts == "text" and self.tokenizer is not None:
            raise ValueError('tokenizer goes with prompts = "token-ids"')
        return self


class ScriptedEngine(Config):
    """No model: works sums out step by step and errs with a given probability per step. For tests and examples."""

    kind: Literal["scripted"] = "scripted"
    error_rate: float = Field(default=0.2, ge=0, le=1)


class GivenSolutions(Config):
    """Solutions that were sampled elsewhere: one row per solution, several rows per question. All of them are taken: the other
    keys of `samples` but the prompt have no effect (unless Monte-Carlo labels continue them).
    """

    kind: Literal["given"] = "given"
    path: str
    question: str | tuple[str, ...] = "question"
    solution: str = "solution"


Engine = Annotated[HFEngine | VLLMEngine | ServerEngine | ScriptedEngine | GivenSolutions, Field(discriminator="kind")]


class TransformersScoring(Config):
    """The PRM runs in transformers, a problem's solutions together."""

    kind: Literal["transformers"] = "transformers"


class VLLMScoring(VLLMSettings):
    """The PRM runs in vLLM: faster on a GPU, rewards within 1e-4 of those of transformers (in float32)."""

    kind: Literal["vllm"] = "vllm"


ScoringEngine = Annotated[TransformersScoring | VLLMScoring, Field(discriminator="kind")]


class TransformersReference(Config):
    """The reference model runs in transformers, by the very code that trains the policy."""

    kind: Literal["transformers"] = "transformers"


class VLLMReference(VLLMSettings):
    """The reference model runs in vLLM: log-probs within 1e-4 of those of transformers (in float32)."""

    kind: Literal["vllm"] = "vllm"


ReferenceEngine = Annotated[TransformersReference | VLLMReference, Field(discriminator="kind")]


class OurFormat(Config):
    """A PRM as a build trains it: two classes, read at the last token of each step of the very text that was sampled."""

    kind: Literal["ours"] = "ours"


class MathShepherdFormat(Config):
    """A language model that writes `good` or `bad` after the tag that ends each step (Math-Shepherd, arXiv 2312.08935)."""

    kind: Literal["math-shepherd"] = "math-shepherd"
    tag: str = "ки"
    good: str = "+"
    bad: str = "-"


class RLHFlowFormat(Config):
    """A chat model that answers each step, a turn of the user, with `good` or `bad` (RLHFlow, math-rm)."""

    kind: Literal["rlhflow"] = "rlhflow"
    good: str = "+"
    bad: str = "-"


class SkyworkFormat(Config):
    """A value head, read at the separator that ends each step (Skywork-o1-Open-PRM)."""

    kind: Literal["skywork"] = "skywork"
    separator: str = "\n"


class QwenFormat(Config):
    """Two classes by a head of two layers, read at the tag that ends each step (Qwen2.5-Math-PRM, arXiv 2501.07301).

    system: the system message of its chat.
    """

    kind: Literal["qwen"] = "qwen"
    tag: str = "<extra_0>"
    system: str = "Please reason step by step, and put your final answer within \\boxed{}."


PublicFormat = MathShepherdFormat | RLHFlowFormat | SkyworkFormat | QwenFormat
PRMFormat = Annotated[OurFormat | PublicFormat, Field(discriminator="kind")]
