"""run_folder: what a training leaves tells nothing of time and place, and belongs to one run."""

from pathlib import Path

import polars as pl
import pytest

from fullstep_train.run_folder import data_record
from schemas import InputError
from tests.fullstep_train.frames import make_tables
from tests.fullstep_train.runs import RUNS, contents, run_prm, stop_at


@pytest.mark.parametrize("kind", ["prm", "policy"])
def test_a_finished_folder_is_left_alone(tmp_path: Path, kind: str) -> None:
    folder = RUNS[kind](tmp_path / "run")
    before = contents(folder)
    stamps = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    (folder / "checkpoints" / "checkpoint-3").mkdir(parents=True)  # as a kill just before the end leaves
    RUNS[kind](folder, stop_at(0))
    assert contents(folder) == before
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == stamps


@pytest.mark.parametrize("kind", ["prm", "policy"])
def test_nothing_in_the_folder_tells_where_or_when(tmp_path: Path, kind: str, tiny: Path) -> None:
    folder = RUNS[kind](tmp_path / "run")
    again = RUNS[kind](tmp_path / "elsewhere" / "deeper")
    assert contents(folder) == contents(again)
    for name, content in contents(folder).items():
        for telling in (str(tmp_path), str(tiny)):
            assert telling.encode() not in content, name


@pytest.mark.parametrize("kind", ["prm", "policy"])
def test_what_a_kill_in_the_middle_of_a_weights_file_leaves_goes(tmp_path: Path, kind: str) -> None:
    """safetensors writes to .tmpXXXXXX beside the file and renames it."""
    whole = RUNS[kind](tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        RUNS[kind](tmp_path / "broken", stop_at(4))
    (tmp_path / "broken" / ".tmpfy7UdX").write_bytes(b"half")
    assert contents(RUNS[kind](tmp_path / "broken")) == contents(whole)


def test_another_runs_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_prm(tmp_path, stop_at(4), save_every=1)
    before = contents(tmp_path)
    with pytest.raises(InputError, match="another prm training"):
        run_prm(tmp_path, epochs=3, save_every=1)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("kind", ["prm", "policy"])
def test_bad_input_leaves_no_folder(tmp_path: Path, kind: str) -> None:
    """So the same folder can be used when the recipe is mended."""
    with pytest.raises(InputError):
        RUNS[kind](tmp_path / "run", max_length=5)
    assert not (tmp_path / "run").exists()


def test_the_record_of_the_data_is_of_what_matters() -> None:
    """Neither the order of the rows nor a column that training does not read changes it; a reward does."""
    scores = make_tables().step_scores
    record = data_record(step_scores=scores)
    assert record["step_scores"]["rows"] == scores.height
    assert data_record(step_scores=scores.reverse().with_columns(problem_id=pl.lit("other"))) == record
    assert data_record(step_scores=scores.with_columns(reward=pl.col("reward") / 2)) != record
