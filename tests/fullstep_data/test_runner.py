"""The runner: what is done is kept, what is not is made, and nothing wrong is committed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from fullstep_data.runner import run
from fullstep_data.stage import Context, Outcome, Read, Stage
from fullstep_data.store import Store, Version
from schemas import TABLES, ContractError, InputError
from tests.fullstep_data.small_chain import (
    STAGES,
    Generator,
    Recipe,
    Scorer,
    build,
    calls,
    run_stages,
    solutions,
    stage_calls,
)
from tests.kill import content


@dataclass
class Told:
    """A reporter that keeps what it is told."""

    lines: list[tuple[Any, ...]] = field(default_factory=list)

    def stage_started(self, name: str, parts_total: int, parts_done: int) -> None:
        self.lines.append(("started", name, parts_total, parts_done))

    def tools_opened(self, name: str, seconds: float) -> None:
        assert seconds >= 0
        self.lines.append(("opened", name))

    def part_progress(self, name: str, fraction: float, note: str = "") -> None:
        self.lines.append(("progress", name, fraction))

    def part_done(self, name: str) -> None:
        self.lines.append(("part", name))

    def rejected_so_far(self, name: str, records: int) -> None:
        self.lines.append(("rejected", name, records))

    def stage_done(self, name: str, rows: int | None, rejected: dict[str, int], seconds: float, reused: int) -> None:
        assert seconds >= 0
        self.lines.append(("done", name, rows, rejected, reused))

    def about(self, name: str) -> list[tuple[Any, ...]]:
        return [line for line in self.lines if line[1] == name]


def _counts(version: Version, table: str) -> tuple[int, int, dict[str, int]]:
    (stage,) = version.manifest.tables[table].stages
    return stage.counts.rows_in, stage.counts.kept, stage.counts.rejected


def test_the_chain_runs_and_counts_what_went_in_stayed_and_went(dataset: Version) -> None:
    # 10 problems + 1 bad row; 8 of them train, 4 samples each: 32; 4 rejected; 2 steps each; a pair for all problems but one.
    assert _counts(dataset, "problems") == (11, 10, {"the answer is missing": 1})
    assert _counts(dataset, "samples") == (8, 32, {}), "two blocks share the problems: they count once"
    assert _counts(dataset, "solutions") == (32, 28, {"it starts oddly": 4})
    assert _counts(dataset, "steps") == (28, 56, {})
    assert _counts(dataset, "pairs") == (8, 7, {"no pair": 1})
    assert [part.slice.chunk for part in dataset.manifest.tables["problems"].parts] == [0, 1, 2]
    assert dataset.manifest.models["prm"].parents == tuple(part.key for part in dataset.manifest.tables["step_labels"].parts)
    assert sorted(dataset.manifest.models["prm"].files) == ["layers/first.bin", "mean.txt"]


def test_rows_of_a_part_are_sorted_by_problem_then_key(dataset: Version) -> None:
    for frame in dataset.tables["steps"].frames():
        assert frame.rows() == frame.sort("problem_id", "solution_id", "step_index").rows()


def test_the_reporter_hears_of_every_stage_and_part(tmp_path: Path) -> None:
    told = Told()
    run(STAGES, Recipe(), Store.create(tmp_path), {"generator": Generator(), "scorer": Scorer()}, told)
    opening = [("progress", "samples", 0.0), ("opened", "samples")]
    parts = [("part", "samples")] * 6
    assert told.about("samples") == [("started", "samples", 6, 0), *opening, *parts, ("done", "samples", 32, {}, 0)]
    assert ("opened", "solutions") not in told.lines, "it needs no tools"
    assert told.about("prm") == [
        ("started", "prm", 1, 0),
        ("progress", "prm", 0.5),
        ("part", "prm"),
        ("done", "prm", None, {}, 0),
    ]
    again = Told()
    run(STAGES, Recipe(), Store.create(tmp_path), {"generator": Generator(), "scorer": Scorer()}, again)
    assert again.about("samples") == [("started", "samples", 6, 6), ("done", "samples", 32, {}, 6)]
    # the rejects of each part as it is done, and at once those of parts that were there
    rejected = [line[2] for line in told.about("solutions") if line[0] == "rejected"]
    assert rejected == sorted(set(rejected))
    assert rejected[-1] == 4
    assert again.about("solutions")[:2] == [("started", "solutions", 6, 6), ("rejected", "solutions", 4)]
    assert again.about("solutions")[-1] == ("done", "solutions", 28, {"it starts oddly": 4}, 6)
    assert again.about("prm") == [("started", "prm", 1, 1), ("done", "prm", None, {}, 1)]


def test_a_second_run_calls_no_stage_opens_no_tool_and_commits_nothing(dataset: Version, tmp_path: Path) -> None:
    before = content(dataset.path)
    log, generator, scorer = tmp_path / "log", Generator(), Scorer()
    again = run_stages(dataset.path, STAGES, Recipe(log=str(log)), generator=generator, scorer=scorer)
    assert (again.number, calls(log), generator.opened, scorer.seen) == (1, [], 0, [])
    assert content(dataset.path) == before


def test_tools_are_opened_once_and_see_the_models_of_thisrun_stages(tmp_path: Path) -> None:
    generator, scorer = Generator(), Scorer()
    version = run_stages(tmp_path, STAGES, generator=generator, scorer=scorer)
    assert generator.opened == 1
    assert scorer.seen == [version.model("prm")]


def test_a_tool_is_closed_after_the_last_stage_that_needs_it_and_after_an_error(tmp_path: Path) -> None:
    events: list[str] = []

    class Closing(Generator):
        def open(self, models: Any) -> Any:
            return self

        def close(self) -> None:
            events.append("closed")

        def __str__(self) -> str:
            return "toy"

    def watching(given: pl.DataFrame, answers: pl.DataFrame, context: Context) -> Outcome:
        events.append("solutions")
        raise InputError("enough")

    def using(given: pl.DataFrame, context: Context) -> Outcome:
        events.append("samples")
        return Outcome(TABLES["samples"].empty())

    stages = (STAGES[0], replace(STAGES[1], run=using, accounts=()), replace(STAGES[2], run=watching))
    with pytest.raises(InputError, match="enough"):
        run_stages(tmp_path, stages, Recipe(problems=2), generator=Closing())
    assert events == ["samples", "samples", "closed", "solutions"]
    events.clear()
    stages = (STAGES[0], replace(STAGES[1], run=watching, reads=(Read("problems"), Read("problems")), accounts=()))
    with pytest.raises(InputError, match="enough"):
        run_stages(tmp_path, stages, Recipe(problems=2), generator=Closing())
    assert events == ["solutions", "closed"]


def test_more_samples_cost_only_the_new_blocks(dataset: Version, tmp_path: Path) -> None:
    log = tmp_path / "log"
    version = build(dataset.path, Recipe(samples=8, log=str(log)))
    # 3 chunks x 2 new blocks; the PRM sees new labels, so all 12 score parts are new, and so are the 3 parts of pairs.
    assert stage_calls(log) == ["samples 6", "solutions 6", "steps 6", "step_labels 6", "prm 1", "step_scores 12", "pairs 3"]
    assert version.frame("samples").height == 64
    assert set(dataset.files("samples")) < set(version.files("samples"))


def test_more_problems_cost_only_the_chunks_that_are_new_or_were_not_full(dataset: Version, tmp_path: Path) -> None:
    log = tmp_path / "log"
    version = build(dataset.path, Recipe(problems=14, log=str(log)))
    # 10 problems were chunks of 4, 4, 2; 14 are 4, 4, 4, 2: two chunks x 2 blocks are new.
    assert stage_calls(log)[:2] == ["samples 4", "solutions 4"]
    keys = [[part.key for part in one.manifest.tables["problems"].parts] for one in (dataset, version)]
    assert (len(keys[0]), len(keys[1])) == (3, 4)
    assert keys[0][:2] == keys[1][:2]
    assert dataset.frame("problems").height == 10, "the old version is as it was"


def test_other_rejects_of_a_source_change_no_key(dataset: Version, tmp_path: Path) -> None:
    log = tmp_path / "log"
    version = build(dataset.path, Recipe(bad_rows=3, log=str(log)))
    assert calls(log) == []
    assert version.number == 2
    assert _counts(version, "problems") == (13, 10, {"the answer is missing": 3})
    assert _counts(Store.open(dataset.path).version(1), "problems") == (11, 10, {"the answer is missing": 1})
    assert Store.open(dataset.path).version(1).frame("rejects").height == 6


def test_going_back_to_an_earlier_recipe_makes_nothing_but_a_new_version(dataset: Version, tmp_path: Path) -> None:
    build(dataset.path, Recipe(samples=6))
    log = tmp_path / "log"
    version = build(dataset.path, Recipe(log=str(log)))
    assert (version.number, calls(log)) == (3, [])
    assert version.manifest.same_content(dataset.manifest)


def test_a_changed_revision_tool_or_config_remakes_that_stage_and_what_follows(dataset: Version, tmp_path: Path) -> None:
    log = tmp_path / "log"
    stages = [replace(stage, revision=2) if stage.name == "steps" else stage for stage in STAGES]
    run_stages(dataset.path, stages, Recipe(log=str(log)))
    assert [line.split()[0] for line in stage_calls(log)] == ["steps", "step_labels", "prm", "step_scores", "pairs"]
    log.unlink()
    run_stages(dataset.path, STAGES, Recipe(log=str(log)), generator=Generator("other"))
    assert stage_calls(log)[0] == "samples 6"
    log.unlink()
    run_stages(dataset.path, STAGES, Recipe(log=str(log), words=5))
    assert stage_calls(log)[0] == "samples 6"


def test_a_source_without_rows_still_has_a_part_and_its_rejects(tmp_path: Path) -> None:
    version = build(tmp_path, Recipe(problems=0, bad_rows=2))
    assert _counts(version, "problems") == (2, 0, {"the answer is missing": 2})
    assert version.frame("pairs").height == 0


# What must not be committed


def test_a_stage_that_loses_rows_is_stopped_and_nothing_is_committed(tmp_path: Path) -> None:
    def losing(given: pl.DataFrame, answers: pl.DataFrame, context: Context) -> Outcome:
        return Outcome(solutions(given, answers, context).rows[1:])

    stages = (*STAGES[:2], replace(STAGES[2], run=losing))
    with pytest.raises(ContractError, match="lost rows of samples") as caught:
        run_stages(tmp_path, stages)
    assert "problem chunk 0, block 0" in caught.value.where
    assert caught.value.count
    assert Store.open(tmp_path).numbers() == []
    assert not list(tmp_path.glob("parts/solutions/*"))


def test_a_stage_that_breaks_its_contract_is_stopped(tmp_path: Path) -> None:
    def wrong(given: pl.DataFrame, answers: pl.DataFrame, context: Context) -> Outcome:
        good = solutions(given, answers, context)
        return Outcome(good.rows.with_columns(grade_path=pl.lit("guess")), good.rejects)

    with pytest.raises(ContractError, match="grade_path is one of"):
        run_stages(tmp_path, (*STAGES[:2], replace(STAGES[2], run=wrong)))
    lame = replace(STAGES[2], run=lambda *given: Outcome(solutions(*given).rows, solutions(*given).rejects.drop("detail")))
    with pytest.raises(ContractError, match="column detail is present"):
        run_stages(tmp_path, (*STAGES[:2], lame))


def test_an_input_error_in_a_stage_keeps_the_parts_before_it(tmp_path: Path) -> None:
    asked: list[int] = []

    def failing(given: pl.DataFrame, answers: pl.DataFrame, context: Context) -> Outcome:
        asked.append(1)
        if len(asked) == 3:
            raise InputError("the grader is not installed", next_step="install it")
        return solutions(given, answers, context)

    with pytest.raises(InputError, match="grader is not installed"):
        run_stages(tmp_path, (*STAGES[:2], replace(STAGES[2], run=failing)))
    assert len(list(tmp_path.glob("parts/samples/*"))) == 6
    assert len(list(tmp_path.glob("parts/solutions/*"))) == 2
    log = tmp_path.parent / "log"
    build(tmp_path, Recipe(log=str(log)))
    assert stage_calls(log)[0] == "solutions 4"


@pytest.mark.parametrize("damage", ["alter", "truncate"])
def test_an_altered_part_is_refused_as_input_and_made_anew_once_deleted(dataset: Version, damage: str) -> None:
    before = content(dataset.path)
    path = dataset.files("samples")[2]
    data = bytearray(path.read_bytes())
    data[100] ^= 255
    path.write_bytes(data if damage == "alter" else data[:-1])
    stages = [replace(stage, revision=2) if stage.name == "solutions" else stage for stage in STAGES]
    with pytest.raises(InputError, match="truncated or altered") as caught:
        run_stages(dataset.path, stages)
    assert caught.value.where == str(path)
    assert "delete this file" in caught.value.next_step
    assert Store.open(dataset.path).numbers() == [1]
    path.unlink()
    build(dataset.path)
    assert {name: digest for name, digest in content(dataset.path).items() if name in before} == before


def test_a_part_of_a_killed_build_that_was_truncated_since_is_refused(dataset: Version) -> None:
    (dataset.path / "versions" / "000001.json").unlink()
    path = dataset.files("pairs")[0]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="truncated or altered") as caught:
        build(dataset.path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("stages", "fault"),
    [
        (STAGES[1:2], "needs problems"),
        ((STAGES[0], STAGES[0]), "two stages are called problems"),
        ((replace(STAGES[0], tools=("drill",)),), "needs drill"),
        ((replace(STAGES[0], reads=(Read("problems"),)),), "needs problems"),
        ((STAGES[0], replace(STAGES[1], reads=())), "needs problems"),
        ((STAGES[0], replace(STAGES[1], parts_by="source")), "a source reads no table"),
    ],
)
def test_a_list_of_stages_that_cannot_work_is_refused_at_once(tmp_path: Path, stages: Sequence[Stage], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        run_stages(tmp_path / "d", stages)
    assert not list((tmp_path / "d").glob("parts/*"))


def test_what_a_model_was_not_trained_on_is_among_the_rejects(tmp_path: Path) -> None:
    """The stage leaves rejects.parquet in the model's folder; the version has it in its table, its view and its counts."""

    def prm(labels: pl.DataFrame, context: Context, folder: Path) -> None:
        rows = [{"stage": "prm", "table": "solutions", "key": name, "reason": "too long"} for name in ("a", "b")]
        TABLES["rejects"].frame(rows).write_parquet(folder / "rejects.parquet")

    stages = (*STAGES[:5], replace(STAGES[5], run=prm))
    told = Told()
    version = run(stages, Recipe(), Store.create(tmp_path / "data"), {"generator": Generator()}, told)
    assert version.frame("rejects").filter(stage="prm")["key"].to_list() == ["a", "b"]
    assert told.about("prm")[-1] == ("done", "prm", None, {"too long": 2}, 0)
    (file,) = [path for path in version.files("rejects") if version.manifest.models["prm"].key in path.name]
    file.unlink()
    assert run_stages(tmp_path / "data", stages).number == version.number
    assert file.exists()
