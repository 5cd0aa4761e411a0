"""The stages of an evaluation: questions of sets → greedy answers, samples and all rules over them, searches → predictions.

    version = run(evaluation(recipe), recipe, Store.create(out), tools, reporter)

problems → predictions (greedy)
         → samples → solutions → steps → step_scores → predictions (sc, bon, wsc, hybrid)
         → predictions (beam)

They are the stages of `pipeline` on the split `test`, so an evaluation is a dataset: what was sampled is not sampled again when a
rule, a PRM or more samples are asked for, and everything is SQL. `stored` decides anew over samples that a dataset already has.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import polars as pl

from fullstep_data.beam import beam_predictions
from fullstep_data.config import (
    BeamConfig,
    Calibration,
    Config,
    Engine,
    PredictionsConfig,
    ProblemsToSolve,
    PromptConfig,
    SampledPredictionsConfig,
    SamplesConfig,
    SolutionsConfig,
    StepsConfig,
)
from fullstep_data.decoding import Beam, Greedy, Sampled, parse
from fullstep_data.pipeline import PIPELINE, TEST
from fullstep_data.predictions import predictions, predictions_key, sampled_predictions
from fullstep_data.problems import problems
from fullstep_data.sources.sets import FileForm, named_source
from fullstep_data.stage import Accounts, Context, Outcome, Read, Stage, rejects
from fullstep_data.store import Version, open_version
from fullstep_data.store.names import names_dataset
from schemas import TABLES, InputError

SAMPLES_PER_PART = 4
"""A part is a block of so many samples: more samples later reuse whole blocks."""


class Questions(Config):
    """Which problems are asked. sets: as typed, each a name, a file or a dataset. form: how to read files."""

    sets: tuple[str, ...]
    form: FileForm = FileForm()
    problems_per_part: int = 16


class Evaluated(Config):
    """What decides every evaluation. model: its name in the table. prm: as typed. decode: names of rules."""

    name: Literal["eval"] = "eval"
    model: str
    prm: str | None = None
    decode: tuple[str, ...]
    calibrations: tuple[Calibration, ...] = ()


class EvalRecipe(Evaluated):
    """Ask a model. max_tokens: of greedy answers, samples and searches; temperature, top_p, seed: of what is sampled."""

    questions: Questions
    engine: Engine
    prompt: PromptConfig = PromptConfig()
    max_tokens: int = 512
    temperature: float = 0.8
    top_p: float = 1.0
    seed: int = 0
    steps: StepsConfig = StepsConfig()


class StoredRecipe(Evaluated):
    """Decide anew over the samples of another dataset. split: of its problems. rescore: by `prm`; else by its own step_scores.

    steps: how to cut the samples, where that dataset has not (it was made without a PRM); None where it has.
    """

    split: Literal["train", "test"]
    rescore: bool
    steps: StepsConfig | None = None


def evaluation(recipe: EvalRecipe) -> tuple[Stage, ...]:
    """The stages that the rules of a recipe need. InputError: a rule that needs a PRM or a calibration, and there is none."""
    rules = parse(",".join(recipe.decode))
    require_prm(recipe.decode, recipe.prm, calibrated=bool(recipe.calibrations))
    scorer = ("scorer",) if recipe.prm else ()
    greedy = [_greedy(recipe.model, scorer)] if any(isinstance(rule, Greedy) for rule in rules) else []
    sampled = _sampled(scored=bool(recipe.prm)) if any(isinstance(rule, Sampled) for rule in rules) else []
    beams = [rule.name for rule in rules if isinstance(rule, Beam)]
    searched = [_searched(recipe.model, beams)] if beams else []
    return (ASKED, *greedy, *sampled, *searched)


def stored(recipe: StoredRecipe) -> tuple[Stage, ...]:
    """The stages over stored samples: rewards by another PRM where asked for, and the rules."""
    require_prm(recipe.decode, recipe.prm, calibrated=bool(recipe.calibrations))
    where = f"split = '{recipe.split}'"
    cut = [_of_pipeline("steps")] if recipe.steps else []
    return (*cut, *([_of_pipeline("step_scores")] if recipe.rescore else []), _votes(scored=bool(recipe.prm), where=where))


def require_prm(decode: Sequence[str], prm: str | None, calibrated: bool) -> None:
    """InputError where a rule needs step rewards and there is no PRM, or needs a calibration and there is none."""
    rules = parse(",".join(decode))
    judged = [rule.name for rule in rules if isinstance(rule, Beam) or (isinstance(rule, Sampled) and rule.aggregate)]
    if judged and prm is None:
        what = f"{', '.join(judged)}: chosen by a process-reward model, and none is named"
        step = "name one with --prm (a folder, or the dataset that trained it), or keep to greedy and sc@N"
        raise InputError(what, where="--decode", next_step=step)
    hybrid = [rule.name for rule in rules if isinstance(rule, Sampled) and rule.kind == "hybrid"]
    if hybrid and not calibrated:
        what = f"{', '.join(hybrid)}: votes by calibrated rewards, and there is nothing to calibrate them on"
        step = "name samples with known verdicts by --calibrate DIR: an evaluation of OTHER problems with the same --prm"
        raise InputError(what, where="--decode", next_step=step)


def require_samples(solutions: pl.DataFrame, rules: Sequence[str], where: str, command: str) -> None:
    """InputError where a rule asks for more samples than a problem has. command: how to top up."""
    counts = solutions.group_by("problem_id").len()
    wanted = max((rule.n for rule in parse(",".join(rules)) if isinstance(rule, Sampled)), default=0)
    short = counts.filter(pl.col("len") < wanted)
    if short.is_empty():
        return
    spread = short["len"].value_counts().sort("len").rows()
    raise InputError(
        what=f"a rule asks for {wanted} samples of each problem, and fewer are stored",
        where=where,
        count=short.height,
        examples=[f"{problems:,} problems with {samples}" for samples, problems in spread],
        next_step=f"top up, which samples only what is missing: {command}; or ask for a smaller number",
    )


def asked(context: Context) -> Outcome:
    """The problems of all sets, in the split `test`; `source` names the set. A question that an earlier set has is a reject.

    A file or Hub set gives its first `limit` rows, a dataset its first held-out problems by id.
    """
    questions: Questions = context.config
    rows: list[pl.DataFrame] = []
    dropped: list[pl.DataFrame] = []
    seen = TABLES["problems"].empty()["problem_id"]
    for text in questions.sets:
        found = _of_dataset(text, questions) if is_dataset(text) else _of_source(text, questions, context)
        again = found.rows.filter(pl.col("problem_id").is_in(seen.implode()))
        repeated = [
            (f"{source}/{row}", "question of an earlier set", question)
            for source, row, question in again.select("source", "source_row", "question").iter_rows()
        ]
        rows.append(found.rows.join(again, on="problem_id", how="anti"))
        dropped.extend((found.rejects, rejects("problems", "source", repeated)))
        seen = pl.concat([seen, rows[-1]["problem_id"]])
    return Outcome(pl.concat(rows), pl.concat(dropped))


def is_dataset(text: str) -> bool:
    return names_dataset(text)


def scored_by(version: Version) -> list[str]:
    """The PRMs that have rewarded the steps of a dataset."""
    if "step_scores" not in version.tables:
        return []
    return version.frame("step_scores")["scorer"].unique().sort().to_list()


ASKED = Stage(
    name="problems",
    run=asked,
    reads=(),
    config=lambda recipe: recipe.questions,
    revision=1,
    parts_by="source",
)


def _of_source(text: str, questions: Questions, context: Context) -> Outcome:
    name, source = named_source(text, questions.form)
    found = problems(Context(ProblemsToSolve(source=source), context.tools))
    prefixed = found.rejects.with_columns(key=pl.lit(f"{name}/") + pl.col("key")) if len(questions.sets) > 1 else found.rejects
    return Outcome(found.rows.with_columns(pl.lit("test").alias("split"), pl.lit(name).alias("source")), prefixed)


def _of_dataset(text: str, questions: Questions) -> Outcome:
    rows = open_version(text).frame("problems").filter(pl.col("split") == "test").sort("problem_id")
    if rows.is_empty():
        raise InputError(
            what="the dataset holds no problems for evaluation",
            where=text,
            next_step="build it with problems.held_out above 0, or give a file of problems",
        )
    return Outcome(rows.head(questions.form.limit) if questions.form.limit else rows)


def _of_pipeline(name: str) -> Stage:
    return next(stage for stage in PIPELINE if stage.name == name)


def _greedy(model: str, scorer: tuple[str, ...]) -> Stage:
    return Stage(
        name="predictions",
        run=predictions,
        reads=(Read("problems", TEST),),
        config=lambda recipe: PredictionsConfig(prompt=recipe.prompt, max_tokens=recipe.max_tokens, steps=recipe.steps),
        key_config=predictions_key,
        split=lambda config: iter([{"model": model}]),
        tools=("generator", "grader", *scorer),
        revision=1,
        parts_by="part",
        accounts=(Accounts("problems", ("problem_id",), TEST),),
    )


def _sampled(scored: bool) -> list[Stage]:
    """samples → solutions → steps → step_scores on the split `test`, then the rules."""
    to_test = {"reads": (Read("problems", TEST),), "accounts": (Accounts("problems", ("problem_id",), TEST),)}
    samples = replace(_of_pipeline("samples"), config=_samples_config, **to_test)
    graded = replace(
        _of_pipeline("solutions"),
        config=lambda recipe: SolutionsConfig(),
        reads=(Read("samples"), Read("problems", TEST)),
    )
    chain = [samples, graded, *([_of_pipeline("steps"), _of_pipeline("step_scores")] if scored else [])]
    return [*chain, _votes(scored, TEST)]


def _samples_config(recipe: EvalRecipe) -> SamplesConfig:
    rules = parse(",".join(recipe.decode))
    return SamplesConfig(
        engine=recipe.engine,
        prompt=recipe.prompt,
        samples=max(rule.n for rule in rules if isinstance(rule, Sampled)),
        temperature=recipe.temperature,
        top_p=recipe.top_p,
        max_tokens=recipe.max_tokens,
        samples_per_part=SAMPLES_PER_PART,
        seed=recipe.seed,
    )


def _votes(scored: bool, where: str) -> Stage:
    return Stage(
        name="predictions_sampled",
        writes="predictions",
        run=sampled_predictions if scored else _unscored,
        reads=(Read("problems", where), Read("solutions"), *([Read("step_scores")] if scored else [])),
        config=_votes_config,
        tools=("grader",),
        revision=1,
        parts_by="problem",
        accounts=(Accounts("problems", ("problem_id",), where),),
    )


def _unscored(problems: pl.DataFrame, solutions: pl.DataFrame, context: Context) -> Outcome:
    return sampled_predictions(problems, solutions, TABLES["step_scores"].empty(), context)


def _votes_config(recipe: Evaluated) -> SampledPredictionsConfig:
    rules = tuple(rule.name for rule in parse(",".join(recipe.decode)) if isinstance(rule, Sampled))
    return SampledPredictionsConfig(model=recipe.model, rules=rules, calibrations=recipe.calibrations)


def _searched(model: str, beams: Sequence[str]) -> Stage:
    return Stage(
        name="predictions_beam",
        writes="predictions",
        run=beam_predictions,
        reads=(Read("problems", TEST),),
        config=lambda recipe: BeamConfig(
            **dict(PredictionsConfig(prompt=recipe.prompt, max_tokens=recipe.max_tokens, steps=recipe.steps)),
            temperature=recipe.temperature,
            top_p=recipe.top_p,
            seed=recipe.seed,
        ),
        key_config=lambda config: {
            **predictions_key(config),
            **config.model_dump(include={"temperature", "top_p", "seed"}),
        },
        split=lambda config: iter([{"model": model, "rule": rule} for rule in beams]),
        tools=("generator", "scorer", "grader"),
        revision=3,
        parts_by="part",
        accounts=(Accounts("problems", ("problem_id",), TEST),),
    )
