"""A study of a recipe: what a seed decides, which problems test, what is measured of PRMs; one small study as a whole."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from cli.experiment_methods import method
from cli.experiment_recipe import LEFT_OUT, RecipeWorld
from cli.progress import Lines, ProgressReporter
from schemas import InputError
from tests.cli.commands import done

QUIET = ProgressReporter(Lines(lambda text: None))
JUDGED = Path("tests/golden/formats/processbench.jsonl").resolve()


@dataclass(frozen=True)
class Small:
    """A plan of seconds: 12 of the 48 sums are not in the dataset."""

    rates: tuple[float, ...] = (1e-3,)
    decode: tuple[str, ...] = ("greedy",)
    test_problems: int = 600
    overrides: tuple[str, ...] = ("problems.source.limit=36", "samples.samples=4", "pairs.top=2")
    sets: tuple[str, ...] = ("builtin:sums.jsonl",)
    prm_sets: tuple[str, ...] = (str(JUDGED),)
    inject: int = 0


def world(folder: Path, plan: Small | None = None, seed: int = 5) -> RecipeWorld:
    return RecipeWorld("tiny", folder, "tiny", seed, plan or Small(), QUIET)


def test_a_seed_decides_samples_and_trainings(tmp_path: Path) -> None:
    recipe = world(tmp_path).recipe(method("full-step-mc2").data)
    assert (recipe.samples.seed, recipe.prm.seed, recipe.policy.seed) == (5, 5, 5)  # type: ignore[union-attr]
    assert (recipe.step_labels.kind, recipe.pairs.top, recipe.model) == ("monte-carlo", 2, "tiny-random")
    given = world(tmp_path).recipe(('prm={kind="given", path="prm"}',))
    assert given.prm.kind == "given"  # which has no seed


def test_tests_are_problems_that_the_dataset_does_not_have(tmp_path: Path) -> None:
    """Of 48 sums the dataset has 36, so 12 are asked; where it has all of them there is no test."""
    one = world(tmp_path / "some")
    one.do(None)
    part = tmp_path / "some" / "base"
    answers = pl.read_parquet(part / "answers.parquet")
    assert (answers.height, answers["family"].unique().to_list()) == (12, ["builtin:sums.jsonl"])
    assert answers["operations"].null_count() == 12
    results = pl.read_parquet(part / "results.parquet").row(0, named=True)
    assert (results["family"], results["test_n"]) == ("builtin:sums.jsonl", 12)
    figures = dict(pl.read_parquet(part / "figures.parquet").select("figure", "value").iter_rows())
    assert figures[LEFT_OUT] == 36
    assert 0 <= figures["PRM AUC, held back"] <= 1
    assert 0 <= figures["PRM first errors found exactly, processbench.jsonl"] <= 1
    with pytest.raises(InputError, match="every problem of the test sets"):
        world(tmp_path / "all", Small(test_problems=20)).do(None)


@pytest.mark.slow
def test_a_study_of_a_recipe_ends_with_a_table_per_test_set(tmp_path: Path) -> None:
    """Labels of two rollouts make a PRM of their own, which has figures of its own; another set is another table."""
    (tmp_path / "own.jsonl").write_text('{"question": "What is 1 + 1?", "answer": "2"}\n', encoding="utf-8")
    line = (
        f"fs-train experiment tiny --sets builtin:sums.jsonl,own.jsonl --prm-sets {JUDGED} --methods dpo,full-step-mc2 "
        "--set problems.source.limit=36 --set samples.samples=4 --out out"
    )
    shown = done(line, tmp_path).stdout
    assert "Methods, builtin:sums.jsonl" in shown
    assert "Methods, own.jsonl" in shown
    figures = pl.read_parquet(tmp_path / "out/figures.parquet")
    assert set(figures["method"]) == {"base", "full-step-mc2"}
    results = pl.read_parquet(tmp_path / "out/results.parquet")
    assert results.group_by("family").len().sort("family").rows() == [("builtin:sums.jsonl", 3), ("own.jsonl", 3)]
