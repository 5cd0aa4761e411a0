"""Several stages of one table, datasets that build on others, and folders that hold something else."""

import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from fullstep_data.runner import QuietReporter, run
from fullstep_data.stage import Context, Outcome, Read, Stage
from fullstep_data.store import Store, Version
from schemas import TABLES, InputError
from tests.fullstep_data.small_chain import (
    STAGES,
    Recipe,
    Scorer,
    build,
    run_stages,
    small_stage,
)


def _predictions(model: str) -> Stage:
    def answering(given: pl.DataFrame, context: Context) -> Outcome:
        fixed = {"decoding": "greedy", "sample_index": 0, "seed": 0, "text": "", "finish_reason": "eos", "sampler": "s"}
        verdict = {"answer_source": "none", "correct": False, "grade_path": "no-answer", "grader": "g"}
        rows = [
            {
                "problem_id": problem_id,
                "model": model,
                "source": "s",
                "question": "?",
                "gold": "1",
                "n_samples": 1,
                **fixed,
                **verdict,
            }
            for problem_id in given["problem_id"]
        ]
        return Outcome(TABLES["predictions"].frame(rows))

    reads = (Read("problems", "split = 'test'"),)
    return small_stage(f"predictions_{model}", answering, reads, parts_by="part", writes="predictions")


def test_two_stages_may_write_one_table_from_the_problems_of_another_dataset(dataset: Version, tmp_path: Path) -> None:
    stages = (_predictions("before"), _predictions("after"))
    store = Store.create(tmp_path / "run")
    version = run(stages, Recipe(), store, {}, QuietReporter(), upstream=dataset)
    assert list(version.tables) == ["predictions", "rejects"]
    assert [stage.name for stage in version.manifest.tables["predictions"].stages] == [stage.name for stage in stages]
    assert sorted(version.frame("predictions").select("model").to_series().to_list()) == ["after"] * 2 + ["before"] * 2
    problem_keys = [part.key for part in dataset.manifest.tables["problems"].parts]
    assert [part.parents[0] for part in version.manifest.tables["predictions"].parts] == problem_keys * 2
    assert version.manifest.upstream is not None
    assert version.manifest.upstream.number == 1
    assert run(stages, Recipe(), store, {}, QuietReporter(), upstream=dataset).number == 1


def test_an_altered_part_of_the_other_dataset_is_found(dataset: Version, tmp_path: Path) -> None:
    path = dataset.files("problems")[1]
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(InputError, match="truncated or altered") as caught:
        run((_predictions("after"),), Recipe(), Store.create(tmp_path / "run"), {}, QuietReporter(), upstream=dataset)
    assert caught.value.where == str(path)


def test_models_of_the_other_dataset_are_known_to_the_tools(dataset: Version, tmp_path: Path) -> None:
    scorer = Scorer()
    stage = replace(STAGES[6], revision=2)
    run((stage,), Recipe(), Store.create(tmp_path / "run"), {"scorer": scorer}, QuietReporter(), upstream=dataset)
    assert scorer.seen == [dataset.model("prm")]


def test_a_dataset_that_lacks_a_table_is_the_users_to_mend(dataset: Version, tmp_path: Path) -> None:
    run_folder = tmp_path / "run"
    answers = run((_predictions("before"),), Recipe(), Store.create(run_folder), {}, QuietReporter(), upstream=dataset)
    with pytest.raises(InputError, match="has no table problems") as caught:
        run((_predictions("after"),), Recipe(), Store.create(tmp_path / "next"), {}, QuietReporter(), upstream=answers)
    assert caught.value.where == f"{run_folder}, version 1"
    assert "predictions" in caught.value.next_step


def test_a_stage_is_given_the_columns_that_it_names(dataset: Version, tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def answer(given: pl.DataFrame, others: pl.DataFrame, context: Context) -> Outcome:
        seen.append([*given.columns, str(given.height), *others.columns])
        return Outcome(TABLES["predictions"].empty())

    reads = (Read("problems", "split = 'test'", ("problem_id", "split")), Read("step_scores", columns=("reward",)))
    stage = small_stage("predictions", answer, reads, parts_by="all")
    run((stage,), Recipe(), Store.create(tmp_path / "run"), {}, QuietReporter(), upstream=dataset)
    assert seen == [["problem_id", "split", "2", "reward"]]  # every fifth of 10 problems is held out


def test_a_folder_of_another_kind_is_not_written_into(dataset: Version, tmp_path: Path) -> None:
    """Its tables would be gone from the new version: a run into its own data, a build into a run, fewer stages than before."""
    run_folder = tmp_path / "run"
    stages = (_predictions("before"),)
    run(stages, Recipe(), Store.create(run_folder), {}, QuietReporter(), upstream=dataset)
    for attempt in (
        lambda: run(stages, Recipe(), Store.create(dataset.path), {}, QuietReporter(), upstream=dataset),
        lambda: build(run_folder),
        lambda: run_stages(dataset.path, STAGES[:4]),
    ):
        with pytest.raises(InputError, match="a dataset of another kind"):
            attempt()
    assert [Store.open(folder).numbers() for folder in (dataset.path, run_folder)] == [[1], [1]]


@pytest.mark.parametrize("table", ["rollouts", "step_pairs", "reference_logprobs"])
def test_a_table_that_a_recipe_may_do_without_comes_and_goes(dataset: Version, tmp_path: Path, table: str) -> None:
    """One folder, three versions: without it, with it, without it again."""
    calls: list[int] = []

    def nothing(given: pl.DataFrame, context: Context) -> Outcome:
        calls.append(given.height)
        return Outcome(TABLES[table].empty())

    folder = tmp_path / "data"
    shutil.copytree(dataset.path, folder)
    more = (*STAGES, small_stage(table, nothing, (Read("problems"),), parts_by="all"))
    versions = [run_stages(folder, stages) for stages in (more, STAGES, more)]
    assert [version.number for version in versions] == [2, 3, 4]
    assert [table in version.tables for version in versions] == [True, False, True]
    assert table in Store.open(folder).version(2).tables  # still there, where it was
    assert calls == [10]  # once: the part is taken up again
