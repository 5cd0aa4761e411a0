"""The Hub source through the real `datasets`: a local folder in the Hub's form, since there may be no network."""

from pathlib import Path

import polars as pl
import pytest

from fullstep_data.config import HubSource
from fullstep_data.sources import read
from schemas import InputError


@pytest.fixture
def hub_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set of three rows in tmp_path/sums; caches beside it."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "sums"
    folder.mkdir()
    frame = pl.DataFrame({"question": ["1 + 1", "1 + 2", "1 + 3"], "answer": ["#### 2", "#### 3", "#### 4"]})
    frame.write_parquet(folder / "test.parquet")
    return folder


@pytest.mark.parametrize("limit", [None, 2])
def test_rows_and_a_name_without_folders(hub_folder: Path, limit: int | None) -> None:
    found = read(HubSource(name=str(hub_folder), hub_split="test", preset="gsm8k", limit=limit))
    assert [(row.key, row.question, row.answer) for row in found] == [
        ("1", "1 + 1", "2"),
        ("2", "1 + 2", "3"),
        ("3", "1 + 3", "4"),
    ][:limit]
    assert found[0].source == "sums"


def test_an_unknown_split_is_the_user_s_error(hub_folder: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(HubSource(name=str(hub_folder), hub_split="train"))
    assert "train" in caught.value.where
    assert "hub_split" in caught.value.next_step


def test_an_unknown_name_is_the_user_s_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be loaded") as caught:
        read(HubSource(name=str(tmp_path / "nothing")))
    assert "NAME=FILE" in caught.value.next_step
