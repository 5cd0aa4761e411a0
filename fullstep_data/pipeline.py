"""The stages in the order of the flow: the file to open first.

problems → samples → solutions → steps → step_labels → [prm] → step_scores → pairs            fs-data build
                                                          pairs → [policy] → predictions       fs-train run
"""

from fullstep_data.config import Config, DataRecipe, GivenSolutions, PredictionsConfig, ProblemsToSolve
from fullstep_data.pairs import pairs
from fullstep_data.policy import policy
from fullstep_data.predictions import predictions, predictions_key
from fullstep_data.prm import prm
from fullstep_data.problems import problems
from fullstep_data.samples import sample_blocks, samples, samples_key
from fullstep_data.solutions import solutions, solutions_key
from fullstep_data.stage import Accounts, Read, Stage
from fullstep_data.step_labels import step_labels
from fullstep_data.step_scores import step_scores
from fullstep_data.steps import steps


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
        reads=(Read("problems", TRAIN), Read("solutions"), Read("step_scores")),
        config=lambda recipe: recipe.pairs,
        revision=1,
        parts_by="problem",
        accounts=(Accounts("problems", ("problem_id",), TRAIN),),
    ),
)


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


TRAINING: tuple[Stage, ...] = (
    _predictions_of("before"),
    Stage(
        name="policy",
        run=policy,
        reads=(Read("pairs"), Read("solutions"), Read("steps"), Read("step_scores")),
        config=lambda recipe: recipe.policy,
        tools=("policy_trainer",),
        revision=1,
        parts_by="all",
        makes="model",
    ),
    _predictions_of("after"),
)
