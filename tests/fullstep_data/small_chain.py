"""A chain of eight stages in miniature, over the real contracts, for tests of runner, store, check and query: no model is needed.

    version = build(tmp_path / "dataset", Recipe(problems=10, samples=4))

A row means what its contract says; texts are made up. Every stage call is noted in `Recipe.log`, a file that survives a kill.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field

from fullstep_data.config import Config
from fullstep_data.runner import QuietReporter, run
from fullstep_data.stage import Accounts, Context, Outcome, Read, Stage, rejects
from fullstep_data.store import Store, Version
from schemas import TABLES
from schemas.ids import content_id, sample_seed

TRAIN = "split = 'train'"


class Recipe(Config):
    """samples: per problem. per_part: samples in a block. bad_rows: rows that the source rejects. pause: seconds per stage call.

    log: file for the stage calls. It and the pause decide nothing, so no manifest has them.
    """

    problems: int = 10
    problems_per_part: int = 4
    samples: int = 4
    per_part: int = 2
    bad_rows: int = 1
    words: int = 4
    pause: float = Field(default=0.0, exclude=True)
    log: str = Field(default="", exclude=True)

    def note(self, stage: str, *what: object) -> None:
        """Write durably that a stage was called."""
        if self.log:
            descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.write(descriptor, ("\t".join([stage, *map(str, what)]) + "\n").encode("utf-8"))
            os.fsync(descriptor)
            os.close(descriptor)
        time.sleep(self.pause)


def problems(context: Context) -> Outcome:
    recipe: Recipe = context.config
    rows = [
        {
            "problem_id": content_id("problem", index),
            "question": f"{index} + 1 = ?",
            "answer": str(index + 1),
            "source": "small",
            "source_row": str(index),
            "split": "test" if index % 5 == 4 else "train",
            "domain": "math",
        }
        for index in range(recipe.problems)
    ]
    bad = [(str(recipe.problems + index), "the answer is missing", None) for index in range(recipe.bad_rows)]
    return Outcome(TABLES["problems"].frame(rows), rejects("problems", "source", bad))


def blocks(recipe: Recipe) -> Iterator[dict[str, Any]]:
    for first in range(0, recipe.samples, recipe.per_part):
        yield {"first": first, "last": min(first + recipe.per_part, recipe.samples)}


def samples(given: pl.DataFrame, context: Context) -> Outcome:
    recipe: Recipe = context.config
    recipe.note("samples", *given["problem_id"].sort(), *context.slice_args.values())
    word: str = context.tools["generator"]
    rows = [
        {
            "problem_id": problem_id,
            "sample_index": index,
            "seed": sample_seed(problem_id, index, 0),
            "prompt": "Add.",
            "text": f"{word} {content_id(problem_id, index)} " * recipe.words,
            "token_ids": [index, 7],
            "finish_reason": "eos",
            "sampler": word,
        }
        for problem_id in given["problem_id"]
        for index in range(context.slice_args["first"], context.slice_args["last"])
    ]
    return Outcome(TABLES["samples"].frame(rows))


def solutions(given: pl.DataFrame, answers: pl.DataFrame, context: Context) -> Outcome:
    recipe: Recipe = context.config
    recipe.note("solutions", *given["problem_id"].unique().sort(), *given["sample_index"].unique().sort())
    gold = dict(answers.select("problem_id", "answer").iter_rows())
    rows: list[dict[str, Any]] = []
    dropped: list[tuple[str, str, str | None]] = []
    kept = [name for name in given.columns if name not in ("token_ids",)]
    for row in given.select(kept).iter_rows(named=True):
        problem_id, index = row["problem_id"], row["sample_index"]
        solution_id = content_id(problem_id, index, row["text"])
        if solution_id.startswith(("0", "1")):
            dropped.append((f"{problem_id}/{index}", "it starts oddly", solution_id))
            continue
        correct = int(solution_id[-1], 16) % 2 == 0
        verdict = {"answer": gold[problem_id] if correct else "0", "answer_source": "boxed", "correct": correct}
        rows.append({"solution_id": solution_id, **row, **verdict, "grade_path": "exact", "grader": "small"})
    return Outcome(TABLES["solutions"].frame(rows), rejects("solutions", "samples", dropped))


def steps(given: pl.DataFrame, context: Context) -> Outcome:
    context.config.note("steps", *given["solution_id"].sort())
    rows: list[dict[str, Any]] = []
    for solution_id, problem_id, text in given.select("solution_id", "problem_id", "text").iter_rows():
        for index, (start, stop) in enumerate(((0, 5), (5, len(text)))):
            cut = {"start": start, "stop": stop, "text": text[start:stop], "prefix_key": content_id(problem_id, text[:stop])}
            rows.append({"solution_id": solution_id, "step_index": index, "problem_id": problem_id, **cut})
    return Outcome(TABLES["steps"].frame(rows))


def step_labels(given: pl.DataFrame, graded: pl.DataFrame, context: Context) -> Outcome:
    context.config.note("step_labels", *given["solution_id"].unique().sort())
    correct = dict(graded.select("solution_id", "correct").iter_rows())
    rows = [
        {
            "solution_id": solution_id,
            "step_index": index,
            "labeller": "outcome",
            "problem_id": problem_id,
            "n_rollouts": 1,
            "n_correct": int(correct[solution_id]),
            "label": correct[solution_id],
            "value": float(correct[solution_id]),
            "source": "outcome",
        }
        for solution_id, index, problem_id in given.select("solution_id", "step_index", "problem_id").iter_rows()
    ]
    return Outcome(TABLES["step_labels"].frame(rows))


def prm(labels: pl.DataFrame, context: Context, folder: Path) -> None:
    """Two files; the first is a checkpoint that a later try finds again."""
    context.config.note("prm")
    (folder / "layers").mkdir(exist_ok=True)
    (folder / "layers" / "first.bin").write_bytes(b"weights" * 100)
    context.tick(1, 2)
    time.sleep(context.config.pause)
    (folder / "mean.txt").write_text(f"{labels['value'].sum() / max(labels.height, 1):.6f}")


def step_scores(given: pl.DataFrame, context: Context) -> Outcome:
    context.config.note("step_scores", *given["solution_id"].unique().sort())
    mean: float = context.tools["scorer"]
    rows = given.select("solution_id", "step_index", pl.lit("small").alias("scorer"), "problem_id")
    return Outcome(rows.with_columns(reward=pl.lit(mean, pl.Float32) / (pl.col("step_index") + 1).cast(pl.Float32)))


def pairs(asked: pl.DataFrame, graded: pl.DataFrame, scores: pl.DataFrame, context: Context) -> Outcome:
    context.config.note("pairs", *asked["problem_id"].sort())
    first = graded.sort("solution_id").group_by("problem_id", "correct", maintain_order=True).first()
    ids = {
        (problem, correct): solution for problem, correct, solution in first.select("problem_id", "correct", "solution_id").rows()
    }
    rows: list[dict[str, Any]] = []
    dropped: list[tuple[str, str, str | None]] = []
    for problem_id in asked["problem_id"]:
        chosen, rejected = ids.get((problem_id, True)), ids.get((problem_id, False))
        if chosen is None or rejected is None:
            dropped.append((problem_id, "no pair", None))
            continue
        numbers = {"chosen_score": 0.5, "rejected_score": 0.25, "margin": 0.25, "chosen_rank": 0, "rejected_rank": 0}
        names = {"chosen_id": chosen, "rejected_id": rejected, "policy": "small", "scorer": "small"}
        rows.append({"pair_id": content_id(chosen, rejected), "problem_id": problem_id, **names, **numbers})
    return Outcome(TABLES["pairs"].frame(rows), rejects("pairs", "problems", dropped))


def whole(recipe: Recipe) -> Recipe:
    """What a stage of the small chain has as config: the recipe itself."""
    return recipe


def key_config(recipe: Recipe) -> dict[str, int]:
    return {"words": recipe.words}


def small_stage(name: str, function: Any, reads: tuple[Read, ...], **options: Any) -> Stage:
    """A stage of the small chain."""
    return Stage(name=name, run=function, reads=reads, config=whole, key_config=key_config, revision=1, **options)


STAGES = (
    small_stage("problems", problems, (), parts_by="source"),
    small_stage(
        "samples",
        samples,
        (Read("problems", TRAIN),),
        parts_by="part",
        split=blocks,
        tools=("generator",),
        accounts=(Accounts("problems", ("problem_id",), TRAIN),),
    ),
    small_stage(
        "solutions",
        solutions,
        (Read("samples"), Read("problems", TRAIN)),
        parts_by="part",
        accounts=(Accounts("samples", ("problem_id", "sample_index")),),
    ),
    small_stage("steps", steps, (Read("solutions"),), parts_by="part", accounts=(Accounts("solutions", ("solution_id",)),)),
    small_stage(
        "step_labels",
        step_labels,
        (Read("steps"), Read("solutions")),
        parts_by="part",
        accounts=(Accounts("steps", ("solution_id", "step_index")),),
    ),
    small_stage("prm", prm, (Read("step_labels"),), parts_by="all", makes="model"),
    small_stage("step_scores", step_scores, (Read("steps"),), parts_by="part", tools=("scorer",)),
    small_stage(
        "pairs",
        pairs,
        (Read("problems", TRAIN), Read("solutions"), Read("step_scores")),
        parts_by="problem",
        accounts=(Accounts("problems", ("problem_id",), TRAIN),),
    ),
)


@dataclass
class Generator:
    """A tool that counts how often it was opened and closed."""

    word: str = "toy"
    opened: int = 0
    closed: int = 0

    def identity(self, models: Mapping[str, Path]) -> str:
        return self.word

    def open(self, models: Mapping[str, Path]) -> str:
        self.opened += 1
        return self.word


@dataclass
class Scorer:
    """A tool that reads the model that stage `prm` made."""

    seen: list[Path] = field(default_factory=list)

    def identity(self, models: Mapping[str, Path]) -> str:
        return models["prm"].name

    def open(self, models: Mapping[str, Path]) -> float:
        self.seen.append(models["prm"])
        return float((models["prm"] / "mean.txt").read_text())


def run_stages(folder: Path, stages: Sequence[Stage], recipe: Recipe | None = None, **tools: Any) -> Version:
    """Run some stages into `folder`, with other tools where given."""
    given = {"generator": Generator(), "scorer": Scorer(), **tools}
    return run(stages, recipe or Recipe(), Store.create(folder), given, QuietReporter())


def build(folder: Path, recipe: Recipe | None = None) -> Version:
    """Run the small chain into `folder`."""
    return run_stages(folder, STAGES, recipe)


def calls(log: Path) -> list[str]:
    """The stage calls that were noted, one line each."""
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def stage_calls(log: Path) -> list[str]:
    """How many calls each stage had, in the order of the first: `samples 6`."""
    names = [line.split("\t")[0] for line in calls(log)]
    return [f"{name} {names.count(name)}" for name in dict.fromkeys(names)]
