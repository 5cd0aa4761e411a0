"""How steps are labelled and judges are asked, typed. Part of `fullstep_data.config`.

[step_labels]
kind = "monte-carlo"                  # outcome, monte-carlo, vote, judge, truth

labeller_of(MonteCarloLabels(n=8))    # "monte-carlo n=8 early-stop": the column `labeller`
"""

from typing import Annotated, Literal

from pydantic import Field

from fullstep_data.engine_config import Config, HFEngine, ScriptedEngine, ServerEngine, VLLMEngine


class PromptConfig(Config):
    """Prompt template: a name in fullstep_data/prompts or a path to a TOML file. chat: use the tokenizer's chat template?"""

    template: str = "steps-few-shot"
    chat: Literal["auto", "always", "never"] | None = Field(default=None, description="default: what the template says")


class OutcomeLabels(Config):
    """Stage `step_labels`: every step of a solution carries whether its final answer is right (the paper's N = 1)."""

    kind: Literal["outcome"] = "outcome"


class RolloutBudget(Config):
    """Most rollouts, as many per training problem on average; problems of one part share theirs."""

    kind: Literal["rollouts"] = "rollouts"
    per_problem: int = Field(ge=1)


class TokenBudget(Config):
    """Most sampled tokens, as many per training problem on average; problems of one part share theirs."""

    kind: Literal["tokens"] = "tokens"
    per_problem: int = Field(ge=1)


class MonteCarloLabels(Config):
    """Stages `rollouts` and `step_labels`: is any of n completions of a prefix right? See fullstep_data/probing.py.

    policy: full = all n, for soft labels too. early-stop = until the first success: the same hard labels. first-error = step by
    step until the first without success; later steps stay open. binary-search = the first wrong step by halving, approximate.
    pooled: all solutions through a prefix count as its rollouts; there may then be more than n.
    budget: what it cannot pay for stays open. It leaves out the labels that cost most, which are mostly wrong steps.
    engine: None = the one of `samples`: then a solution counts as a rollout of its own prefixes. Another one reads prefixes as
    text, with temperature, top_p, max_tokens and prompt of `samples`.
    """

    kind: Literal["monte-carlo"] = "monte-carlo"
    n: Literal[1, 2, 4, 8, 16] = 8
    policy: Literal["full", "early-stop", "first-error", "binary-search"] = "early-stop"
    pooled: bool = False
    budget: Annotated[RolloutBudget | TokenBudget, Field(discriminator="kind")] | None = None
    engine: Annotated[HFEngine | VLLMEngine | ServerEngine | ScriptedEngine, Field(discriminator="kind")] | None = None
    seed: int = 0


class VoteLabels(Config):
    """Stage `step_labels`: how many of the problem's other right samples take the step? No further sampling.

    A solution takes a step where one of the same text stands in it, blanks around it aside. label = at least one takes it,
    value = their share; where a problem has no other right sample, the step stays open.
    """

    kind: Literal["vote"] = "vote"


class JudgePromptConfig(PromptConfig):
    """Prompt template of a judge: a name in fullstep_data/prompts or a path to a TOML file."""

    template: str = "judge-yes-no"


class JudgeLabels(Config):
    """A generative model is asked of each step whether it is right, after the problem and the steps before it.

    value = P(yes) / (P(yes) + P(no)) of its next token, label = value >= threshold; a step of which it says neither stays open.
    prompt: a judge's template (fullstep_data/prompts), which names the words for yes and no. top: how many of the most probable
    tokens are looked through for them (OpenAI's own servers allow 5). engine: None = the one of `samples`. name: tells judges
    of one recipe apart.
    """

    kind: Literal["judge"] = "judge"
    name: str | None = Field(default=None, min_length=1)
    prompt: JudgePromptConfig = JudgePromptConfig()
    threshold: float = Field(default=0.5, gt=0, lt=1)
    top: int = Field(default=20, ge=2)
    engine: Annotated[HFEngine | VLLMEngine | ServerEngine | ScriptedEngine, Field(discriminator="kind")] | None = None


class TruthLabels(Config):
    """Stage `step_labels`, for problems of the source `arithmetic` only: is the step true?

    of: prefix = it and all steps before it are right; local = it is the right next step after what stands there, right or wrong.
    """

    kind: Literal["truth"] = "truth"
    of: Literal["prefix", "local"] = "prefix"


StepLabels = Annotated[OutcomeLabels | MonteCarloLabels | VoteLabels | JudgeLabels | TruthLabels, Field(discriminator="kind")]
SideLabels = Annotated[OutcomeLabels | VoteLabels | JudgeLabels, Field(discriminator="kind")]
CONSENSUS = "consensus"
"""The labeller of what all labellers of a recipe agree on."""


def labeller_of(labels: OutcomeLabels | MonteCarloLabels | VoteLabels | JudgeLabels | TruthLabels) -> str:
    """Column `labeller`: how the labels are made. The sampler stands with the rollouts."""
    match labels:
        case OutcomeLabels() | VoteLabels():
            return labels.kind
        case MonteCarloLabels():
            return " ".join([labels.kind, f"n={labels.n}", labels.policy, *(["pooled"] if labels.pooled else [])])
        case TruthLabels():
            return f"{labels.kind} {labels.of}"
        case JudgeLabels():
            template = labels.prompt.template.rpartition("/")[2].removesuffix(".toml")
            words = [labels.kind, *([labels.name] if labels.name else []), template, f"threshold={labels.threshold:g}"]
            return " ".join(words)


class RolloutsConfig(Config):
    """What the stage `rollouts` needs of a recipe: how labels are made, and how samples were drawn."""

    labels: MonteCarloLabels
    prompt: PromptConfig = PromptConfig()
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 1024
