"""The same study on any recipe: its own problems and model, test sets of the user's, and labelled steps of others for its PRMs.

    RecipeWorld("my-recipe.toml", Path("out/study/my-recipe/seed-0"), "my-recipe", 0, study, reporter).do(method("full-step"))

What differs from the bench (`experiment_world`): a seed decides samples and trainings, not problems; the test problems are those
of sets, and each set is a family of the results, so that sets of another domain show what carries over; and every PRM is measured
on the problems that its training held back and on each of `prm_sets`, where people may have judged the steps.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from cli.evaluate_prm import Measured, prm_report
from cli.experiment_methods import BASE, Method
from cli.experiment_tables import ANSWERS, FIGURES, RESULTS
from cli.experiment_world import World
from cli.recipe import Recipe, load
from fullstep_data.consensus import CONSENSUS
from fullstep_data.evaluation import Questions
from fullstep_data.label_config import labeller_of
from fullstep_data.sources.sets import FileForm
from fullstep_data.store import Version, open_version
from fullstep_train.config import PRMTraining
from schemas import InputError

OWN = "held back"
"""Of the figures of a PRM: on the problems that its training held back."""
LEFT_OUT = "test problems that the dataset has too, left out"
STEPS = {"auc": "AUC", "brier": "Brier score", "ece": "calibration error"}
ERRORS = {"f1": "F1 of first errors", "exact": "first errors found exactly"}


class RecipeWorld(World):
    """family: the name of the recipe."""

    def recipe(self, overrides: Sequence[str]) -> Recipe:
        """The recipe with the seed of this world and a method's keys."""
        keys = (*self.plan.overrides, *overrides)
        sections = ["samples", "policy", *(["prm"] if isinstance(load(self.name, keys).prm, PRMTraining) else [])]
        return load(self.name, (*(f"{section}.seed={self.seed}" for section in sections), *keys))

    def questions(self) -> Questions:
        """The problems of the test sets."""
        form = FileForm(limit=self.plan.test_problems)
        return Questions(sets=self.plan.sets, form=form, problems_per_part=self.recipe(()).problems.problems_per_part)

    def test(self, one: Method | None, model: str, part: Path, rules: tuple[str, ...]) -> pl.DataFrame:
        """Answers to the test problems; those that the dataset has are left out. InputError: it has all of them."""
        found = super().test(one, model, part, rules)
        left = found.filter(~pl.col("question").is_in(self.known.implode()))
        if left.is_empty():
            raise InputError(
                "the dataset has every problem of the test sets, so there is none to test on",
                where=f"--sets {','.join(self.plan.sets)}",
                next_step="name other sets, or the dataset's own held-out problems by building it with other problems",
            )
        return left

    @cached_property
    def known(self) -> pl.Series:
        """The questions of the dataset."""
        return self.dataset(None).frame("problems")["question"]

    def results(self, one: Method | None, best: dict[str, Any] | None, answers: pl.DataFrame, seconds: float) -> pl.DataFrame:
        """Rows of `results`, one per test set and decoding rule."""
        parts = [
            super(RecipeWorld, self).results(one, best, of_set, seconds).with_columns(family=pl.lit(name))
            for (name,), of_set in answers.group_by("source", maintain_order=True)
        ]
        return pl.concat([RESULTS.empty(), *parts])

    def answers(self, one: Method | None, greedy: pl.DataFrame) -> pl.DataFrame:
        """Rows of `answers`: how many operations a problem asks for is not known."""
        return ANSWERS.frame(
            [
                {
                    **self.who(one),
                    "family": row["source"],
                    "problem_id": row["problem_id"],
                    "operations": None,
                    "correct": bool(row["correct"]),
                }
                for row in greedy.iter_rows(named=True)
            ]
        )

    def figures(self, one: Method | None) -> pl.DataFrame:
        """Rows of `figures`: what a PRM is worth, of every method that has one of its own."""
        version = self.dataset(one)
        scorer = self.prm_of(version)
        if scorer is None or (one is not None and scorer == self.prm_of(self.dataset(None))):
            return FIGURES.empty()
        made = self.prm_figures(version, self.recipe(self.keys(one)))
        if one is None:
            asked = open_version(str(self.folder / BASE / "test")).frame("problems")
            made[LEFT_OUT] = float(asked["question"].is_in(self.known.implode()).sum())
        return self.told(one, made)

    def prm_figures(self, version: Version, recipe: Recipe) -> dict[str, float | None]:
        """Figures of the PRM of a version by name: of the held-back problems where the build trained it, and of every set."""
        trained = "prm" in version.manifest.models
        folder = version.model("prm") if trained else Path(getattr(recipe.prm, "path", ""))
        own = CONSENSUS if recipe.learn_from == CONSENSUS else labeller_of(recipe.step_labels)
        places = [(OWN, f"{version.path}@{version.number}", own)] if trained else []
        places += [(Path(name).name if Path(name).is_file() else name, name, None) for name in self.plan.prm_sets]
        found: dict[str, float | None] = {}
        for shown, place, labeller in places:
            prompt = recipe.samples.prompt
            how = Measured(labeller=labeller, limit=self.plan.test_problems, template=prompt.template, chat=prompt.chat)
            report = prm_report(folder, place, how, self.reporter)
            found |= {f"PRM {told}, {shown}": report["steps_all"][key] for key, told in STEPS.items()}
            first = report["first_errors"]
            found |= {f"PRM {told}, {shown}": first[key] for key, told in ERRORS.items() if key in first}
        return found
