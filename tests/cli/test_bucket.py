"""The commands on a dataset in a bucket: what they print is what they print for the same dataset in a folder."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.build import build as build_dataset
from fullstep_data.store import Store
from fullstep_data.store.storage import path_of, storage_of
from tests.cli.commands import REPOSITORY, done, invoke, spawn
from tests.kill import content
from tests.object_server import BUCKET, ObjectServer

TINY = f"s3://{BUCKET}/copied/tiny"
RUN = f"s3://{BUCKET}/copied/tiny-run"
LINES = (
    "fs-data show {tiny}",
    "fs-data show {tiny}@1 pairs --rows 1",
    'fs-data sql {tiny} "SELECT count(*), avg(reward) FROM rewards" --format csv',
    "fs-data stats {tiny} --json",
    "fs-data log {tiny}",
    "fs-data check {tiny}",
    "fs-data check {run}",
    "fs-data diff {tiny} {tiny}",
    "fs-data lineage {tiny}",
    "fs-data tag {tiny}",
    "fs-data gc {tiny} --keep 1",
    "fs-data audit {tiny} --against {tiny} --json",
    "fs-data export trl-preference {tiny} -o {out}.jsonl",
    "fs-data push {tiny} ann/sums --tag v1 --dry-run",
    "fs-data views {tiny} --out {out}.sql",
    "fs-data report {tiny} -o {out}.html",
    "fs-train push {run} ann/policy --dry-run",
    "fs-train compare {run}",
)


@pytest.fixture
def copied(built: Path, object_server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """The folders of `built` in the bucket; gives a command line for them, and one for the folders."""
    for name, value in object_server.environment(tmp_path / "cache").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("cli.render.PLAIN_WIDTH", 500)  # so that no path is cut, be it a long one or a short one
    for name, address in (("tiny", TINY), ("tiny-run", RUN)):
        folder, storage = built / "out" / name, storage_of(path_of(address))
        if not storage.is_dataset(path_of(address)):
            files = [path for path in folder.rglob("*") if path.is_file() and path.name != "build.lock"]
            for path in sorted(files, key=lambda path: path.parent.name == "versions"):
                storage.replace(path_of(address) / path.relative_to(folder), path.read_bytes())
    return lambda line: line.format(tiny=TINY, run=RUN, out=tmp_path / "file")


@pytest.mark.parametrize("line", LINES)
def test_a_command_says_of_a_bucket_what_it_says_of_a_folder(
    copied: Callable[[str], str], built: Path, tmp_path: Path, line: str
) -> None:
    (tmp_path / "here").mkdir()
    folders = {"tiny": built / "out" / "tiny", "run": built / "out" / "tiny-run"}
    here = invoke(line.format(**folders, out=tmp_path / "here" / "file"), built)
    there = invoke(copied(line), tmp_path)
    assert there.exit_code == here.exit_code, there.output
    plain = here.output.replace(str(built / "out" / "tiny-run"), RUN).replace(str(built / "out" / "tiny"), TINY)
    assert _words(there.output) == _words(plain.replace(str(tmp_path / "here" / "file"), str(tmp_path / "file")))


def _words(text: str) -> list[str]:
    """Without breaks and boxes, which depend on the length of names, the size of a report, and the last digits of sums."""
    plain = re.sub(r"[\d.]+ MB", "MB", re.sub(r"[─-╿]", " ", text))
    return re.sub(r"\d+\.\d{7,}", lambda number: f"{float(number[0]):.6g}", plain).split()


def test_views_of_a_bucket_open_without_it(copied: Callable[[str], str], tmp_path: Path) -> None:
    import duckdb

    done(f"fs-data views {TINY} --out views.sql", tmp_path)
    with duckdb.connect(":memory:") as connection:
        connection.execute((tmp_path / "views.sql").read_text())
        assert connection.sql("SELECT count(*) FROM preferences").fetchall()[0][0] > 0


def test_a_tag_is_set_used_and_taken_away(copied: Callable[[str], str], tmp_path: Path) -> None:
    assert done(f"fs-data tag {TINY}@1 v1", tmp_path).output == f"{TINY}@v1 is version 1\n"
    assert done(f"fs-data tag {TINY}", tmp_path).output == "v1  version 1\n"
    assert "version 1" in done(f"fs-data show {TINY}@v1", tmp_path).output
    done(f"fs-data tag {TINY} v1 --delete", tmp_path)
    assert invoke(f"fs-data show {TINY}@v1", tmp_path).exit_code == 2


def test_a_training_goes_on_from_the_same_data_in_a_bucket(copied: Callable[[str], str], built: Path, tmp_path: Path) -> None:
    """The version is the same to the byte, so nothing is trained anew."""
    shutil.copytree(built / "out" / "tiny-run", tmp_path / "run")
    before = content(tmp_path / "run")
    done(f"fs-train run tiny --data {TINY} --out run", tmp_path)
    assert content(tmp_path / "run") == before


def test_a_run_in_a_bucket_is_found_there_again(copied: Callable[[str], str], tmp_path: Path) -> None:
    printed = done(f"fs-train run tiny --data {TINY} --out {RUN}", tmp_path).output
    assert Store.open(path_of(RUN)).numbers() == [1]
    assert f"fs-data show {TINY}" in " ".join(printed.split())
    assert list(tmp_path.iterdir()) == [tmp_path / "cache"]


def test_an_evaluation_asks_the_problems_of_a_bucket(copied: Callable[[str], str], tmp_path: Path) -> None:
    line = f"fs-train eval --engine scripted --sets {TINY} --decode sc@2 --out s3://{BUCKET}/asked"
    done(line, tmp_path)
    assert "predictions" in Store.open(path_of(f"s3://{BUCKET}/asked")).version().tables


def test_a_build_by_workers_into_a_bucket_is_that_of_one_process_into_a_folder(address: str, built: Path, tmp_path: Path) -> None:
    printed = done(f"fs-data build tiny --out {address} --workers 2", tmp_path).output
    assert f"fs-train run tiny --data {address}" in " ".join(printed.split())
    version = Store.open(path_of(address)).version()
    local = Store.open(built / "out" / "tiny").version()
    assert version.manifest == local.manifest
    again = build_dataset("tiny", address, ())
    assert again.number == 1


@pytest.mark.slow
def test_a_kill_of_a_build_into_a_bucket_costs_no_finished_part(address: str, built: Path, tmp_path: Path) -> None:
    process = spawn(f"fs-data build tiny --out {address}", tmp_path)
    folder = path_of(address)
    while not storage_of(folder).names(folder / "parts" / "samples") and process.poll() is None:
        pass
    process.kill()
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()
    made = {entry.path: entry.modified for entry in storage_of(folder).children(folder / "parts" / "problems")}
    assert Store.open(folder).numbers() == []
    assert "no version of this dataset is finished" in invoke(f"fs-data show {address}", tmp_path).output
    done(f"fs-data build tiny --out {address}", tmp_path)
    assert Store.open(folder).version().manifest == Store.open(built / "out" / "tiny").version().manifest
    assert made.keys() <= {entry.path for entry in storage_of(folder).children(folder / "parts" / "problems")}


def test_an_import_goes_into_a_bucket(address: str, tmp_path: Path) -> None:
    done(f"fs-data import math-shepherd builtin:math-shepherd.jsonl --out {address}", tmp_path)
    assert done(f"fs-data check {address}", tmp_path).output.startswith("ok:")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("fs-data show s3://", "no address of objects"),
        ("fs-data show s3://no-such-bucket/x", "no such bucket"),
        ("fs-data build tiny --out azure://x/y", "not known"),
        ("fs-data pull ann/sums@v1 --out s3://sets/x", "is fetched into a folder"),
        ("fs-data show s3://sets/nothing-here", "there is nothing at this address"),
    ],
)
def test_mistakes(address: str, tmp_path: Path, line: str, what: str) -> None:
    result = invoke(line, tmp_path)
    assert result.exit_code == 2
    assert what in result.output
    assert "next:" in result.output
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in result.output


@pytest.mark.slow
def test_the_block_of_the_readme(address: str, tmp_path: Path) -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- not run here: [^>]*tests/cli/test_bucket\.py[^>]*-->\n```bash\n(.*?)```", readme, re.DOTALL)
    assert found
    for line in found[1].splitlines():
        command = line.split("  #")[0].strip()
        if command.startswith("fs-"):
            done(command.replace("s3://my-bucket/tiny", address), tmp_path)
