"""SQL over a dataset on the Hub: the answers of the folder, out of ranges."""

import threading
from pathlib import Path

import pytest

from fullstep_data.hub.remote import BLOCK, Blocks, RangeFile
from fullstep_data.query import sql
from fullstep_data.store import open_version
from tests.fullstep_data.small_chain import build
from tests.hub_server import Fault, Hub
from tests.hub_server.forks import Forks

SET = "ann/asked"
QUERIES = (
    "SELECT count(*) AS n FROM pairs",
    "SELECT label, count(*) AS n, sum(reward) AS total FROM rewards GROUP BY label ORDER BY label",
    "SELECT reason, count(*) AS n FROM rejects GROUP BY reason ORDER BY reason",
    "SELECT count(*) AS n FROM samples",
)


@pytest.fixture(scope="module")
def place(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    build(folder / "dataset")
    done = forks.run(f"fs-data push dataset {SET} --tag v1", folder)
    assert done.status == 0, done.errors
    return folder


@pytest.mark.parametrize("query", QUERIES)
def test_the_answers_are_those_of_the_folder(query: str, forks: Forks, place: Path):
    done = forks.run(f'fs-data sql hf://{SET}@v1 "{query}" --format csv', place)
    assert done.status == 0, done.errors
    here = sql(open_version(str(place / "dataset")), query).write_csv()
    assert done.output == (here if "samples" not in query else "n\n0\n")  # raw samples stay at home


def test_a_query_fetches_only_the_tables_that_it_reads(hub: Hub, forks: Forks, place: Path):
    """Of each table one footer is read for its columns; all files only of those in the query."""
    before = len(hub.log)
    forks.run(f'fs-data sql hf://{SET}@v1 "SELECT max(margin) FROM pairs"', place)
    fetched = {
        tuple(one.path.split("/parts/")[1].split("/"))
        for one in hub.log[before:]
        if "/resolve/" in one.path and "/parts/" in one.path
    }
    counts = {table: sum(name == table for name, _ in fetched) for table, _ in fetched}
    published = len(open_version(str(place / "dataset")).files("pairs"))
    assert counts.pop("pairs") == published > 1
    assert set(counts.values()) == {1}
    assert all(one.headers.get("range") for one in hub.log[before:] if one.path.startswith("/large/"))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT * FROM nothing", "tables of this version: problems, solutions"),
        ("SELECT * FROM 'parts/x.parquet'", "no other file"),
        ("COPY pairs TO 'x.csv'", "only queries that read"),
        ("DROP VIEW pairs", "only queries that read"),
    ],
)
def test_the_walls_stand_here_too(query: str, says: str, forks: Forks, place: Path):
    done = forks.run(f'fs-data sql hf://{SET}@v1 "{query}"', place)
    assert done.status == 2
    assert says in done.errors


def test_show_and_stats_answer_as_of_the_folder(forks: Forks, place: Path):
    """All lines that tell of rows; raw samples, models and the dataset's name differ."""
    for command in ("show {}", "show {} pairs --rows 2", "stats {}"):
        here, there = (forks.run(f"fs-data {command.format(name)}", place) for name in ("dataset@1", f"hf://{SET}@v1"))
        assert (here.status, there.status) == (0, 0), there.errors
        lines = [line for line in here.output.splitlines()[1:] if line.strip()]
        kept = [line for line in lines if not {"samples", "Models", "prm"} & set(line.split())]
        assert [line for line in there.output.splitlines()[1:] if line in kept] == kept


def test_log_lists_the_tags_of_a_dataset_on_the_hub(hub: Hub, forks: Forks, place: Path):
    done = forks.run(f"fs-data log hf://{SET}", place)
    assert done.status == 0, done.errors
    (row,) = [line.split() for line in done.output.splitlines() if line.split()[:1] == ["v1"]]
    commit = hub.repos["dataset", SET].find("v1")
    assert row[1:3] == ["1", str(len(commit.files))]
    assert row[-1] == commit.oid[:12]
    assert "leave the tag out" in forks.run(f"fs-data log hf://{SET}@v1", place).errors


@pytest.mark.parametrize("line", ["check {}", "lineage {}", "diff {} dataset", "audit {}", "views {}", "report {} -o x.html"])
def test_what_reads_every_byte_wants_a_folder(line: str, forks: Forks, place: Path):
    done = forks.run(f"fs-data {line.format(f'hf://{SET}@v1')}", place)
    assert done.status == 2
    assert f"fs-data pull {SET}@v1 --out DIR" in done.errors


@pytest.mark.parametrize("kind", ["before", "middle", 503])
def test_a_fault_in_the_middle_of_a_query_is_mended(kind: str | int, hub: Hub, forks: Forks, place: Path):
    hub.faults["/large/"] = Fault(kind)
    done = forks.run(f'fs-data sql hf://{SET}@v1 "SELECT count(*) AS n FROM solutions" --format csv', place)
    hub.faults.clear()
    assert done.status == 0, done.errors
    assert done.output == sql(open_version(str(place / "dataset")), "SELECT count(*) AS n FROM solutions").write_csv()


def test_every_thread_reads_at_its_own_place():
    content = bytes(range(251)) * (3 * BLOCK // 251)
    fetched: list[tuple[int, int]] = []

    def fetch(path: str, start: int, stop: int) -> bytes:
        fetched.append((start, stop))
        return content[start:stop]

    file = RangeFile(Blocks(fetch), "a", len(content))
    wrong: list[int] = []

    def read(number: int) -> None:
        for turn in range(200):
            at = (number * 7919 + turn * 104_729) % (len(content) - 1000)
            file.seek(at)
            if file.read(1000) != content[at : at + 1000]:
                wrong.append(at)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    file.seek(-4, 2)
    assert file.read() == content[-4:]
    assert file.read(5) == b""
    assert {start % BLOCK for start, _ in fetched} == {0}
