"""What `fs-train eval` does: a model's answers to the problems of sets, under one decoding rule or many → accuracy.

    evaluate(EvalRecipe(model="tiny-random", questions=Questions(sets=("out/tiny",)), engine=HFEngine(), decode=("greedy",)), …)
    decide("out/eval", ("sc@8", "bon@8"), …)       # rules over samples that are there already

It is a run of stages into a store of its own, so an interrupted one goes on and a changed one answers only what is new.
"""

import re
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from rich.text import Text

from cli.eval_summary import eval_summary
from cli.progress import ProgressReporter, progress
from cli.render import show
from cli.workers import HERE, Parts
from fullstep_data.calibration import Kind, calibrate
from fullstep_data.config import Calibration, Columns, Engine, GivenSolutions, Preset, SolutionsConfig, StepsConfig
from fullstep_data.decoding import Sampled, parse
from fullstep_data.evaluation import (
    EvalRecipe,
    Evaluated,
    Questions,
    StoredRecipe,
    evaluation,
    is_dataset,
    require_prm,
    require_samples,
    scored_by,
    stored,
)
from fullstep_data.grading import Grader, GraderTool
from fullstep_data.runner import Interrupted, run
from fullstep_data.sources.sets import FileForm
from fullstep_data.store import Store, Version, open_version
from fullstep_data.store.storage import path_of
from schemas import InputError


@dataclass(frozen=True)
class Shown:
    """What is done with the answers. out: folder that keeps them (None: nowhere). threshold: a reward below it doubts a step.
    calibrate: samples with known verdicts for `hybrid`, and the kind of curve. parts: where they are made.
    """

    out: str | None = None
    threshold: float = 0.5
    calibrate: str | None = None
    curve: Kind = "platt"
    parts: Parts = HERE


def engine_of(text: str) -> Engine:
    """`KIND,KEY=VALUE,…` as an engine. InputError: no such kind or key."""
    kind, *settings = text.split(",")
    values = {"kind": kind, **{key: value for key, _, value in (setting.partition("=") for setting in settings)}}
    try:
        engine = TypeAdapter[Engine](Engine).validate_python(values)
    except ValidationError as error:
        # Values are not repeated: a key typed among them by mistake would stand in the error, and errors stand in logs.
        faults = [_fault(fault) for fault in error.errors(include_input=False)]
        typed = ",".join([_word(kind), *(f"{_word(setting.partition('=')[0])}=…" for setting in settings)])
        raise InputError(
            "this is no engine", where=f"--engine {typed}", examples=faults, next_step="write it as hf or hf,batch_size=64"
        ) from None
    if isinstance(engine, GivenSolutions):
        raise InputError(
            "the engine given answers no question anew",
            where="--engine given",
            next_step="build a dataset of the solutions (fs-data build) and decide over them: fs-train eval --samples DIR",
        )
    return engine


def _fault(fault: ErrorDetails) -> str:
    if fault["type"] == "union_tag_invalid":
        return f"there is no such kind: it is one of {(fault.get('ctx') or {}).get('expected_tags')}"
    return f"{'.'.join(_word(str(step)) for step in fault['loc'][1:])}: {fault['msg']}".removeprefix(": ")


def _word(text: str) -> str:
    """A kind or the name of a key, where it may be one; what else was typed in its place is not repeated."""
    return text if re.fullmatch(r"[a-z_]{1,24}", text) else "…"


def rules_of(text: str) -> tuple[str, ...]:
    """`greedy,sc@8` as the full names of its rules. InputError: one that is none."""
    return tuple(rule.name for rule in parse(text))


def questions_of(sets: str, preset: Preset | None, columns: Mapping[str, str | None], limit: int | None) -> Questions:
    """Which problems are asked. sets: comma-separated, as typed; columns: of files, by what they hold."""
    named = Columns.model_validate({column: name for column, name in columns.items() if name is not None})
    texts = tuple(dict.fromkeys(filter(None, (text.strip() for text in sets.split(",")))))
    return Questions(sets=texts, form=FileForm(preset=preset, columns=named, limit=limit))


def evaluate(recipe: EvalRecipe, shown: Shown) -> None:
    """Ask a model and show what its answers say."""
    _require_files_for_columns(recipe)
    require_prm(recipe.decode, recipe.prm, calibrated=shown.calibrate is not None)
    from cli.tools import eval_tools, find_prm, scorer_identity  # torch

    where = shown.parts.place()
    with _kept(shown) as (folder, reporter):
        prm = find_prm(recipe.prm, reporter) if recipe.prm else None
        recipe = recipe.model_copy(update={"calibrations": _calibrations(recipe, shown, scorer_identity(prm) if prm else None)})
        version = run(evaluation(recipe), recipe, Store.create(folder), eval_tools(recipe, reporter), reporter, where=where)
        _show(version, recipe, shown)


def decide(samples: str, decode: Sequence[str], prm: str | None, shown: Shown) -> None:
    """Apply rules to the samples of a dataset, and show what comes of it. No model is asked; a PRM may be."""
    upstream = open_version(samples)
    _require_sampled_rules(decode)
    solutions = upstream.frame("solutions")
    require_samples(solutions, decode, samples, _top_up(upstream, decode))
    from cli.tools import ScorerTool, find_prm, require_reads, scorer_identity  # torch

    where = shown.parts.place()
    with _kept(shown) as (folder, reporter):
        folder_of_prm = find_prm(prm, reporter) if prm else None
        if folder_of_prm:
            require_reads(upstream, folder_of_prm, "prm")
        scorers = scored_by(upstream)
        scorer = scorer_identity(folder_of_prm) if folder_of_prm else (scorers[0] if len(scorers) == 1 else None)
        not_cut = prm is not None and "steps" not in upstream.tables
        splits = upstream.frame("problems").join(solutions, on="problem_id", how="semi")["split"].unique().to_list()
        recipe = StoredRecipe(
            model=str(upstream.manifest.recipe.get("model", "unknown")),
            prm=prm or scorer,
            decode=tuple(decode),
            split="train" if "train" in splits else "test",
            rescore=prm is not None and scorers != [scorer],
            steps=StepsConfig.model_validate(upstream.manifest.recipe.get("steps", {})) if not_cut else None,
        )
        require_prm(decode, recipe.prm, calibrated=shown.calibrate is not None)
        recipe = recipe.model_copy(update={"calibrations": _calibrations(recipe, shown, scorer)})
        tools = {"grader": GraderTool(SolutionsConfig()), **({"scorer": ScorerTool(folder_of_prm)} if folder_of_prm else {})}
        version = run(stored(recipe), recipe, Store.create(folder), tools, reporter, upstream=upstream, where=where)
        _show(version, recipe, shown)


@contextmanager
def _kept(shown: Shown) -> Iterator[tuple[Path, ProgressReporter]]:
    """The folder of the answers and the reporter; an interruption says whether anything is kept."""
    with ExitStack() as stack:
        reporter = stack.enter_context(progress())
        folder = shown.out or stack.enter_context(tempfile.TemporaryDirectory(prefix="fullstep-eval-"))
        try:
            yield path_of(folder), reporter
        except Interrupted as stopped:
            if shown.out:
                raise
            step = "run the same command again; with --out DIR an interrupted evaluation goes on where it stopped"
            raise Interrupted(what=stopped.what, next_step=step) from None


def _show(version: Version, recipe: Evaluated, shown: Shown) -> None:
    answers, dropped = version.frame("predictions"), version.frame("rejects")
    if answers.is_empty():
        reasons = dropped["reason"].value_counts(sort=True).iter_rows()
        raise InputError(
            "no problem was answered, so there is nothing to measure",
            where=shown.out or ", ".join(recipe.decode),
            count=dropped.height,
            examples=[f"{reason}: {count:,}" for reason, count in reasons],
            next_step="see the reasons; a prompt that is too long asks for a shorter template or another model",
        )
    blocks = eval_summary(answers, dropped, recipe.decode, shown.threshold, recipe.calibrations, shown.out)
    show([*blocks, *_seen_before(answers, recipe, shown)])


def _seen_before(answers: pl.DataFrame, recipe: Evaluated, shown: Shown) -> list[Text]:
    """A warning where a calibration knows the problems that it is measured on."""
    if not recipe.calibrations or shown.calibrate is None:
        return []
    known = open_version(shown.calibrate).frame("solutions")["problem_id"].unique()
    both = answers["problem_id"].unique().is_in(known.implode()).sum()
    told = f"warning: {both:,} of these problems are among those that hybrid was calibrated on; measure it on others"
    return [Text(told, style="yellow")] if both else []


def _calibrations(recipe: Evaluated, shown: Shown, scorer: str | None) -> tuple[Calibration, ...]:
    """One for each PRM score that a rule `hybrid` votes by."""
    rules = [rule for rule in parse(",".join(recipe.decode)) if isinstance(rule, Sampled) and rule.kind == "hybrid"]
    if not rules or shown.calibrate is None or scorer is None:
        return ()
    version = open_version(shown.calibrate)
    solutions, step_scores = version.frame("solutions"), version.frame("step_scores")
    if scored_by(version) != [scorer]:
        raise InputError(
            "the samples to calibrate on were not rewarded by this PRM",
            where=shown.calibrate,
            examples=[f"there {', '.join(scored_by(version)) or 'none'}; here {scorer}"],
            next_step=f"evaluate those problems with this PRM first: fs-train eval --decode bon@8 --prm {recipe.prm or 'DIR'}",
        )
    largest = {rule.aggregate: rule for rule in sorted(rules, key=lambda rule: rule.n)}
    solutions = _unlearnt(version, solutions)
    with Grader() as grader:
        return tuple(calibrate(solutions, step_scores, rule, grader, shown.curve) for rule in largest.values())


def _unlearnt(version: Version, solutions: pl.DataFrame) -> pl.DataFrame:
    """Of a dataset that trained the PRM, those of the problems that the training held back: on the others its rewards are better
    than they are on new ones.
    """
    if "prm" not in version.manifest.models:
        return solutions
    from fullstep_train.prm import held_back

    share = version.manifest.models["prm"].config["validation_share"]
    held = held_back(solutions["problem_id"].unique().to_list(), share)
    if not held:
        raise InputError(
            "the PRM was trained on every problem of this dataset (prm.validation_share = 0): nothing is left to calibrate on",
            where=version.place,
            next_step="evaluate other problems with this PRM (fs-train eval --decode bon@8 --out DIR), and calibrate on those",
        )
    return solutions.filter(pl.col("problem_id").is_in(sorted(held)))


def _require_files_for_columns(recipe: EvalRecipe) -> None:
    form = recipe.questions.form
    datasets = [text for text in recipe.questions.sets if is_dataset(text)]
    if datasets and (form.preset or form.columns.model_fields_set):
        raise InputError(
            what="--preset, --question and --answer say how to read a file, and this is a dataset",
            where=datasets[0],
            next_step="leave them out: a dataset knows its questions and answers",
        )


def _require_sampled_rules(decode: Sequence[str]) -> None:
    others = [rule.name for rule in parse(",".join(decode)) if not isinstance(rule, Sampled)]
    if others:
        raise InputError(
            f"{', '.join(others)}: asks the model, and --samples only decides over what is stored",
            where="--decode",
            next_step="name sc@N, bon@N, wsc@N or hybrid@N, or ask a model by --model and --sets",
        )


def _top_up(upstream: Version, decode: Sequence[str]) -> str:
    """The command that samples what is missing."""
    place = shlex.quote(upstream.place)
    if upstream.manifest.recipe.get("name") == "eval":
        return f"the `fs-train eval` that made it, with --decode {','.join(decode)} --out {place}"
    most = max(rule.n for rule in parse(",".join(decode)) if isinstance(rule, Sampled))
    return f"the `fs-data build` that made it, with --set samples.samples={most} --out {place}"
