"""PRMs of graded quality decide over the same samples: is a rule worth its PRM, and is `hybrid` ever worse than Self-Consistency?

    grade(world, ("full-step-mc8", "full-step-prm-800x4"), None)      # rows of `graded`, into the part of the base model

No model is asked for answers to test problems: samples are those of the part, written under `--decode`. `hybrid` listens to each
PRM as far as it has earned it on samples of the validation problems, which no PRM has learnt from.

Layout, below the folder of a method (`experiment_world`):

    graded/validation/     samples of the validation problems
    graded/PRM/            what rules make of these, and of the samples of the test problems, under this PRM
    graded.parquet         the table
"""

import json
from itertools import accumulate
from pathlib import Path
from typing import cast

import polars as pl
from sklearn.metrics import roc_auc_score

from cli.experiment_methods import BASE, Method, method
from cli.experiment_tables import GRADED
from cli.experiment_world import World, write_table
from cli.tools import ScorerTool
from fullstep_data.accuracy import accuracy
from fullstep_data.arithmetic import FamilyName, verdicts
from fullstep_data.calibration import calibrate
from fullstep_data.config import Calibration, SolutionsConfig
from fullstep_data.decoding import Sampled, parse
from fullstep_data.evaluation import Questions, StoredRecipe, stored
from fullstep_data.grading import Grader, GraderTool
from fullstep_data.runner import run
from fullstep_data.store import Store, Version
from fullstep_data.store.disk import replace


def grade(world: World, names: tuple[str, ...], one: Method | None) -> None:
    """Decide over the samples of a method (None: of the base model) under the shared PRM and under those of `names`; what is
    decided is not decided again.
    """
    part = world.folder / (one.name if one else BASE)
    rules = tuple(rule for rule in parse(",".join(world.rules(one))) if isinstance(rule, Sampled))
    file = part / "graded.parquet"
    before = GRADED.check(pl.read_parquet(file), GRADED.name) if file.is_file() else GRADED.empty()
    wanted = [name for name in (BASE, *names) if {rule.name for rule in rules} - set(before.filter(prm=name)["decoding"])]
    for name in wanted:
        world.reporter.stage_done(f"{world.family} {world.seed}: {part.name} under the PRM of {name}", None, {}, 0.0, 0)
        rows = _under(world, one, part, name, rules)
        before = GRADED.check(pl.concat([before.filter(pl.col("prm") != name), rows]), GRADED.name)
        write_table(part, GRADED, before)


def _under(world: World, one: Method | None, part: Path, name: str, rules: tuple[Sampled, ...]) -> pl.DataFrame:
    """Rows of `graded` under the PRM of one method."""
    prm = prm_of(world, name)
    place = part / "graded" / name
    known = validation(world, one, part, max(rule.n for rule in rules))
    rewards = decided(world, prm, place / "validation", known, ("bon-min@1",), ()).frame("step_scores")
    with Grader() as grader:
        fitted = tuple(
            calibrate(known.frame("solutions"), rewards, rule, grader, "platt") for rule in rules if rule.kind == "hybrid"
        )
    tested = Store.open(part / "test").version()
    judged = decided(world, prm, place / "test", tested, tuple(rule.name for rule in rules), fitted)
    auc = quality(world, tested, judged.frame("step_scores"))
    weights = {f"hybrid-{calibration.score}": calibration.weight for calibration in fitted}
    families = {rule.name: rule.family for rule in rules}
    return GRADED.frame(
        [
            {
                **world.who(one),
                "prm": name,
                "auc": auc,
                "decoding": row["decoding"],
                "weight": weights.get(families[row["decoding"]]),
                "test_correct": row["correct"],
                "test_n": row["n"],
                "test_accuracy": row["accuracy"],
            }
            for row in accuracy(judged.frame("predictions")).iter_rows(named=True)
            if row["decoding"] in families
        ]
    )


def prm_of(world: World, name: str) -> Path:
    """The folder of the PRM that a method learns under."""
    one = None if name == BASE else method(name)
    return (world.rewarder(one) if one is not None and one.prm else world.dataset(one)).model("prm")


def quality(world: World, samples: Version, scores: pl.DataFrame) -> float | None:
    """AUC of rewards for steps of samples: those up to which a solution is right above the others. None where all are alike."""
    questions = dict(samples.frame("problems").select("problem_id", "question").iter_rows())
    rows = (
        samples.frame("solutions")
        .select("solution_id", "problem_id", "text")
        .join(scores.sort("step_index").group_by("solution_id").agg("reward"), on="solution_id")
    )
    truth: list[bool] = []
    rewards: list[float] = []
    for problem, text, given in rows.select("problem_id", "text", "reward").iter_rows():
        found = verdicts(cast("FamilyName", world.family), questions[problem], text.splitlines(keepends=True))
        truth += accumulate(found[: len(given)], lambda before, this: before and this)
        rewards += given[: len(found)]
    return float(roc_auc_score(truth, rewards)) if len(set(truth)) == 2 else None


def validation(world: World, one: Method | None, part: Path, n: int) -> Version:
    """n samples of a method's policy for each validation problem of the shared data."""
    problems = world.dataset(None).frame("problems").filter(split="test")
    items = problems.select("question", "answer").rows(named=True)
    lines = [json.dumps(row) for row in items]
    file = world.folder / "validation.jsonl"
    replace(file, ("\n".join(lines) + "\n").encode())
    asked = Questions(sets=(str(file),), problems_per_part=world.recipe(()).problems.problems_per_part)
    model = str(world.policy_of(one.name)) if one else world.recipe(()).model
    return world.answered(one, model, part / "graded" / "validation", (f"sc@{n}",), asked)


def decided(
    world: World, prm: Path, place: Path, samples: Version, rules: tuple[str, ...], calibrations: tuple[Calibration, ...]
) -> Version:
    """Stored samples rewarded by a PRM, and what rules choose among them."""
    recipe = StoredRecipe(
        model=str(samples.manifest.recipe["model"]),
        prm=str(prm),
        decode=rules,
        calibrations=calibrations,
        split="test",
        rescore=True,
        steps=None if "steps" in samples.tables else world.recipe(()).steps,
    )
    tools = {"grader": GraderTool(SolutionsConfig()), "scorer": ScorerTool(prm)}
    return run(stored(recipe), recipe, Store.create(place), tools, world.reporter, upstream=samples)
