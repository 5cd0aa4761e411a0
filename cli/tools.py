"""The tools of both pipelines: what fullstep_train and the engines offer, in the form that the stages of fullstep_data expect.

    tools = build_tools(recipe, reporter)       # wrong model names fail here, before anything is computed
    run(build_stages(recipe), recipe, store, tools, reporter)

The only file where both layers meet. Importing it imports torch, so commands do that when they need it.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import TypeAdapter
from transformers.utils import logging as hf_logging

from cli.bench_model import bench_model, is_bench_model
from cli.progress import ProgressReporter
from cli.recipe import Recipe, learnt
from fullstep_data.config import (
    Engine,
    GivenSolutions,
    HFEngine,
    JudgeLabels,
    MonteCarloLabels,
    OurFormat,
    ScriptedEngine,
    ServerEngine,
    SolutionsConfig,
    StepScoresConfig,
    TransformersReference,
    TransformersScoring,
    VLLMEngine,
    VLLMReference,
    VLLMScoring,
)
from fullstep_data.engines.scripted import ScriptedTool
from fullstep_data.engines.server import ServerTool
from fullstep_data.engines.vllm import VLLMTool
from fullstep_data.engines.vllm_logprobs import VLLMLogprobs
from fullstep_data.engines.vllm_scorer import PublicVLLMScorerTool, VLLMScorer
from fullstep_data.evaluation import EvalRecipe
from fullstep_data.grading import GraderTool
from fullstep_data.pipeline import reference_of, stages_of, with_labels_as_rewards
from fullstep_data.rollouts import KnownTool
from fullstep_data.sources.given import GivenTool
from fullstep_data.stage import Stage, Tick, Tool
from fullstep_data.store import Store, Version, open_version, parse_spec
from fullstep_data.store.disk import write_error
from fullstep_data.store.storage import is_bucket
from fullstep_train.checks import Kind, require_same_tokenizer, require_trainable
from fullstep_train.config import LabelsAsRewards, PolicyTraining, PRMGiven, PRMTraining
from fullstep_train.launch import Launch, launch, train
from fullstep_train.models import identity, resolve
from fullstep_train.preferences import preferences_of
from fullstep_train.progress import Figures, Watch, no_figures
from fullstep_train.reference import Reference, load_reference, reference_identity
from fullstep_train.scorer import Scorer, load_scorer, scorer_identity, step_reader
from fullstep_train.tokens import Tokenised
from schemas import InputError
from schemas.ids import content_id

hf_logging.disable_progress_bar()  # the terminal is cli.progress's
hf_logging.set_verbosity_error()
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # where it is imported it tells of kernels that nothing here uses

Folders = Mapping[str, Path]
"""Folders of the models that this run has made so far, by stage name."""


def find_model(name: str, reporter: ProgressReporter) -> str:
    """The folder (or Hub id) of a model. A built-in one is made at its first use, which takes a while and is shown as a stage."""
    shown = False

    def tick(done: int, total: int) -> None:
        nonlocal shown
        if not shown:
            reporter.stage_started(name, 1, 0)
            shown = True
        reporter.part_progress(name, done / total if total else 1.0)

    started = time.monotonic()
    try:
        folder = str(bench_model(name, tick) if is_bench_model(name) else resolve(name, tick))
    except InputError:
        raise
    except Exception as error:  # a full disk, as safetensors tells it, is no OSError
        told = _cannot_make(name, error)
        if told is None:
            raise
        raise told from error
    if not Path(folder).is_dir():
        identity(folder)  # a Hub id that cannot be had fails here, and not hours later in the stage that needs it
    if shown:
        reporter.stage_done(name, None, {}, time.monotonic() - started, 0)
    return folder


def _cannot_make(name: str, error: Exception) -> InputError | None:
    """What to tell of a built-in model that its cache cannot take; None where the disk is not to blame."""
    place = Path(str(getattr(error, "filename", None) or Path.home() / ".cache" / "fullstep"))
    told = write_error(place, error)
    if told is None:
        return None
    step = "free some space, or set FULLSTEP_CACHE to a folder that can be written, and run the same command again"
    return InputError(f"the model {name} cannot be made: {told.what}", where=told.where, next_step=step)


def generator(engine: HFEngine, folder: str) -> Tool:
    """`generator` by transformers."""
    from fullstep_data.engines.hf import HFGeneratorTool

    return HFGeneratorTool(engine, folder)


def sampler(engine: Engine, model: str, reporter: ProgressReporter) -> Tool:
    """`generator` by any engine. model: of the recipe, for an engine that names none itself."""
    match engine:
        case ScriptedEngine():
            return ScriptedTool(engine)
        case GivenSolutions():
            return GivenTool(engine)
        case HFEngine():
            return generator(engine, find_model(engine.model or model, reporter))
        case VLLMEngine():
            return VLLMTool(engine, find_model(engine.model or model, reporter))
        case ServerEngine():
            tokenizer = None if engine.prompts == "text" else find_model(engine.tokenizer or model, reporter)
            return ServerTool(engine, engine.model or model, tokenizer)


def build_stages(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages of `fs-data build`; none trains a PRM where the recipe names one, or wants none."""
    stages = stages_of(recipe)
    if isinstance(recipe.prm, PRMGiven):
        stages = tuple(stage for stage in stages if stage.name != "prm")
    elif isinstance(recipe.prm, LabelsAsRewards):
        stages = with_labels_as_rewards(stages)
    return (*stages, reference_of(learnt(recipe))) if recipe.reference_logprobs.in_dataset else stages


def build_tools(
    recipe: Recipe,
    reporter: ProgressReporter,
    launch: Launch | None = None,
    trackers: tuple[str, ...] = (),
    store: Store | None = None,
) -> dict[str, Tool]:
    """The tools that `build_stages` need. launch: train the PRM in several processes. trackers: follow its training. store:
    whose rollouts need not be drawn again.
    """
    tools: dict[str, Tool] = {
        "grader": GraderTool(recipe.solutions),
        "generator": sampler(recipe.samples.engine, recipe.model, reporter),
    }
    if isinstance(recipe.step_labels, MonteCarloLabels):
        other = recipe.step_labels.engine
        tools["known_rollouts"] = KnownTool(store.path if store else None)
        tools["rollout_generator"] = tools["generator"] if other is None else sampler(other, recipe.model, reporter)
    judges = {"judge": recipe.step_labels} | {f"judge_{place}": side for place, side in enumerate(recipe.side_labels, start=1)}
    for name, labels in judges.items():
        if isinstance(labels, JudgeLabels):
            tools[name] = tools["generator"] if labels.engine is None else sampler(labels.engine, recipe.model, reporter)
    if isinstance(recipe.prm, PRMGiven):
        tools["scorer"] = given_scorer(recipe.step_scores, find_model(recipe.prm.path, reporter))
    elif isinstance(recipe.prm, PRMTraining):
        base = find_model(recipe.prm.base or recipe.model, reporter)
        require_trainable("prm", base, recipe.prm)
        tools["prm_trainer"] = Trainer(base, "prm", launch, reporter.figures, trackers)
        tools["scorer"] = scorer(recipe.step_scores.engine, None)
    if recipe.reference_logprobs.in_dataset:
        base, engine = find_model(recipe.policy.base or recipe.model, reporter), recipe.reference_logprobs.engine
        tools["reference"] = ReferenceTool(base, recipe.policy, engine=engine)
    return tools


def eval_tools(recipe: EvalRecipe, reporter: ProgressReporter) -> dict[str, Tool]:
    """The tools of `fullstep_data.evaluation`. InputError: the PRM reads other tokens than the model writes."""
    tools: dict[str, Tool] = {
        "grader": GraderTool(SolutionsConfig()),
        "generator": sampler(recipe.engine, recipe.model, reporter),
    }
    if recipe.prm:
        folder = find_prm(recipe.prm, reporter)
        writer = _tokenizer_of(recipe.engine, recipe.model)
        if writer is not None:
            require_same_tokenizer(find_model(writer, reporter), folder, "prm")
        tools["scorer"] = ScorerTool(folder)
    return tools


def _tokenizer_of(engine: Engine, model: str) -> str | None:
    """The model, or folder, whose tokenizer makes an engine's prompts; None where they are plain text. model: of the recipe."""
    match engine:
        case HFEngine() | VLLMEngine():
            return engine.model or model
        case ServerEngine():
            return None if engine.prompts == "text" else engine.tokenizer or model
        case _:
            return None


def require_reads(version: Version, model: Path | str, kind: Kind) -> None:
    """InputError where a PRM, or a model to be trained, has another tokenizer than what made the prompts of stored samples;
    nothing is told where that is not on this machine.
    """
    recipe = version.manifest.recipe
    settings = recipe.get("engine") or recipe.get("samples", {}).get("engine")
    if settings is None:  # an import
        return
    writer = _tokenizer_of(TypeAdapter[Engine](Engine).validate_python(settings), str(recipe.get("model", "")))
    try:
        sampler = None if writer is None else resolve(writer)
    except InputError:
        return
    if isinstance(sampler, Path):
        require_same_tokenizer(sampler, model, kind)


def find_prm(name: str, reporter: ProgressReporter) -> Path:
    """The folder of a PRM: one as `train_prm` leaves it, or the one that a dataset (DIR@VERSION) has trained."""
    place, _ = parse_spec(name)
    if is_bucket(name) or (place / "versions").is_dir():
        return open_version(name).model("prm")
    return Path(find_model(name, reporter))


def train_tools(
    recipe: Recipe,
    reporter: ProgressReporter,
    data: Version,
    launch: Launch | None = None,
    trackers: tuple[str, ...] = (),
) -> dict[str, Tool]:
    """The tools of `fullstep_data.pipeline.training`.

    data: what is trained on; its own reference_logprobs, if it has them, need not be made again. launch: train in several
    processes. trackers: follow the training.
    """
    base = find_model(recipe.policy.base or recipe.model, reporter)
    require_trainable("policy", base, recipe.policy)
    require_reads(data, base, "policy")
    known = data.frame("reference_logprobs") if "reference_logprobs" in data.tables else None
    engine = HFEngine(batch_size=recipe.evaluation.batch_size)
    return {
        "grader": GraderTool(recipe.solutions),
        "generator_before": generator(engine, base),
        "reference": ReferenceTool(base, recipe.policy, known, recipe.reference_logprobs.engine),
        "policy_trainer": Trainer(base, "policy", launch, reporter.figures, trackers),
        "generator_after": PolicyGenerator(engine),
    }


@dataclass(frozen=True)
class Trainer:
    """`prm_trainer` or `policy_trainer`: a training bound to its base model, whose content decides the result.

    launch, figures, trackers: in several processes, and who looks on, which decide nothing.
    """

    base: str
    kind: Kind
    launch: Launch | None = None
    figures: Figures = no_figures
    trackers: tuple[str, ...] = ()

    def identity(self, models: Folders) -> str:
        return identity(self.base)

    def open(self, models: Folders) -> Callable[..., None]:
        work = partial(launch, self.launch) if self.launch else train

        def trained(tables: Mapping[str, pl.DataFrame], config: Any, folder: Path, tick: Tick) -> None:
            work(self.kind, tables, config, self.base, folder, Watch(tick, self.figures, self.trackers))

        return trained


@dataclass(frozen=True)
class ScorerTool:
    """`scorer`: the PRM in `folder`, or (None) the one that stage `prm` of this run has made."""

    folder: Path | None

    def identity(self, models: Folders) -> str:
        return scorer_identity(self.folder or models["prm"])

    def open(self, models: Folders) -> Scorer:
        return load_scorer(self.folder or models["prm"])


@dataclass(frozen=True)
class VLLMScorerTool:
    """`scorer` in vLLM. Its rewards differ from those of transformers in the last digits, so it has an identity of its own."""

    engine: VLLMScoring
    folder: Path | None

    def identity(self, models: Folders) -> str:
        return content_id("vllm", self.engine.dtype, scorer_identity(self.folder or models["prm"]))

    def open(self, models: Folders) -> VLLMScorer:
        folder = self.folder or models["prm"]
        return VLLMScorer(self.identity(models), folder, self.engine, step_reader(folder))


def scorer(engine: TransformersScoring | VLLMScoring, folder: Path | None) -> Tool:
    """`scorer`: the PRM in `folder` (None: the one that stage `prm` makes), in what the recipe says it runs in."""
    return ScorerTool(folder) if isinstance(engine, TransformersScoring) else VLLMScorerTool(engine, folder)


def given_scorer(config: StepScoresConfig, model: str) -> Tool:
    """`scorer`: a finished PRM, in the format that the recipe says."""
    if isinstance(config.format, OurFormat):
        return scorer(config.engine, Path(model))
    if isinstance(config.engine, VLLMScoring):
        return PublicVLLMScorerTool(config.engine, model, config.format)
    from fullstep_data.engines.public_prm import PublicPRMTool

    return PublicPRMTool(model, config.format)


@dataclass(frozen=True)
class PolicyGenerator:
    """`generator_after`: the policy that this run has made."""

    engine: HFEngine

    def identity(self, models: Folders) -> str:
        return generator(self.engine, str(models["policy"])).identity(models)

    def open(self, models: Folders) -> Any:
        return generator(self.engine, str(models["policy"])).open(models)


@dataclass(frozen=True)
class ReferenceTool:
    """`reference`: the model that the policy is trained from, before that. known: rows that need not be made again."""

    base: str
    config: PolicyTraining
    known: pl.DataFrame | None = None
    engine: TransformersReference | VLLMReference = field(default_factory=TransformersReference)

    def identity(self, models: Folders) -> str:
        """What the column `reference` says, and, as the last digits differ, that vLLM computes."""
        name = reference_identity(self.base, self.config)
        return name if isinstance(self.engine, TransformersReference) else f"{name}:vllm:{self.engine.dtype}"

    def open(self, models: Folders) -> "OpenReference":
        if isinstance(self.engine, TransformersReference):
            return OpenReference(load_reference(self.base, self.config), self.known)
        loaded = VLLMLogprobs(str(resolve(self.base)), self.engine)

        def compute(texts: Sequence[Tokenised]) -> list[list[float]]:
            return loaded([(text.ids, text.prompt_tokens) for text in texts])

        return OpenReference(load_reference(self.base, self.config, compute), self.known, loaded.close)


@dataclass(frozen=True)
class OpenReference:
    """The opened `reference`. close: gives its memory back."""

    reference: Reference
    known: pl.DataFrame | None = None
    close: Callable[[], None] = lambda: None

    def __call__(self, tables: Mapping[str, pl.DataFrame], tick: Tick) -> tuple[pl.DataFrame, pl.DataFrame]:
        return self.reference.logprobs(preferences_of(tables), self.known, tick)
