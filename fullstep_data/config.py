"""The data half of a recipe, typed: one frozen model per stage. Inert: nothing here opens a file or a model.

Choices that cannot stand together are different types, told apart by `kind`. `cli.recipe` reads TOML into these and adds the
training half.
"""

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from fullstep_data.engine_config import (  # noqa: F401 - every section of a recipe may be taken from here
    Config,
    Engine,
    GivenSolutions,
    HFEngine,
    MathShepherdFormat,
    OurFormat,
    PRMFormat,
    PublicFormat,
    QwenFormat,
    ReferenceEngine,
    RLHFlowFormat,
    ScoringEngine,
    ScriptedEngine,
    ServerEngine,
    SkyworkFormat,
    TransformersReference,
    TransformersScoring,
    VLLMEngine,
    VLLMReference,
    VLLMScoring,
    VLLMSettings,
)
from fullstep_data.label_config import (  # noqa: F401 - as above
    CONSENSUS,
    JudgeLabels,
    JudgePromptConfig,
    MonteCarloLabels,
    OutcomeLabels,
    PromptConfig,
    RolloutBudget,
    RolloutsConfig,
    SideLabels,
    StepLabels,
    TokenBudget,
    TruthLabels,
    VoteLabels,
    labeller_of,
)

Share = Annotated[float, Field(ge=0, lt=1)]
Preset = Literal["gsm8k", "math", "svamp", "aqua", "metamath"]


class Columns(Config):
    """Which columns of a source hold what. `question` may join several columns with a blank: ["Body", "Question"]."""

    question: str | tuple[str, ...] = "question"
    answer: str = "answer"
    reference_solution: str | None = None
    row_id: str | None = None
    split: str | None = None


class FileSource(Config):
    """A JSONL, CSV or Parquet file (by its ending). `builtin:NAME` names a file inside the package.

    repeated_questions: several rows per question, as in files of sampled solutions: each question is taken once, without rejects.
    """

    kind: Literal["file"] = "file"
    path: str
    preset: Preset | None = None
    columns: Columns = Columns()
    limit: int | None = Field(default=None, ge=1)
    repeated_questions: bool = False


class HubSource(Config):
    """A data set on the Hugging Face Hub, read by `datasets`."""

    kind: Literal["hub"] = "hub"
    name: str
    config: str | None = None
    hub_split: str = "train"
    revision: str | None = None
    preset: Preset | None = None
    columns: Columns = Columns()
    limit: int | None = Field(default=None, ge=1)


class Task(Config):
    """One reasoning-gym generator: its name, how many problems, and its own options."""

    name: str
    size: int = Field(ge=1)
    options: dict[str, int | float | str | bool | list[int] | list[str]] = Field(default_factory=dict)


class ReasoningGymSource(Config):
    """Problems made by reasoning-gym (extra `demo`); item i does not depend on size, so growing keeps what was there."""

    kind: Literal["reasoning-gym"] = "reasoning-gym"
    tasks: tuple[Task, ...] = Field(min_length=1)
    seed: int = 0


class ArithmeticSource(Config):
    """Problems of the bench, for which the truth of every step is known (`fullstep_data.arithmetic`). first: number of the first
    one; problem i does not depend on size or first. operations: only problems of so many; the others are passed over.
    """

    kind: Literal["arithmetic"] = "arithmetic"
    family: Literal["facts", "skill"]
    size: int = Field(ge=1)
    first: int = Field(default=0, ge=0)
    seed: int = 0
    operations: int | None = Field(default=None, ge=3, le=5)


Source = Annotated[FileSource | HubSource | ReasoningGymSource | ArithmeticSource, Field(discriminator="kind")]


Overlap = Literal["exact", "normalised", "13-gram", "near"]
OVERLAPS: tuple[Overlap, ...] = get_args(Overlap)
"""How a question can be the same as another, the strictest first (see `fullstep_data.overlap`)."""


class AuditConfig(Config):
    """Training problems that stand in an evaluation set too are rejects, with the question there.

    against: sets as `fs-data audit --against` takes them: a name, NAME=FILE, a file, or a dataset, for its held-out problems.
    kinds: the ways to be the same that count.
    """

    against: tuple[str, ...] = Field(min_length=1)
    kinds: tuple[Overlap, ...] = Field(default=OVERLAPS, min_length=1)


class ProblemsConfig(Config):
    """Stage `problems`. held_out: share of the problems kept for evaluation (by a hash of the problem: stable under growth)."""

    source: Source
    held_out: Share = 0.0
    problems_per_part: int = Field(default=16, ge=1)
    audit: AuditConfig | None = None


class ProblemsToSolve(ProblemsConfig):
    """What the stage `problems` needs of a recipe. solutions: a file of solutions, whose rows of other questions are rejects."""

    solutions: GivenSolutions | None = None


class SamplesConfig(Config):
    """Stage `samples`: M = `samples` completions of each training problem."""

    engine: Engine
    prompt: PromptConfig = PromptConfig()
    samples: int = Field(default=32, ge=1)
    temperature: float = Field(default=1.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=1024, ge=1)
    samples_per_part: int = Field(default=8, ge=1)
    seed: int = 0


class SolutionsConfig(Config):
    """Stage `solutions`: grading. A comparison that takes longer than the limit leaves `correct` open."""

    timeout_seconds: float = Field(default=5.0, gt=0)
    workers: int = Field(default=2, ge=1)


class StepsConfig(Config):
    """Stage `steps`: where a step begins. pattern: a regex that matches at the first character of each step."""

    splitter: Literal["step-label", "newline", "blank-line", "regex"] = "step-label"
    pattern: str | None = None

    @model_validator(mode="after")
    def _pattern_goes_with_regex(self) -> "StepsConfig":
        if (self.splitter == "regex") != (self.pattern is not None):
            raise ValueError("splitter regex and pattern go together")
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise ValueError(f"pattern is not a regular expression: {error}") from error
        return self


class StepScoresConfig(Config):
    """Stage `step_scores`: what the PRM runs in, and how it wants to be asked. Other formats than ours are those of published
    PRMs (prm.kind = "given"), which see the question and the steps, and no few-shot prompt; vLLM runs ours and Qwen's.
    """

    engine: ScoringEngine = TransformersScoring()
    format: PRMFormat = Field(default=OurFormat(), exclude_if=lambda form: form == OurFormat())

    @model_validator(mode="after")
    def _vllm_runs_classifiers(self) -> "StepScoresConfig":
        if isinstance(self.engine, VLLMScoring) and not isinstance(self.format, OurFormat | QwenFormat):
            raise ValueError(f'PRMs of the format {self.format.kind} run in transformers: set engine.kind = "transformers"')
        return self


class PairsConfig(Config):
    """Stage `pairs`: the `top` highest-scored correct × the `top` lowest-scored incorrect solutions of each problem.

    score: of a solution out of its step rewards, or whatever the rewards out of the steps alone. diverse = by how few other
    solutions of its problem take its steps: the rarest right ways against the most usual wrong ones. usual = by which share of
    the right samples of its problem takes its least usual step, so that what is right by luck comes last; it wants steps short
    enough to be met again. copies: solutions of one text compete as often as they were sampled, so that a training counts each as
    often; otherwise once. agreed: leave out the solutions on whose first wrong step the labellers disagree (see side_labels).
    min_score: leave out right solutions that score less. min_margin: leave out pairs whose scores are closer than this.
    """

    top: int = Field(default=4, ge=1)
    score: Literal["mean", "min", "product", "last", "random", "diverse", "usual"] = "mean"
    seed: int = 0
    copies: bool = Field(default=False, exclude_if=lambda copies: not copies)
    agreed: bool = Field(default=False, exclude_if=lambda agreed: not agreed)
    min_score: float | None = Field(default=None, exclude_if=lambda score: score is None)
    min_margin: float = Field(default=0.0, exclude_if=lambda margin: margin == 0.0)

    @property
    def by_steps(self) -> bool:
        """Does the score look at the steps, not at their rewards?"""
        return self.score in ("diverse", "usual")

    @model_validator(mode="after")
    def _one_way_at_a_time(self) -> "PairsConfig":
        if self.agreed and self.by_steps:
            raise ValueError(f'agreed = true and score = "{self.score}" do not go together: choose one')
        return self


class WrongByLabel(Config):
    """A step is wrong where it is labelled so."""

    kind: Literal["label"] = "label"


class WrongByScore(Config):
    """A step is wrong where the PRM's reward is below the threshold."""

    kind: Literal["score"] = "score"
    threshold: float = Field(default=0.5, gt=0, le=1)


class StepPairsConfig(Config):
    """Stage `step_pairs`, for Step-DPO: at most `top` pairs of next steps per problem, those of the widest margin.

    wrong: what tells a wrong step. Whatever it says, a step that a correct solution takes too is not wrong; so with outcome
    labels the first wrong step is the first that no correct solution shares.
    """

    wrong: Annotated[WrongByLabel | WrongByScore, Field(discriminator="kind")] = WrongByLabel()
    top: int = Field(default=16, ge=1)


class ReferenceLogprobsConfig(Config):
    """in_dataset: make the reference's log-probs at the end of `fs-data build` too, so that they are a table of the dataset:
    every run on it takes them from there, and they are published with it. Otherwise each run makes its own. engine: what the
    reference runs in, here and in each run.
    """

    in_dataset: bool = False
    engine: ReferenceEngine = Field(default=TransformersReference(), exclude_if=lambda it: it == TransformersReference())


class Evaluation(Config):
    """Stage `predictions`: greedy answers to held-out problems."""

    max_tokens: int = Field(default=1024, ge=1)
    batch_size: int = Field(default=32, ge=1)


class PredictionsConfig(Config):
    """What the stage `predictions` needs of a recipe: the prompt that the samples had, `evaluation.max_tokens`, and, for a PRM
    that judges the answers, where their steps begin.
    """

    prompt: PromptConfig = PromptConfig()
    max_tokens: int = Field(default=1024, ge=1)
    steps: StepsConfig = StepsConfig()


class Platt(Config):
    """Probability that a sample is right = 1 / (1 + exp(-(slope * score + intercept))) (Platt 1999)."""

    kind: Literal["platt"] = "platt"
    slope: float
    intercept: float


class Isotonic(Config):
    """Probability that a sample is right: the straight lines through (scores, shares), flat outside; both ascend."""

    kind: Literal["isotonic"] = "isotonic"
    scores: tuple[float, ...] = Field(min_length=1)
    shares: tuple[float, ...] = Field(min_length=1)


class Calibration(Config):
    """How `hybrid` votes: `fullstep_data.calibration` fits it on samples whose verdicts are known.

    score: the PRM score of a sample that it is for. base: share of right samples among those it was fitted on. weight: of the
    evidence in a vote; 0 is Self-Consistency. problems: how many it was fitted on; gain, error: by how much the accuracy with
    this weight was above Self-Consistency there (out of fold), and the standard error of that.
    """

    score: Literal["mean", "min", "product", "last"]
    curve: Annotated[Platt | Isotonic, Field(discriminator="kind")]
    base: float = Field(gt=0, lt=1)
    weight: float = Field(ge=0)
    problems: int
    gain: float = 0.0
    error: float = 0.0


class SampledPredictionsConfig(Config):
    """What `sampled_predictions` needs: the name of the model that was sampled, rules over samples by name, and for `hybrid` how
    its votes are weighted.
    """

    model: str
    rules: tuple[str, ...]
    calibrations: tuple[Calibration, ...] = ()


class BeamConfig(PredictionsConfig):
    """What `beam_predictions` needs: as for greedy answers, and how the next steps are sampled."""

    temperature: float = Field(default=0.8, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int = 0


class DataRecipe(Config):
    """What `fs-data build` follows. model: sampler, PRM base and policy, unless a section names its own.

    side_labels: more labellers of the same steps. With them come labels of the labeller `consensus`: those of step_labels where
    all labellers have the same first wrong step, or none; the others are open. learn_from: whose labels the PRM learns and
    step_pairs go by.
    """

    name: str
    model: str
    problems: ProblemsConfig
    samples: SamplesConfig
    solutions: SolutionsConfig = SolutionsConfig()
    steps: StepsConfig = StepsConfig()
    step_labels: StepLabels = OutcomeLabels()
    side_labels: tuple[SideLabels, ...] = Field(default=(), exclude_if=lambda labels: not labels)
    learn_from: Literal["step_labels", "consensus"] = Field(default="step_labels", exclude_if=lambda name: name == "step_labels")
    step_scores: StepScoresConfig = StepScoresConfig()
    pairs: PairsConfig = PairsConfig()
    step_pairs: StepPairsConfig = StepPairsConfig()
    reference_logprobs: ReferenceLogprobsConfig = ReferenceLogprobsConfig()
    evaluation: Evaluation = Evaluation()

    @field_validator("step_labels", mode="before")
    @classmethod
    def _kind_was_once_called_source(cls, value: Any) -> Any:
        return {"kind": value["source"]} if isinstance(value, dict) and value.keys() == {"source"} else value

    @model_validator(mode="after")
    def _rollouts_can_be_drawn(self) -> "DataRecipe":
        labels = self.step_labels
        if isinstance(labels, MonteCarloLabels):
            if isinstance(self.samples.engine, GivenSolutions) and labels.engine is None:
                raise ValueError("step_labels.engine is missing: solutions from a file come without one that continues them")
            if self.samples.temperature == 0:
                raise ValueError("samples.temperature = 0 makes all rollouts of a prefix alike: raise it")
        return self

    @model_validator(mode="after")
    def _labellers_stand_side_by_side(self) -> "DataRecipe":
        names = [labeller_of(labels) for labels in (self.step_labels, *self.side_labels)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"side_labels: two labellers are called {twice[0]!r}: give judges a `name`")
        judges = [labels for labels in (self.step_labels, *self.side_labels) if isinstance(labels, JudgeLabels)]
        if isinstance(self.samples.engine, GivenSolutions) and any(judge.engine is None for judge in judges):
            raise ValueError("a judge's engine is missing: solutions from a file come without one that could be asked")
        for key, wanted in (("learn_from", self.learn_from == CONSENSUS), ("pairs.agreed", self.pairs.agreed)):
            if wanted and not self.side_labels:
                raise ValueError(f"{key}: there is one labeller only, and nobody to agree with; add side_labels")
        return self

    @model_validator(mode="after")
    def _groups_fit_the_samples(self) -> "DataRecipe":
        given = isinstance(self.samples.engine, GivenSolutions)
        if not given and self.pairs.top > self.samples.samples:
            raise ValueError(f"pairs.top = {self.pairs.top} is larger than samples.samples = {self.samples.samples}")
        return self
