"""Exporting: every ending holds the same records, a file stands whole or not at all, what does not fit is told."""

import gzip
import json
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest

from fullstep_data.formats import FORMATS
from fullstep_data.formats.exporting import export
from fullstep_data.store import Version
from schemas import InputError
from tests.fullstep_data.formats.trips import golden, import_records, same

STEPWISE = FORMATS["trl-stepwise"]


@pytest.fixture
def version(tmp_path: Path) -> Version:
    return import_records("trl-stepwise", golden("trl-stepwise"), tmp_path, labels_by="human")[0]


def test_every_ending_holds_the_same_records(version: Version, tmp_path: Path):
    paths = [tmp_path / name for name in ("o.jsonl", "o.json", "o.jsonl.gz", "o.json.gz", "o.parquet")]
    for path in paths:
        assert export(STEPWISE, version, path, {}).rows_out == {"records": 3}
    lines, listed, zipped_lines, zipped_list, parquet = paths
    read = [
        [json.loads(line) for line in lines.read_text().splitlines()],
        json.loads(listed.read_text()),
        [json.loads(line) for line in gzip.decompress(zipped_lines.read_bytes()).splitlines()],
        json.loads(gzip.decompress(zipped_list.read_bytes())),
        pq.read_table(parquet).to_pylist(),
    ]
    assert all(same(records, golden("trl-stepwise")) for records in read)
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def test_load_dataset_gives_typed_columns(version: Version, tmp_path: Path):
    export(STEPWISE, version, tmp_path / "o.parquet", {})
    loaded = datasets.load_dataset("parquet", data_files=str(tmp_path / "o.parquet"), cache_dir=str(tmp_path / "cache"))["train"]
    assert loaded.features["labels"] == datasets.List(datasets.Value("bool"))
    assert same(list(loaded), golden("trl-stepwise"))


def test_nothing_to_write_leaves_no_file(version: Version, tmp_path: Path):
    with pytest.raises(InputError, match="no record could be written") as told:
        export(FORMATS["math-shepherd"], version, tmp_path / "o.jsonl", {})  # steps without "Step 1:"
    assert told.value.count == 3
    assert not (tmp_path / "o.jsonl").exists()


def test_an_older_file_stays_where_the_export_fails(version: Version, tmp_path: Path):
    (tmp_path / "o.jsonl").write_text("before")
    with pytest.raises(InputError):
        export(FORMATS["math-shepherd"], version, tmp_path / "o.jsonl", {})
    assert (tmp_path / "o.jsonl").read_text() == "before"


def test_mistakes(version: Version, tmp_path: Path):
    with pytest.raises(InputError, match="cannot be written"):
        export(STEPWISE, version, tmp_path / "o.csv", {})
    with pytest.raises(InputError, match="an option of the format is wrong"):
        export(STEPWISE, version, tmp_path / "o.jsonl", {"labels_by": "human"})
    with pytest.raises(InputError):
        export(STEPWISE, version, tmp_path / "no" / "folder" / "o.jsonl", {})
