"""The stages in the order of the flow: the file to open first.

problems → samples → solutions → steps → step_labels → [prm] → step_scores → pairs, step_pairs    fs-data build
                                   ↘ rollouts ↗  (where labels are Monte-Carlo; judges may label the same steps beside them)
                                             pairs or step_pairs → reference_logprobs → [policy] → predictions    fs-train run
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Literal

from fullstep_data.config import (
    CONSENSUS,
    Config,
    DataRecipe,
    GivenSolutions,
    JudgeLabels,
    MonteCarloLabels,
    OurFormat,
    PredictionsConfig,
    ProblemsToSolve,
    RolloutsConfig,
    SideLabels,
    TruthLabels,
    VoteLabels,
    labeller_of,
)
from fullstep_data.consensus import ConsensusConfig, consensus
from fullstep_data.judge_labels import judge_key, judge_labels
from fullstep_data.pairs import agreed_pairs, pairs, pairs_by_steps
from fullstep_data.policy import next_step_policy, policy
from fullstep_data.predictions import predictions, predictions_key
from fullstep_data.prm import prm
from fullstep_data.problems import problems
from fullstep_data.reference_logprobs import next_step_logprobs, reference_logprobs
from fullstep_data.rollouts import rollouts, rollouts_key
from fullstep_data.samples import sample_blocks, samples, samples_key
from fullstep_data.solutions import solutions, solutions_key
from fullstep_data.stage import Accounts, Read, Stage
from fullstep_data.step_labels import monte_carlo_labels, step_labels, truth_labels, vote_labels
from fullstep_data.step_pairs import step_pairs
from fullstep_data.step_scores import labels_as_rewards, public_step_scores, step_scores
from fullstep_data.steps import steps
from schemas import InputError


class NoConfig(Config):
    """The config of a stage that has nothing to set."""


def _nothing(recipe: DataRecipe) -> Config:
    return NoConfig()


def _to_solve(recipe: DataRecipe) -> ProblemsToSolve:
    engine = recipe.samples.engine
    return ProblemsToSolve(**dict(recipe.problems), solutions=engine if isinstance(engine, GivenSolutions) else None)


def _as_sampled(recipe: DataRecipe) -> PredictionsConfig:
    """Held-out problems are asked the way the training problems were."""
    return PredictionsConfig(prompt=recipe.samples.prompt, max_tokens=recipe.evaluation.max_tokens, steps=recipe.steps)


def _to_continue(recipe: DataRecipe) -> RolloutsConfig:
    """Rollouts are drawn the way the samples were."""
    samples = recipe.samples
    settings = {name: getattr(samples, name) for name in ("prompt", "temperature", "top_p", "max_tokens")}
    if not isinstance(recipe.step_labels, MonteCarloLabels):
        raise ValueError("rollouts belong to Monte-Carlo labels")
    return RolloutsConfig(labels=recipe.step_labels, **settings)


TRAIN = "split = 'train'"
TEST = "split = 'test'"

PIPELINE: tuple[Stage, ...] = (
    Stage(
        name="problems",
        run=problems,
        reads=(),
        config=_to_solve,
        revision=1,
        parts_by="source",
    ),
    Stage(
        name="samples",
        run=samples,
        reads=(Read("problems", TRAIN),),
        config=lambda recipe: recipe.samples,
        key_config=samples_key,
        split=sample_blocks,
        tools=("generator",),
        revision=1,
        parts_by="part",
        accounts=(Accounts("problems", ("problem_id",), TRAIN),),
    ),
    Stage(
        name="solutions",
        run=solutions,
        reads=(Read("samples"), Read("problems", TRAIN)),
        config=lambda recipe: recipe.solutions,
        key_config=solutions_key,
        tools=("grader",),
        revision=1,
        parts_by="part",
        accounts=(Accounts("samples", ("problem_id", "sample_index")),),
    ),
    Stage(
        name="steps",
        run=steps,
        reads=(Read("solutions"),),
        config=lambda recipe: recipe.steps,
        revision=1,
        parts_by="part",
        accounts=(Accounts("solutions", ("solution_id",)),),
    ),
    Stage(
        name="step_labels",
        run=step_labels,
        reads=(Read("steps"), Read("solutions")),
        config=lambda recipe: recipe.step_labels,
        revision=1,
        parts_by="part",
        accounts=(Accounts("steps", ("solution_id", "step_index")),),
    ),
    Stage(
        name="prm",
        run=prm,
        reads=(Read("solutions"), Read("steps"), Read("step_labels")),
        config=lambda recipe: recipe.prm,
        tools=("prm_trainer",),
        revision=1,
        parts_by="all",
        makes="model",
    ),
    Stage(
        name="step_scores",
        run=step_scores,
        reads=(Read("solutions"), Read("steps")),
        config=_nothing,
        tools=("scorer",),
        revision=1,
        parts_by="part",
        accounts=(Accounts("steps", ("solution_id", "step_index")),),
    ),
    Stage(
        name="pairs",
        run=pairs,
        reads=(
            Read("problems", TRAIN, ("problem_id", "split")),
            Read("solutions", columns=("solution_id", "problem_id", "sample_index", "text", "correct")),
            Read("step_scores", columns=("solution_id", "step_index", "scorer", "reward")),
        ),
        config=lambda recipe: recipe.pairs,
        revision=2,
        parts_by="problem",
        accounts=(Accounts("problems", ("problem_id",), TRAIN),),
    ),
    Stage(
        name="step_pairs",
        run=step_pairs,
        reads=(Read("problems", TRAIN), Read("solutions"), Read("steps"), Read("step_labels"), Read("step_scores")),
        config=lambda recipe: recipe.step_pairs,
        revision=1,
        parts_by="problem",
        accounts=(Accounts("problems", ("problem_id",), TRAIN),),
    ),
)

MONTE_CARLO: tuple[Stage, ...] = (
    Stage(
        name="rollouts",
        run=rollouts,
        reads=(Read("steps"), Read("solutions"), Read("samples"), Read("problems", TRAIN)),
        config=_to_continue,
        key_config=rollouts_key,
        tools=("rollout_generator", "grader", "known_rollouts"),
        revision=1,
        parts_by="problem",
    ),
    Stage(
        name="step_labels",
        run=monte_carlo_labels,
        reads=(Read("steps"), Read("solutions"), Read("rollouts")),
        config=_to_continue,
        key_config=rollouts_key,
        revision=1,
        parts_by="problem",
        accounts=(Accounts("steps", ("solution_id", "step_index")),),
    ),
)

OUTCOME = next(stage for stage in PIPELINE if stage.name == "step_labels")
TRUTH = replace(OUTCOME, run=truth_labels, reads=(Read("steps"), Read("problems", TRAIN)))
VOTED_ON = (Read("steps"), Read("solutions", columns=("solution_id", "correct")))
VOTE = replace(OUTCOME, run=vote_labels, reads=VOTED_ON, parts_by="problem")

LABELS_AS_REWARDS = Stage(
    name="step_scores",
    run=labels_as_rewards,
    reads=(Read("step_labels"),),
    config=_nothing,
    revision=1,
    parts_by="part",
    accounts=(Accounts("step_labels", ("solution_id", "step_index")),),
)
"""In the place of PRM and step_scores, where the labels themselves are the rewards."""

CONSENSUS_STAGE = Stage(
    name=CONSENSUS,
    writes="step_labels",
    run=consensus,
    reads=(Read("steps"), Read("step_labels")),
    config=lambda recipe: ConsensusConfig(labellers=tuple(map(labeller_of, (recipe.step_labels, *recipe.side_labels)))),
    revision=1,
    parts_by="problem",
    accounts=(Accounts("steps", ("solution_id", "step_index")),),
)


def judging(name: str, tool: str, config: Callable[[DataRecipe], Config]) -> Stage:
    """The stage in which a judge labels steps. tool: the name of the engine that is asked."""
    return Stage(
        name=name,
        writes="step_labels",
        run=judge_labels,
        reads=(Read("steps"), Read("solutions"), Read("problems")),
        config=config,
        key_config=judge_key,
        tools=(tool,),
        revision=1,
        parts_by="part",
        accounts=(Accounts("steps", ("solution_id", "step_index")),),
    )


def stages_of(recipe: DataRecipe) -> tuple[Stage, ...]:
    """The stages of a build. In the place of `step_labels` stands what makes labels of another kind; after it
    side labels and the consensus, which the stages that learn from labels may be told to go by.
    """
    place = PIPELINE.index(OUTCOME)
    labelling: tuple[Stage, ...] = (OUTCOME,)
    if isinstance(recipe.step_labels, MonteCarloLabels):
        labelling = MONTE_CARLO
    elif isinstance(recipe.step_labels, TruthLabels):
        labelling = (TRUTH,)
    elif isinstance(recipe.step_labels, VoteLabels):
        labelling = (VOTE,)
    elif isinstance(recipe.step_labels, JudgeLabels):
        labelling = (judging("step_labels", "judge", lambda recipe: recipe.step_labels),)
    rest = PIPELINE[place + 1 :]
    if not isinstance(recipe.step_scores.format, OurFormat):
        rest = tuple(_public(stage) if stage.name == "step_scores" else stage for stage in rest)
    rest = tuple(map(_scored_by_steps, rest)) if recipe.pairs.by_steps else rest
    if not recipe.side_labels:
        return (*PIPELINE[:place], *labelling, *rest)
    sides = tuple(_side(number, labels) for number, labels in enumerate(recipe.side_labels, start=1))
    learnt = labeller_of(recipe.step_labels) if recipe.learn_from == "step_labels" else CONSENSUS
    after = (_by_labeller(stage, learnt) for stage in rest)
    agreed = (_agreed(stage) if recipe.pairs.agreed and stage.name == "pairs" else stage for stage in after)
    return (*PIPELINE[:place], *labelling, *sides, CONSENSUS_STAGE, *agreed)


def with_labels_as_rewards(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """The stages of a build without a PRM, whose rewards are the labels that it would have learnt."""
    learnt = next(read for stage in stages if stage.name == "prm" for read in stage.reads if read.table == "step_labels")
    rewards = replace(LABELS_AS_REWARDS, reads=(learnt,))
    return tuple(rewards if stage.name == "step_scores" else stage for stage in stages if stage.name != "prm")


def _side(number: int, labels: SideLabels) -> Stage:
    """The stage of the number-th side labeller, counted from 1; its judge is the tool `judge_1`."""

    def config(recipe: DataRecipe) -> Config:
        return recipe.side_labels[number - 1]

    if isinstance(labels, JudgeLabels):
        return judging(f"side_labels_{number}", f"judge_{number}", config)
    stage = VOTE if isinstance(labels, VoteLabels) else OUTCOME
    return replace(stage, name=f"side_labels_{number}", writes="step_labels", config=config)


def _by_labeller(stage: Stage, labeller: str) -> Stage:
    """The stage, reading the labels of one labeller only."""
    return replace(stage, reads=tuple(_labels_of(labeller) if read.table == "step_labels" else read for read in stage.reads))


def _labels_of(labeller: str) -> Read:
    name = labeller.replace("'", "''")
    return Read("step_labels", f"labeller = '{name}'")


def _public(stage: Stage) -> Stage:
    """The stage `step_scores` with a PRM that wants the question."""
    return replace(stage, run=public_step_scores, reads=(*stage.reads, Read("problems")))


def _scored_by_steps(stage: Stage) -> Stage:
    read = Read("steps", columns=("solution_id", "step_index", "text"))
    return replace(stage, run=pairs_by_steps, reads=(*stage.reads, read)) if stage.name == "pairs" else stage


def _agreed(stage: Stage) -> Stage:
    return replace(stage, run=agreed_pairs, reads=(*stage.reads, _labels_of(CONSENSUS)))


def stages_on_import(stages: Sequence[Stage], imported: Collection[str]) -> tuple[Stage, ...]:
    """What is left to do on imported tables (`formats.importing.imported_tables`), out of the stages of a build.

    Nothing comes before the imported solutions and steps; a table that was imported is not made again, with imported rewards no
    PRM is trained, and a stage whose input is neither there nor made is left out. All stages where nothing was imported.
    InputError: a PRM is to be trained and there are no labels for it; there are imported labels and side labels.
    """
    if not imported:
        return tuple(stages)
    if "step_labels" in imported and any(read.table == "step_labels" and read.where for one in stages for read in one.reads):
        raise InputError(
            "side_labels cannot stand beside imported labels",
            where="side_labels",
            next_step="leave side_labels out, or import the solutions without their labels",
        )
    done = {"problems", "samples", "solutions", "steps", *imported} | ({"prm"} if "step_scores" in imported else set[str]())
    known = set(imported)
    left: list[Stage] = []
    for stage in (one for one in stages if one.table not in done):
        if {read.table for read in stage.reads} <= known:
            left.append(stage)
            known.add(stage.table)
        elif stage.makes == "model":
            raise InputError(
                "a PRM cannot be trained: no step labels were imported, and these solutions cannot be labelled by rollouts",
                next_step='set step_labels.source = "outcome", or use a finished PRM: prm.kind = "given" with its path',
            )
    return tuple(left)


def _predictions_of(model: str) -> Stage:
    """Greedy answers of the model `before` or `after` the training; both go into the table `predictions`."""
    return Stage(
        name=f"predictions_{model}",
        writes="predictions",
        run=predictions,
        reads=(Read("problems", TEST),),
        config=_as_sampled,
        key_config=predictions_key,
        split=lambda config: iter([{"model": model}]),
        tools=(f"generator_{model}", "grader"),
        revision=1,
        parts_by="part",
        accounts=(Accounts("problems", ("problem_id",), TEST),),
    )


Learnt = Literal["pairs", "step_pairs"]
"""What a policy learns from: pairs of whole solutions, or of next steps."""

PREFERENCES: dict[Learnt, tuple[Read, ...]] = {
    "pairs": (Read("pairs"), Read("solutions"), Read("steps"), Read("step_scores")),
    "step_pairs": (Read("step_pairs"),),
}


def reference_of(learnt: Learnt) -> Stage:
    """The reference's log-probs; what decides them besides the tool is how long a text may be."""
    return Stage(
        name="reference_logprobs",
        run=reference_logprobs if learnt == "pairs" else next_step_logprobs,
        reads=PREFERENCES[learnt],
        config=lambda recipe: recipe.policy,
        key_config=lambda config: {"max_length": config.max_length},
        tools=("reference",),
        revision=1,
        parts_by="problem",
    )


def training(learnt: Learnt) -> tuple[Stage, ...]:
    """The stages of a policy that learns from these preferences."""
    return (
        _predictions_of("before"),
        reference_of(learnt),
        Stage(
            name="policy",
            run=policy if learnt == "pairs" else next_step_policy,
            reads=(*PREFERENCES[learnt], Read("reference_logprobs")),
            config=lambda recipe: recipe.policy,
            tools=("policy_trainer",),
            revision=2,
            parts_by="all",
            makes="model",
        ),
        _predictions_of("after"),
    )


TRAINING = training("pairs")
