"""What `fs-train experiment` does: a list of recipes over the public pipeline, for each seed and family → tables and a figure.

    experiment("arithmetic", Path("out/study"), Study(seeds=5))

Layout of the folder:

    FAMILY/seed-S/data/            the dataset, as `fs-data build` makes it; other labels are other versions of it
    FAMILY/seed-S/test.jsonl       the test problems: none of them is in the dataset
    FAMILY/seed-S/METHOD/runs/     one version per learning rate, as `fs-train run` makes them
    FAMILY/seed-S/METHOD/test/     the answers of the chosen policy, as `fs-train eval` makes them
    FAMILY/seed-S/METHOD/policy    which of the runs' models was chosen
    FAMILY/seed-S/METHOD/*.parquet results, trials, answers of this part; results.parquet comes last and says that it is finished
    calls/                         what was typed, when, on which machine, and what it cost
    *.parquet, results.png         the same of all parts, written anew at the end

A part that is finished is not looked at again; one that was killed goes on where it stopped, for all three kinds of folder do.
"""

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import polars as pl

from cli.experiment_figures import figures
from cli.experiment_methods import BASE, Method, chosen
from cli.experiment_summary import compared, experiment_summary
from cli.experiment_tables import ANSWERS, FIGURES, RESULTS, TRIALS
from cli.progress import ProgressReporter, progress
from cli.recipe import Recipe, learnt, load
from cli.render import show
from cli.results import CALLS, write_figure
from cli.tools import build_stages, build_tools, eval_tools, train_tools
from fullstep_data.accuracy import accuracy
from fullstep_data.arithmetic import NAMES, FamilyName, item
from fullstep_data.config import HFEngine
from fullstep_data.decoding import parse
from fullstep_data.evaluation import EvalRecipe, Questions, evaluation
from fullstep_data.pipeline import training
from fullstep_data.runner import run
from fullstep_data.store import Store, Version
from fullstep_data.store.disk import replace
from schemas import InputError, Table

FIRST_TEST = 1_000_000
"""Number of the first test problem: far from those of the dataset."""
RATES = (3e-5, 1e-4, 3e-4, 1e-3)
QUICK = (
    "problems.source.size=80",
    "samples.samples=8",
    "prm.epochs=1",
    "policy.epochs=1",
)


@dataclass(frozen=True)
class Study:
    """How much is done. overrides: of the recipe, for all methods. decode: rules that the base model is tested under.
    command: as it was typed.
    """

    families: tuple[FamilyName, ...]
    seeds: int
    methods: tuple[Method, ...]
    rates: tuple[float, ...] = RATES
    decode: tuple[str, ...] = ("greedy",)
    test_problems: int = 400
    overrides: tuple[str, ...] = ()
    command: str = ""


def study_of(
    family: str,
    seeds: int,
    methods: str,
    rates: str,
    decode: str,
    test_problems: int,
    overrides: tuple[str, ...],
    *,
    quick: bool,
    command: str,
) -> Study:
    """A study from what was typed. InputError: a family, method, rate or rule that is none."""
    families = tuple(dict.fromkeys(part.strip() for part in family.split(",")))
    unknown = [one for one in families if one not in NAMES]
    if unknown:
        raise InputError(f"there is no family {unknown[0]!r}", where="--family", next_step=f"families: {', '.join(NAMES)}")
    try:
        tried = tuple(sorted({float(rate) for rate in rates.split(",")}))
    except ValueError:
        raise InputError("a learning rate is a number", where=f"--rates {rates}", next_step="write it as 1e-4,3e-4") from None
    rules = ("greedy", *(rule.name for rule in parse(decode) if rule.name != "greedy"))
    study = Study(
        cast("tuple[FamilyName, ...]", families), seeds, tuple(chosen(methods)), tried, rules, test_problems, overrides, command
    )
    if not quick:
        return study
    few = tuple(one for one in study.methods if one.name in ("sft", "dpo", "full-step"))
    return replaced(
        study,
        families=families[:1],
        methods=few,
        rates=tried[2:3] or tried[-1:],
        test_problems=100,
        overrides=(*QUICK, *overrides),
    )


def experiment(name: str, out: Path, study: Study) -> None:
    """Do what is missing, seed by seed so that a part of the study is a study, and write the tables of all that is finished."""
    begun = datetime.now(UTC)
    with progress() as reporter:
        for seed in range(study.seeds):
            for family in study.families:
                world = World(name, out / family / f"seed-{seed}", family, seed, study, reporter)
                for part in (None, *study.methods):
                    world.do(part)
                    _record(out, begun, study.command)
    tables = collect(out)
    write_figure(compared(tables["results"], tables["answers"]), out / "results.png")
    show(experiment_summary(tables, out))


def _record(out: Path, begun: datetime, command: str) -> None:
    """What this call is and has cost so far, in a file of its own: calls may be killed, and several may work side by side."""
    call = {
        "command": command,
        "date": begun.date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "versions": {name: version(name) for name in ("fullstep", "torch", "transformers")},
        "cpu_seconds": round(time.process_time()),
    }
    (out / CALLS).mkdir(exist_ok=True)
    replace(out / CALLS / f"{begun:%Y%m%d-%H%M%S}-{os.getpid()}.json", json.dumps(call, indent=1).encode())


def collect(out: Path) -> dict[str, pl.DataFrame]:
    """The tables of all finished parts, by name; written beside the parts."""
    done = [marker.parent for marker in sorted(out.glob("*/seed-*/*/results.parquet"))]
    found: dict[str, pl.DataFrame] = {}
    for table in (RESULTS, TRIALS, ANSWERS, FIGURES):
        files = [part / f"{table.name}.parquet" for part in done]
        frames = [pl.read_parquet(file) for file in files if file.is_file()]
        found[table.name] = table.check(pl.concat([table.empty(), *frames]), table.name)
        _write(out, table, found[table.name])
    return found


@dataclass
class World:
    """One seed of one family: a dataset, and what every method makes of it. folder: of this seed."""

    name: str
    folder: Path
    family: FamilyName
    seed: int
    study: Study
    reporter: ProgressReporter
    versions: dict[tuple[str, ...], Version] = field(default_factory=dict)

    def do(self, method: Method | None) -> None:
        """Search, test and write down one method (None: the base model), unless that is done."""
        part = self.folder / (method.name if method else BASE)
        rules = self.study.decode if method is None else ("greedy",)
        rates = self.study.rates if method else ()
        if finished(part, rules, rates):
            return
        part.mkdir(parents=True, exist_ok=True)
        if method is None:
            trials, best, policy = TRIALS.empty(), None, self.recipe(()).model
        else:
            self.say(method.name)
            found = [self.trial(method, rate, part) for rate in sorted({*rates, *rates_tried(part)})]
            trials = TRIALS.frame([row for row, _ in found])
            best, policy = max(found, key=lambda one: (one[0]["validation_accuracy"], -one[0]["learning_rate"]))
            replace(part / "policy", str(policy.relative_to(self.folder)).encode())
        started = time.process_time()
        answers = self.test(method.name if method else BASE, str(policy), part, rules)
        seconds = float(trials["cpu_seconds"].sum()) + time.process_time() - started
        if method is None:
            _write(part, FIGURES, self.figures())
        _write(part, TRIALS, trials)
        greedy = answers.filter(decoding="greedy").select("problem_id", pl.col("correct").fill_null(value=False))
        _write(part, ANSWERS, self.named(greedy, method))
        _write(part, RESULTS, self.results(method, best, answers, seconds))

    def say(self, what: str) -> None:
        """A line on the screen: which part begins."""
        self.reporter.stage_done(f"{self.family} {self.seed}: {what}", None, {}, 0.0, 0)

    def recipe(self, overrides: Sequence[str]) -> Recipe:
        """The recipe of this seed with a method's keys."""
        seeds = [f"{section}.seed={self.seed}" for section in ("problems.source", "samples", "prm", "policy")]
        own = (f"problems.source.family={self.family}", f"model=bench-arithmetic-{self.family}-{self.seed}", *seeds)
        return load(self.name, (*own, *self.study.overrides, *overrides))

    def dataset(self, overrides: tuple[str, ...] = ()) -> Version:
        """The dataset, as `fs-data build` makes it; with overrides another version of it over the same samples."""
        if overrides not in self.versions:
            recipe = self.recipe(overrides)
            tools = build_tools(recipe, self.reporter)
            self.versions[overrides] = run(build_stages(recipe), recipe, Store.create(self.folder / "data"), tools, self.reporter)
        return self.versions[overrides]

    def trial(self, method: Method, rate: float, part: Path) -> tuple[dict[str, Any], Path]:
        """One training as `fs-train run` does it, without the answers before it: its row of `trials`, and the policy's folder."""
        data = self.dataset(method.data)
        base = [f"policy.base={json.dumps(str(self.policy_of(method.after)))}"] if method.after else []
        recipe = self.recipe((*method.data, *method.policy, *base, f"policy.learning_rate={rate}"))
        started = time.process_time()
        table = learnt(recipe)
        tools = train_tools(recipe, self.reporter, data)
        _, *stages = training(table)
        trained = run(stages, recipe, Store.create(part / "runs"), tools, self.reporter, upstream=data)
        validation = accuracy(trained.frame("predictions")).row(0, named=True)
        row = {
            **self.who(method),
            "learning_rate": rate,
            "validation_accuracy": validation["accuracy"],
            "validation_n": validation["n"],
            "pairs": data.table(table).rows,
            "cpu_seconds": time.process_time() - started + rates_tried(part).get(rate, 0.0),
        }
        return row, trained.model("policy")

    def policy_of(self, name: str) -> Path:
        """The folder of the policy that a finished method has chosen."""
        return (self.folder / (self.folder / name / "policy").read_text(encoding="utf-8")).resolve()

    def test(self, name: str, model: str, part: Path, rules: tuple[str, ...]) -> pl.DataFrame:
        """Answers to the test problems, as `fs-train eval` makes them; rules other than greedy may ask the dataset's PRM."""
        recipe = self.recipe(())
        prm = f"{self.folder / 'data'}@{self.dataset().number}" if rules != ("greedy",) else None
        asked = EvalRecipe(
            model=name,
            prm=prm,
            decode=rules,
            questions=Questions(sets=(str(self.test_file),), problems_per_part=recipe.problems.problems_per_part),
            engine=HFEngine(model=model, batch_size=recipe.evaluation.batch_size),
            prompt=recipe.samples.prompt,
            max_tokens=recipe.evaluation.max_tokens,
            temperature=1.0,
            seed=self.seed,
            steps=recipe.steps,
        )
        answered = run(evaluation(asked), asked, Store.create(part / "test"), eval_tools(asked, self.reporter), self.reporter)
        return answered.frame("predictions")

    @cached_property
    def test_file(self) -> Path:
        """Problems that the dataset does not have."""
        known = set(self.dataset().frame("problems")["question"])
        numbers = range(FIRST_TEST, FIRST_TEST + self.study.test_problems)
        items = [made for number in numbers if (made := item(self.family, self.seed, number)).question not in known]
        lines = [json.dumps({"question": made.question, "answer": made.answer}) for made in items]
        file = self.folder / "test.jsonl"
        replace(file, ("\n".join(lines) + "\n").encode())
        return file

    def figures(self) -> pl.DataFrame:
        """Rows of `figures`."""
        truth = self.dataset(('step_labels={kind="truth"}', 'prm={kind="labels"}'))
        local = self.dataset(('step_labels={kind="truth", of="local"}', 'prm={kind="labels"}'))
        found = figures(self.dataset(), truth, local)
        return FIGURES.frame(
            [{"family": self.family, "seed": self.seed, "figure": name, "value": value} for name, value in found.items()]
        )

    def results(self, method: Method | None, best: dict[str, Any] | None, answers: pl.DataFrame, seconds: float) -> pl.DataFrame:
        """Rows of `results`, one per decoding rule."""
        rules = answers.filter(pl.col("decoding") != "sample")
        rows = [
            {
                **self.who(method),
                "decoding": row["decoding"],
                "settings": json.dumps([*method.data, *method.policy, *([f"after {method.after}"] if method.after else [])])
                if method
                else "[]",
                "learning_rate": best["learning_rate"] if best else None,
                "validation_accuracy": best["validation_accuracy"] if best else None,
                "test_correct": row["correct"],
                "test_n": row["n"],
                "test_accuracy": row["accuracy"],
                "cpu_seconds": seconds,
            }
            for row in accuracy(rules).iter_rows(named=True)
        ]
        return RESULTS.frame(rows)

    def who(self, method: Method | None) -> dict[str, Any]:
        return {"family": self.family, "seed": self.seed, "method": method.name if method else BASE}

    def named(self, frame: pl.DataFrame, method: Method | None) -> pl.DataFrame:
        return frame.with_columns(pl.lit(value).alias(name) for name, value in self.who(method).items()).select(
            pl.col(name).cast(dtype) for name, dtype in ANSWERS.polars_schema.items()
        )


def finished(part: Path, rules: Sequence[str], rates: Sequence[float]) -> bool:
    """Are there results of a part, under all of these rules, after a search over all of these rates (more are no harm)?"""
    file = part / "results.parquet"
    return file.is_file() and set(rules) <= set(pl.read_parquet(file)["decoding"]) and set(rates) <= rates_tried(part).keys()


def rates_tried(part: Path) -> dict[float, float]:
    """The learning rates of a part's earlier search, and what each has cost in CPU-seconds."""
    file = part / "trials.parquet"
    return dict(pl.read_parquet(file).select("learning_rate", "cpu_seconds").iter_rows()) if file.is_file() else {}


def _write(folder: Path, table: Table, frame: pl.DataFrame) -> None:
    """A table as Parquet, there whole or not at all."""
    part = folder / f".{table.name}.part"
    table.check(frame, table.name).write_parquet(part)
    part.replace(folder / f"{table.name}.parquet")
