"""`preferences` and `stepwise`: the rows of our tables in the columns of TRL."""

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from fullstep_data.hub import views
from fullstep_data.hub.dataset import default_tables
from fullstep_data.hub.views import write_views
from fullstep_data.store import Version


def read(view: views.View) -> pl.DataFrame:
    return pl.concat(pl.read_parquet(file) for file in view.files)


def test_preferences_are_the_pairs_as_text(dataset: Version, tmp_path: Path):
    preferences, _ = write_views(dataset, default_tables(dataset), tmp_path)
    text = dict(dataset.frame("solutions").select("solution_id", "text").iter_rows())
    question = dict(dataset.frame("problems").select("problem_id", "question").iter_rows())
    expected = {
        row["pair_id"]: ("Add.", text[row["chosen_id"]], text[row["rejected_id"]], question[row["problem_id"]])
        for row in dataset.frame("pairs").iter_rows(named=True)
    }
    rows = read(preferences)
    assert {
        pair: tuple(row) for pair, *row in rows.select("pair_id", "prompt", "chosen", "rejected", "question").iter_rows()
    } == expected
    assert (preferences.rows, preferences.left_out) == (len(expected), 0)


def test_stepwise_are_the_steps_in_order_with_their_labels(dataset: Version, tmp_path: Path):
    _, stepwise = write_views(dataset, default_tables(dataset), tmp_path)
    rows = read(stepwise)
    text = dict(dataset.frame("solutions").select("solution_id", "text").iter_rows())
    correct = dict(dataset.frame("solutions").select("solution_id", "correct").iter_rows())
    assert set(rows["solution_id"]) == set(text)
    for row in rows.iter_rows(named=True):
        assert "".join(row["completions"]) == text[row["solution_id"]]
        assert row["labels"] == [correct[row["solution_id"]]] * 2
        assert row["rewards"][0] == 2 * row["rewards"][1]  # the small scorer: mean / (step_index + 1)
    assert rows.schema["labels"] == pl.List(pl.Boolean)
    assert rows.schema["completions"] == pl.List(pl.String)


def test_a_view_needs_its_tables_and_shows_no_column_of_others(dataset: Version, tmp_path: Path):
    (preferences,) = write_views(dataset, ["solutions", "pairs"], tmp_path / "1")
    assert "question" not in read(preferences).columns
    (stepwise,) = write_views(dataset, ["solutions", "steps", "step_labels"], tmp_path / "2")
    assert not {"question", "rewards", "scorer"} & set(read(stepwise).columns)
    assert write_views(dataset, ["problems", "steps"], tmp_path / "3") == []


def test_the_files_are_as_the_hub_likes_them(dataset: Version, tmp_path: Path):
    preferences, _ = write_views(dataset, default_tables(dataset), tmp_path)
    group = pq.read_metadata(preferences.files[0]).row_group(0)
    assert all(group.column(number).has_offset_index for number in range(group.num_columns))
    assert preferences.schema.field("prompt").type == "string"


def test_large_views_are_cut_into_row_groups_and_files(dataset: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(views, "_BATCH_ROWS", 5)
    monkeypatch.setattr(views, "ROW_GROUP_BYTES", 1)
    monkeypatch.setattr(views, "FILE_BYTES", 2500)
    whole = dataset.frame("solutions").height
    _, stepwise = write_views(dataset, default_tables(dataset), tmp_path)
    groups = [pq.read_metadata(file).num_row_groups for file in stepwise.files]
    assert len(groups) > 1
    assert max(groups) > 1
    assert read(stepwise).height == whole


def test_what_the_form_cannot_carry_is_counted(dataset: Version, tmp_path: Path):
    """One label left open: its solution cannot stand in `stepwise`."""
    file = dataset.files("step_labels")[0]
    labels = pl.read_parquet(file)
    opened = labels.with_columns(label=pl.when(pl.int_range(pl.len()) > 0).then("label"))
    opened.write_parquet(file)
    stored = dataset.tables["step_labels"].stored[0]
    object.__setattr__(stored, "size", file.stat().st_size)
    _, stepwise = write_views(dataset, default_tables(dataset), tmp_path)
    assert stepwise.left_out == 1
    assert labels["solution_id"][0] not in set(read(stepwise)["solution_id"])
