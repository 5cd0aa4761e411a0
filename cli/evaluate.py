"""What `fs-train eval` does: problems of a file or the held-out ones of a dataset → greedy answers of one model → accuracy.

    evaluate("tiny-random", Questions(place="out/tiny"), predictions=PredictionsConfig(max_tokens=64), out="out/tiny-eval")

It is a run of two stages into a store of its own, so an interrupted one goes on and a changed one answers only what is new.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path

import polars as pl
from rich.text import Text

from cli.progress import progress
from cli.render import section, show
from cli.train_summary import accuracy_table
from fullstep_data.accuracy import accuracy
from fullstep_data.config import (
    Columns,
    Config,
    FileSource,
    HFEngine,
    PredictionsConfig,
    Preset,
    ProblemsToSolve,
    SolutionsConfig,
)
from fullstep_data.grading import GraderTool
from fullstep_data.predictions import predictions, predictions_key
from fullstep_data.problems import problems
from fullstep_data.runner import Interrupted, run
from fullstep_data.stage import Accounts, Context, Outcome, Read, Stage
from fullstep_data.store import Store, open_version, parse_spec
from schemas import InputError

HELD_OUT = "split = 'test'"


class Questions(Config):
    """Which problems are asked. place: as typed, a file or a dataset. preset, columns: how to read a file."""

    place: str
    preset: Preset | None = None
    columns: Columns = Columns()
    limit: int | None = None
    problems_per_part: int = 16


class EvalRecipe(Config):
    """What decides an evaluation; stands in the manifest as a recipe does."""

    name: str = "eval"
    model: str
    questions: Questions
    predictions: PredictionsConfig


def evaluate(model: str, questions: Questions, predictions: PredictionsConfig, out: str | None) -> None:
    """Answer the problems and show the accuracy; `out` None keeps nothing."""
    recipe = EvalRecipe(model=model, questions=questions, predictions=predictions)
    _require_columns_of_a_file(questions)
    from cli.tools import find_model, generator  # torch

    with ExitStack() as stack:
        reporter = stack.enter_context(progress())
        tools = {"generator": generator(HFEngine(), find_model(model, reporter)), "grader": GraderTool(SolutionsConfig())}
        folder = out or stack.enter_context(tempfile.TemporaryDirectory(prefix="fullstep-eval-"))
        try:
            version = run(_stages(model), recipe, Store.create(Path(folder)), tools, reporter)
        except Interrupted as stopped:
            if out:
                raise
            step = "run the same command again; with --out DIR an interrupted evaluation goes on where it stopped"
            raise Interrupted(what=stopped.what, next_step=step) from None
        answers, dropped = version.frame("predictions"), version.frame("rejects")
    lines = [f"{count:,} left out: {reason}" for reason, count in dropped["reason"].value_counts(sort=True).iter_rows()]
    kept = [f"predictions are kept: fs-data show {out} predictions"] if out else []
    show([section("Greedy accuracy", accuracy_table(accuracy(answers)), *map(Text, (*lines, *kept)))])


def _stages(model: str) -> tuple[Stage, ...]:
    return (
        Stage(
            name="problems",
            run=asked,
            reads=(),
            config=lambda recipe: recipe.questions,
            revision=1,
            parts_by="source",
        ),
        Stage(
            name="predictions",
            run=predictions,
            reads=(Read("problems", HELD_OUT),),
            config=lambda recipe: recipe.predictions,
            key_config=predictions_key,
            split=lambda config: iter([{"model": model}]),
            tools=("generator", "grader"),
            revision=1,
            parts_by="part",
            accounts=(Accounts("problems", ("problem_id",), HELD_OUT),),
        ),
    )


def _is_dataset(questions: Questions) -> bool:
    return parse_spec(questions.place)[0].is_dir()


def _require_columns_of_a_file(questions: Questions) -> None:
    if _is_dataset(questions) and (questions.preset or questions.columns.model_fields_set):
        raise InputError(
            what="--preset, --question and --answer say how to read a file, and this is a dataset",
            where=questions.place,
            next_step="leave them out: a dataset knows its questions and answers",
        )


def asked(context: Context) -> Outcome:
    """The problems to ask, all in the split `test`: a dataset's held-out ones (the first by id), or a file's (the first rows)."""
    questions: Questions = context.config
    if not _is_dataset(questions):
        source = FileSource(path=questions.place, preset=questions.preset, columns=questions.columns, limit=questions.limit)
        found = problems(Context(ProblemsToSolve(source=source), context.tools))
        return Outcome(found.rows.with_columns(pl.lit("test").alias("split")), found.rejects)
    rows = open_version(questions.place).frame("problems").filter(pl.col("split") == "test").sort("problem_id")
    if rows.is_empty():
        raise InputError(
            what="the dataset holds no problems for evaluation",
            where=questions.place,
            next_step="build it with problems.held_out above 0, or give a file of problems",
        )
    return Outcome(rows.head(questions.limit) if questions.limit else rows)
