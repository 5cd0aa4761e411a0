"""What changed between two versions, on the small chain: 10 problems (2 of them held out), 4 samples each, 2 steps each."""

import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from fullstep_data.diff import both, diff
from fullstep_data.stage import Context, Outcome
from fullstep_data.store import Store, Version
from schemas import InputError
from tests.fullstep_data.small_chain import STAGES, Generator, Recipe, build, run_stages, step_scores


def test_a_version_and_itself_are_the_same(dataset: Version) -> None:
    found = diff(dataset, dataset)
    assert found.same
    assert found.recipe == ()
    assert found.drift is not None
    assert (found.drift.steps, found.drift.moved, found.drift.bins) == (56, 0, ())
    assert set(found.tables) == set(dataset.tables)


def test_memory_is_bounded_and_what_does_not_fit_goes_to_disk(dataset: Version) -> None:
    with both(dataset, dataset) as connection:
        assert connection.execute("SELECT current_setting('memory_limit')").fetchall() == [("572.2 MiB",)]  # 600 MB
        ((spill,),) = connection.execute("SELECT current_setting('temp_directory')").fetchall()
        assert Path(spill).is_dir()
    assert not Path(spill).exists()


def test_growth_adds_rows_and_changes_none(dataset: Version) -> None:
    after = build(dataset.path, Recipe(samples=6))
    found = diff(dataset, after)
    samples = found.tables["samples"]
    # 8 training problems: 4 samples each before, 6 after
    assert (samples.rows_before, samples.rows_after, samples.added, samples.removed, samples.changed) == (32, 48, 16, 0, 0)
    assert found.tables["problems"].added == 0
    assert found.recipe == ("samples: 4 → 6",)
    assert len(samples.examples["added"]) == 5
    back = diff(after, dataset)
    assert (back.tables["samples"].added, back.tables["samples"].removed) == (0, 16)


def test_growth_is_what_two_sets_of_keys_say(dataset: Version) -> None:
    """Every table against the plain definition, over frames."""
    after = build(dataset.path, Recipe(samples=6, problems=12))
    found = diff(dataset, after)
    keys = {"pairs": ["pair_id"], "steps": ["solution_id", "step_index"], "solutions": ["solution_id"]}
    for name, key in keys.items():
        one, two = dataset.frame(name), after.frame(name)
        assert found.tables[name].added == two.join(one, on=key, how="anti").height
        assert found.tables[name].removed == one.join(two, on=key, how="anti").height
        both = one.join(two, on=key, how="semi").sort(key), two.join(one, on=key, how="semi").sort(key)
        changed = [left != right for left, right in zip(both[0].iter_rows(), both[1].iter_rows(), strict=True)]
        assert found.tables[name].changed == sum(changed)
    one, two = (set(version.frame("pairs")["problem_id"]) for version in (dataset, after))
    assert found.problems is not None
    assert (found.problems.gained, found.problems.lost) == (len(two - one), len(one - two))
    counts = [dict(version.frame("pairs")["problem_id"].value_counts().iter_rows()) for version in (dataset, after)]
    changed = {key for key in counts[0] | counts[1] if counts[0].get(key, 0) != counts[1].get(key, 0)}
    assert {change.problem_id for change in found.problems.changes} == changed
    for change in found.problems.changes:
        assert (change.pairs_before, change.pairs_after) == tuple(count.get(change.problem_id, 0) for count in counts)
    assert [change.fate for change in found.problems.changes][: found.problems.gained] == ["gained"] * found.problems.gained


def test_rewards_that_moved_are_binned(dataset: Version) -> None:
    """Step 0 has its reward halved, step 1 keeps its own: half of the 56 steps move, all by the same distance."""

    def halved(given: pl.DataFrame, context: Context) -> Outcome:
        rows = step_scores(given, context).rows
        factor = pl.when(pl.col("step_index") == 0).then(0.5).otherwise(1.0)
        return Outcome(rows.with_columns((pl.col("reward") * factor).cast(pl.Float32)))

    after = run_stages(
        dataset.path, [replace(one, run=halved, revision=2) if one.name == "step_scores" else one for one in STAGES]
    )
    found = diff(dataset, after)
    assert found.tables["step_scores"].changed == 28
    assert found.tables["step_scores"].added == 0
    drift = found.drift
    assert drift is not None
    reward = dataset.frame("step_scores").filter(pl.col("step_index") == 0)["reward"][0]
    assert (drift.steps, drift.moved) == (56, 28)
    assert drift.mean == pytest.approx(-reward / 4)  # half of the steps moved by -reward / 2
    assert drift.mean_absolute == pytest.approx(reward / 4)
    # widest = reward / 2: ten bins of [-reward / 2, reward / 2]; a drift of 0 is the lower edge of the sixth
    assert [steps for _, _, steps in drift.bins] == [28, 0, 0, 0, 0, 28, 0, 0, 0, 0]
    assert drift.bins[-1][1] == pytest.approx(reward / 2)


def test_with_two_scorers_their_mean_is_compared(dataset: Version) -> None:
    """A second PRM scores every step 0: each of the 56 steps is one step still, and its mean reward falls by half."""

    def twice(given: pl.DataFrame, context: Context) -> Outcome:
        rows = step_scores(given, context).rows
        second = rows.with_columns(scorer=pl.lit("second"), reward=pl.lit(0.0, pl.Float32))
        return Outcome(pl.concat([rows, second]))

    after = run_stages(
        dataset.path, [replace(one, run=twice, revision=2) if one.name == "step_scores" else one for one in STAGES]
    )
    drift = diff(dataset, after).drift
    assert drift is not None
    assert drift.steps == 56
    assert drift.mean == pytest.approx(-(dataset.frame("step_scores")["reward"].mean() or 0) / 2)


def test_rewards_are_compared_across_scorers(dataset: Version) -> None:
    """Another PRM has another name, so its rows are all new; the steps are the same, and so their rewards can be compared."""

    def renamed(given: pl.DataFrame, context: Context) -> Outcome:
        return Outcome(step_scores(given, context).rows.with_columns(pl.lit("other").alias("scorer")))

    stages = [replace(one, run=renamed, revision=3) if one.name == "step_scores" else one for one in STAGES]
    found = diff(dataset, run_stages(dataset.path, stages))
    assert (found.tables["step_scores"].added, found.tables["step_scores"].removed) == (56, 56)
    assert found.drift is not None
    assert (found.drift.steps, found.drift.moved) == (56, 0)


def test_two_folders_with_the_same_part_names_are_kept_apart(dataset: Version, tmp_path: Path) -> None:
    shutil.copytree(dataset.path, tmp_path / "copy")
    assert diff(dataset, Store.open(tmp_path / "copy").version()).same
    other = run_stages(tmp_path / "other", STAGES, generator=Generator("other"))
    found = diff(dataset, other)
    assert (found.tables["samples"].changed, found.tables["samples"].added) == (32, 0)
    assert found.problems is not None


def test_a_table_that_only_one_has_is_told(dataset: Version, tmp_path: Path) -> None:
    first = run_stages(tmp_path / "first", STAGES[:2])
    found = diff(first, dataset)
    assert found.tables["pairs"].rows_before is None
    assert found.tables["pairs"].added == dataset.tables["pairs"].rows
    assert found.drift is None
    assert found.problems is None


def test_a_missing_part_is_named(dataset: Version) -> None:
    dataset.files("pairs")[0].unlink()
    with pytest.raises(InputError, match="is missing"):
        diff(dataset, dataset)
