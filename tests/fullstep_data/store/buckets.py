"""What tests of datasets in a bucket share."""

import shutil
from pathlib import Path

import polars as pl

from fullstep_data.store.bucket import Bucket
from fullstep_data.store.storage import storage_of
from schemas import TABLES
from tests.kill import content

PROBLEMS = TABLES["problems"]
NO_REJECTS = TABLES["rejects"].empty()
ONE_WHOLE_VERSION = """
SELECT (SELECT count(*) FROM samples), (SELECT count(*) FROM pairs ANTI JOIN solutions ON chosen_id = solution_id)"""
LAYOUT = ("versions", "parts", "views.sql", "tags")


def in_bucket(folder: Path) -> dict[str, bytes]:
    """Objects by name, of what a dataset has in a bucket as in a folder."""
    storage = storage_of(folder)
    assert isinstance(storage, Bucket)
    paths = {entry.path.relative_to(folder).as_posix(): entry.path for entry in storage._below(folder)}
    return {name: storage.read(path) for name, path in paths.items() if name.split("/")[0] in LAYOUT}


def in_folder(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in content(folder) if name.split("/")[0] in LAYOUT}


def rows(count: int, question: str = "?") -> pl.DataFrame:
    fixed = {"question": question, "answer": "1", "source": "s", "split": "train", "domain": "math"}
    return PROBLEMS.frame([{"problem_id": f"{index:04d}", **fixed} for index in range(count)])


def forget(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "cache")
