"""What the card tells of the rows: by one labeller and one scorer, however many there are."""

from dataclasses import replace
from pathlib import Path

import polars as pl

from fullstep_data.hub.facts import facts
from fullstep_data.stage import Context, Outcome
from fullstep_data.store import Version
from tests.fullstep_data.small_chain import STAGES, run_stages


def test_they_are_those_of_the_tables(dataset: Version):
    told = facts(dataset, dataset, [])
    problems = dataset.frame("problems")
    assert sum(count for _, _, count in told.problems) == problems.height
    assert {split: count for _, split, count in told.problems} == dict(problems["split"].value_counts().iter_rows())
    assert told.samplers == sorted(set(dataset.frame("solutions")["sampler"]))
    steps = dataset.frame("step_scores").height
    assert sum(row[1] for row in told.rewards) == steps == sum(sum(bins) for bins in told.bins.values())
    assert {"fullstep", "torch"} <= set(told.software)


def test_steps_count_once_where_several_labellers_judged_them(tmp_path: Path):
    def twice(steps: pl.DataFrame, solutions: pl.DataFrame, context: Context) -> Outcome:
        made = STAGES[4].run(steps, solutions, context)
        other = made.rows.with_columns(
            labeller=pl.lit("another"), n_rollouts=0, n_correct=0, label=None, value=None, reason=pl.lit("it did not say")
        )
        return replace(made, rows=pl.concat([made.rows, other.cast(made.rows.schema)]))

    stages = [replace(stage, run=twice, accounts=()) if stage.name == "step_labels" else stage for stage in STAGES]
    version = run_stages(tmp_path / "dataset", stages)
    assert set(version.frame("step_labels")["labeller"]) == {"outcome", "another"}
    told = facts(version, version, [])
    assert told.shown[0] == "outcome"  # of the two the one that says more
    assert sum(row[1] for row in told.rewards) == version.frame("step_scores").height
    assert None not in told.bins


def test_nothing_is_told_of_what_is_not_published(dataset: Version):
    tables = {"problems": dataset.manifest.tables["problems"]}
    told = facts(Version(dataset.path, dataset.manifest.model_copy(update={"tables": tables})), dataset, [])
    assert (told.samplers, told.rewards, told.bins, told.shown) == ([], [], {}, (None, None))
