"""One seed of one family: a dataset, and what every method makes of it, by the public pipeline.

    World("arithmetic", Path("out/study/facts/seed-0"), "facts", 0, study, reporter).do(method("dpo"))

Layout of the folder:

    data/              the dataset, as `fs-data build` makes it; other labels are other versions of it
    test.jsonl         the test problems: none of them is in the dataset
    METHOD/data/       the dataset whose samples this method's policy wrote, where another method asks for it
    METHOD/prm/        the dataset of other problems that a PRM of its own learnt from
    METHOD/runs/       one version per learning rate, as `fs-train run` makes them
    METHOD/test/       the answers of the chosen policy, as `fs-train eval` makes them
    METHOD/policy      which of the runs' models was chosen
    METHOD/*.parquet   results, trials, answers, figures of this part; results.parquet comes last and says that it is finished
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import polars as pl

from cli.experiment_figures import figures, judged, prm_figures
from cli.experiment_injection import of_answers, of_prm
from cli.experiment_methods import BASE, RECIPE, Method, method
from cli.experiment_tables import ANSWERS, FIGURES, RESULTS, TRIALS
from cli.progress import ProgressReporter
from cli.recipe import Recipe, learnt, load
from cli.tools import build_stages, build_tools, eval_tools, train_tools
from fullstep_data.accuracy import accuracy
from fullstep_data.arithmetic import FamilyName, item, operations
from fullstep_data.calibration import calibrate
from fullstep_data.config import Calibration, HFEngine
from fullstep_data.decoding import Sampled, parse
from fullstep_data.evaluation import EvalRecipe, Questions, evaluation
from fullstep_data.grading import Grader
from fullstep_data.pipeline import training
from fullstep_data.runner import run
from fullstep_data.store import Store, Version
from fullstep_data.store.disk import replace
from fullstep_train.prm import held_back
from schemas import Table

FIRST_TEST = 2_000_000
"""Number of the first test problem: far from those of the dataset."""
LAST = 0.1
"""Share of the optimiser steps, the last ones, over which the change of log-probs is averaged."""
NO_REFERENCE = "reference_logprobs.in_dataset=false"


class Plan(Protocol):
    """What a world has to know of its study."""

    @property
    def rates(self) -> tuple[float, ...]: ...
    @property
    def decode(self) -> tuple[str, ...]: ...
    @property
    def test_problems(self) -> int: ...
    @property
    def overrides(self) -> tuple[str, ...]: ...
    @property
    def sets(self) -> tuple[str, ...]: ...
    @property
    def prm_sets(self) -> tuple[str, ...]: ...
    @property
    def inject(self) -> int: ...


@dataclass
class World:
    """folder: of this seed."""

    name: str
    folder: Path
    family: str
    seed: int
    plan: Plan
    reporter: ProgressReporter
    versions: dict[tuple[str, ...], Version] = field(default_factory=dict)

    def do(self, one: Method | None) -> None:
        """Search, test and write down one method (None: the base model), unless that is done."""
        part, rules = self.folder / (one.name if one else BASE), self.rules(one)
        if finished(part, rules):
            return
        part.mkdir(parents=True, exist_ok=True)
        self.reporter.stage_done(f"{self.family} {self.seed}: {part.name}", None, {}, 0.0, 0)
        started = time.process_time()
        trials = self.searched(one, part) if one else TRIALS.empty()
        best = best_of(trials) if one else None
        answers = self.test(one, str(self.policy_of(one.name)) if one else self.recipe(()).model, part, rules)
        seconds = time.process_time() - started + spent(part)
        greedy = answers.filter(decoding="greedy")
        if not (part / "figures.parquet").is_file():
            write_table(part, FIGURES, pl.concat([self.figures(one), self.injection(one, greedy)]))
        write_table(part, TRIALS, trials)
        write_table(part, ANSWERS, self.answers(one, greedy))
        write_table(part, RESULTS, self.results(one, best, answers, seconds))

    def rules(self, one: Method | None) -> tuple[str, ...]:
        """Rules other than greedy are for the base model and the recommended method."""
        return self.plan.decode if one is None or one.name == RECIPE else ("greedy",)

    def searched(self, one: Method, part: Path) -> pl.DataFrame:
        """The trials of a method, made now unless they are there; the file `policy` names the best one's."""
        file = part / "trials.parquet"
        if file.is_file():
            return TRIALS.check(pl.read_parquet(file), TRIALS.name)
        rates = self.plan.rates if one.searched else (self.recipe(()).policy.learning_rate,)
        found = {rate: self.trial(one, rate, part) for rate in rates}
        trials = TRIALS.frame([row for row, _ in found.values()])
        policy = found[best_of(trials)["learning_rate"]][1]
        replace(part / "policy", str(policy.relative_to(self.folder)).encode())
        write_table(part, TRIALS, trials)
        return trials

    def recipe(self, overrides: Sequence[str]) -> Recipe:
        """The recipe of this seed with a method's keys."""
        seeds = [f"{section}.seed={self.seed}" for section in ("problems.source", "samples", "prm", "policy")]
        injected = f"-injected-{self.plan.inject}" if self.plan.inject else ""
        base = f"model=bench-arithmetic-{self.family}-{self.seed}{injected}"
        own = (f"problems.source.family={self.family}", base, *seeds)
        return load(self.name, (*own, *self.plan.overrides, *overrides))

    def keys(self, one: Method | None) -> tuple[str, ...]:
        """What of the recipe decides a method's dataset: its own keys, and what earlier methods have made."""
        if one is None:
            return ()
        start = [f"policy.base={json.dumps(str(self.policy_of(one.after)))}"] if one.after else []
        writer = [f"samples.engine.model={json.dumps(str(self.policy_of(one.sampler)))}"] if one.sampler else []
        rewards = [f'prm={{kind="given", path={json.dumps(str(self.rewarder(one).model("prm")))}}}'] if one.prm else []
        return (*one.data, *rewards, *start, *writer)

    def dataset(self, one: Method | None, *more: str) -> Version:
        """The dataset of a method, as `fs-data build` makes it; methods with one writer have versions over the same samples."""
        return self.built(self.folder / (one.sampler if one else "") / "data", (*self.keys(one), *more))

    def rewarder(self, one: Method) -> Version:
        """The dataset of other problems that the PRM of this method learns from."""
        return self.built(self.folder / one.name / "prm", (*one.prm, NO_REFERENCE))

    def built(self, place: Path, overrides: tuple[str, ...]) -> Version:
        """A dataset, made once in the life of this object."""
        key = (str(place), *overrides)
        if key not in self.versions:
            recipe = self.recipe(overrides)
            tools = build_tools(recipe, self.reporter)
            self.versions[key] = run(build_stages(recipe), recipe, Store.create(place), tools, self.reporter)
        return self.versions[key]

    def trial(self, one: Method, rate: float, part: Path) -> tuple[dict[str, Any], Path]:
        """One training as `fs-train run` does it, without the answers before it: its row of `trials`, and the policy's folder."""
        data = self.dataset(one)
        recipe = self.recipe((*self.keys(one), *one.policy, f"policy.learning_rate={rate}"))
        started = time.process_time()
        table = learnt(recipe)
        tools = train_tools(recipe, self.reporter, data)
        _, *stages = training(table)
        trained = run(stages, recipe, Store.create(part / "runs"), tools, self.reporter, upstream=data)
        validation = accuracy(trained.frame("predictions")).row(0, named=True)
        policy = trained.model("policy")
        row = {
            **self.who(one),
            "learning_rate": rate,
            "validation_accuracy": validation["accuracy"],
            "validation_n": validation["n"],
            "pairs": data.table(table).rows,
            **changes(json.loads((policy / "training.json").read_bytes()), recipe.policy.beta),
            "cpu_seconds": time.process_time() - started,
        }
        return row, policy

    def policy_of(self, name: str) -> Path:
        """The folder of the policy that a finished method has chosen."""
        return (self.folder / (self.folder / name / "policy").read_text(encoding="utf-8")).resolve()

    def test(self, one: Method | None, model: str, part: Path, rules: tuple[str, ...]) -> pl.DataFrame:
        """Answers to the test problems, as `fs-train eval` makes them. Rules that want a PRM ask that of the shared data."""
        data = self.dataset(None) if rules != ("greedy",) else None
        return self.answered(one, model, part / "test", rules, self.questions(), data).frame("predictions")

    def answered(
        self, one: Method | None, model: str, place: Path, rules: tuple[str, ...], asked: Questions, data: Version | None = None
    ) -> Version:
        """What a model answers to problems, kept in `place`. data: the dataset whose PRM judges, where one is wanted."""
        recipe = self.recipe(())
        evaluated = EvalRecipe(
            model=one.name if one else BASE,
            prm=f"{data.path}@{data.number}" if data else None,
            decode=rules,
            calibrations=calibrations(data, rules) if data else (),
            questions=asked,
            engine=HFEngine(model=model, batch_size=recipe.evaluation.batch_size),
            prompt=recipe.samples.prompt,
            max_tokens=recipe.evaluation.max_tokens,
            temperature=recipe.samples.temperature,
            seed=self.seed,
            steps=recipe.steps,
        )
        tools = eval_tools(evaluated, self.reporter)
        return run(evaluation(evaluated), evaluated, Store.create(place), tools, self.reporter)

    def questions(self) -> Questions:
        """The test problems."""
        per_part = self.recipe(()).problems.problems_per_part
        return Questions(sets=(str(self.test_file),), problems_per_part=per_part)

    @cached_property
    def test_file(self) -> Path:
        """Problems that the dataset does not have."""
        known = set(self.dataset(None).frame("problems")["question"])
        numbers = range(FIRST_TEST, FIRST_TEST + self.plan.test_problems)
        items = [
            made for number in numbers if (made := item(cast("FamilyName", self.family), self.seed, number)).question not in known
        ]
        lines = [json.dumps({"question": made.question, "answer": made.answer}) for made in items]
        file = self.folder / "test.jsonl"
        replace(file, ("\n".join(lines) + "\n").encode())
        return file

    def figures(self, one: Method | None) -> pl.DataFrame:
        """Rows of `figures`: all of the data that methods share, of other data what their PRM is worth if it is another one."""
        version = self.dataset(one)
        if one is not None and self.prm_of(version) in (None, self.prm_of(self.dataset(None))):
            return FIGURES.empty()
        prefix, local = (
            self.dataset(one, f'step_labels={{kind="truth", of="{of}"}}', 'prm={kind="labels"}', NO_REFERENCE)
            for of in ("prefix", "local")
        )
        made = (figures if one is None else prm_figures)(version, prefix, local)
        if self.plan.inject:
            labels = local.frame("step_labels")
            made |= of_prm(judged(version), version, labels, cast("FamilyName", self.family), self.seed)
        return self.told(one, made)

    def injection(self, one: Method | None, greedy: pl.DataFrame) -> pl.DataFrame:
        """Rows of `figures`, where a mistake is injected: how often the answers to the test problems make it."""
        if not self.plan.inject:
            return FIGURES.empty()
        return self.told(one, of_answers(greedy, cast("FamilyName", self.family), self.seed))

    def told(self, one: Method | None, made: Mapping[str, float | None]) -> pl.DataFrame:
        """Figures of a method by name as rows of `figures`."""
        return FIGURES.frame([{**self.who(one), "figure": name, "value": value} for name, value in made.items()])

    @staticmethod
    def prm_of(version: Version) -> str | None:
        """Which PRM gave the rewards; None where labels did."""
        if version.manifest.recipe["prm"]["kind"] == "labels":
            return None
        return version.frame("step_scores")["scorer"][0]

    def results(self, one: Method | None, best: dict[str, Any] | None, answers: pl.DataFrame, seconds: float) -> pl.DataFrame:
        """Rows of `results`, one per decoding rule."""
        drawn = sum(self.drawn(one).values()) / self.training_problems if one else 0.0
        rows = [
            {
                **self.who(one),
                "decoding": row["decoding"],
                "settings": json.dumps(one.changes if one else ()),
                "learning_rate": best["learning_rate"] if best else None,
                "validation_accuracy": best["validation_accuracy"] if best else None,
                "test_correct": row["correct"],
                "test_n": row["n"],
                "test_accuracy": row["accuracy"],
                "completions": drawn,
                "cpu_seconds": seconds,
            }
            for row in accuracy(answers.filter(pl.col("decoding") != "sample")).iter_rows(named=True)
        ]
        return RESULTS.frame(rows)

    @property
    def training_problems(self) -> int:
        return self.dataset(None).frame("problems").filter(split="train").height

    def drawn(self, one: Method) -> dict[str, int]:
        """How many completions were drawn for a method, by what for; what two of its rounds share counts once."""
        version = self.dataset(one)
        found = {f"samples of {one.sampler or BASE}": version.table("samples").rows}
        if "rollouts" in version.tables:
            found[f"rollouts of {one.name}"] = version.table("rollouts").rows
        if one.prm:
            found[f"samples for the PRM of {one.name}"] = self.rewarder(one).table("samples").rows
        for name in one.needs:
            for what, count in self.drawn(method(name)).items():
                found[what] = max(count, found.get(what, 0))
        return found

    def who(self, one: Method | None) -> dict[str, Any]:
        return {"family": self.family, "seed": self.seed, "method": one.name if one else BASE}

    def answers(self, one: Method | None, greedy: pl.DataFrame) -> pl.DataFrame:
        """Rows of `answers`."""
        questions = pl.read_ndjson(self.test_file)
        counted = {question: operations(question) for question in questions["question"]}
        return ANSWERS.frame(
            [
                {
                    **self.who(one),
                    "problem_id": row["problem_id"],
                    "operations": counted[row["question"]],
                    "correct": bool(row["correct"]),
                }
                for row in greedy.iter_rows(named=True)
            ]
        )


def changes(curve: Sequence[Mapping[str, Any]], beta: float) -> dict[str, float | None]:
    """Columns chosen_change, rejected_change of `trials` from the figures of each optimiser step."""
    last = curve[-max(1, round(LAST * len(curve))) :]
    return {
        f"{side}_change": float(np.mean([row[f"rewards/{side}"] for row in last])) / beta if last else None
        for side in ("chosen", "rejected")
    }


def best_of(trials: pl.DataFrame) -> dict[str, Any]:
    """The trial that is best on validation; of equals the one with the lowest learning rate."""
    return trials.sort("validation_accuracy", "learning_rate", descending=(True, False)).row(0, named=True)


def calibrations(data: Version, rules: Sequence[str]) -> tuple[Calibration, ...]:
    """How `hybrid` votes: fitted on the training problems that the dataset's PRM has not learnt from."""
    wanted = [rule for rule in parse(",".join(rules)) if isinstance(rule, Sampled) and rule.kind == "hybrid"]
    solutions = data.frame("solutions")
    share = data.manifest.models["prm"].config["validation_share"]
    held = held_back(solutions["problem_id"].unique().to_list(), share)
    known = solutions.filter(pl.col("problem_id").is_in(sorted(held)))
    with Grader() as grader:
        return tuple(calibrate(known, data.frame("step_scores"), rule, grader, "platt") for rule in wanted)


def finished(part: Path, rules: Sequence[str]) -> bool:
    """Are there results of a part under all of these rules? What is answered is not answered again; rules may be added."""
    file = part / "results.parquet"
    return file.is_file() and set(rules) <= set(pl.read_parquet(file)["decoding"])


def spent(part: Path) -> float:
    """CPU-seconds of a part in earlier calls."""
    file = part / "results.parquet"
    return float(pl.read_parquet(file)["cpu_seconds"].max() or 0.0) if file.is_file() else 0.0  # type: ignore[arg-type]


def write_table(folder: Path, table: Table, frame: pl.DataFrame) -> None:
    """A table as Parquet, there whole or not at all."""
    part = folder / f".{table.name}.part"
    table.check(frame, table.name).write_parquet(part)
    part.replace(folder / f"{table.name}.parquet")
