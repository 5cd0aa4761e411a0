"""A dataset of an older contract, read by today's commands: migrated, or refused with what to run.

contract_1 is what `fs-data build tiny --set problems.source.limit=8 --set samples.samples=4 --set problems.problems_per_part=64`
made at commit bdc6561 (24 November 2026, every table at version 1), without the weights of its PRM. What has changed since:
problems, solutions and pairs may have nulls, and `step_labels` has the column `reason`.
"""

import json
import shutil
from pathlib import Path

import duckdb
import pytest

from fullstep_data.store import open_version
from tests.cli.commands import done, invoke

OLDER = ("problems", "solutions", "step_labels", "pairs")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    shutil.copytree(Path(__file__).with_name("contract_1"), tmp_path / "old")
    return tmp_path


def test_it_is_one(place: Path) -> None:
    assert open_version(str(place / "old")).outdated == OLDER


def test_stats_of_it_are_told_with_the_column_that_it_lacks(place: Path) -> None:
    found = json.loads(done("fs-data stats old --json", place).stdout)
    assert found["tables"]["step_labels"] == found["labels"][0]["steps"] == 84
    assert found["open"] == []
    assert found["scores"]["auc"]["mean"] is not None
    assert found["pairs"]["pairs"] == 10


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("show old", "10   8 solutions: duplicate text"),
        ("show old pairs --rows 1", "chosen_score"),
        ("log old", "version 1"),
        ("sql old 'SELECT count(*), count(reason) FROM step_labels' --format csv", "84,0"),
        ("sql old 'SELECT count(*) FROM preferences' --format csv", "10"),
        ("sql old 'SELECT count(*) FROM open_labels' --format csv", "0"),
        ("lineage old", "labeller outcome"),
        ("diff old old", "the rows are the same"),
        ("audit old", "8 problems"),
        ("gc old", "nothing to remove"),
        ("tag old v1", "old@v1 is version 1"),
        ("report old -o report.html", "report.html: "),
        ("views old --out views.sql", "views.sql: version 1"),
    ],
)
def test_every_command_that_looks_reads_it(place: Path, line: str, shown: str) -> None:
    assert shown in done(f"fs-data {line}", place).stdout


def test_its_views_open_in_a_plain_duckdb_joins_included(place: Path) -> None:
    text = done("fs-data views old --out -", place).stdout
    with duckdb.connect() as connection:
        connection.execute(text)
        assert connection.execute("SELECT count(*), count(reason) FROM step_labels").fetchall() == [(84, 0)]
        for view in ("preferences", "label_consensus", "open_labels"):
            connection.execute(f"FROM {view}")


@pytest.mark.parametrize("line", ["export trl-preference old -o out.jsonl", "export trl-stepwise old -o out.jsonl"])
def test_what_would_write_its_rows_anew_says_what_to_run(place: Path, line: str) -> None:
    refused = invoke(f"fs-data {line}", place)
    assert refused.exit_code == 2
    assert "run the build again: it makes the table under the contract of today" in refused.stderr
    assert "Traceback" not in refused.output


def test_a_query_for_what_it_never_had_says_so(place: Path) -> None:
    refused = invoke("fs-data sql old 'SELECT nothing FROM step_labels'", place)
    assert "fs-data build RECIPE --out old" in refused.stderr
    assert "problems, solutions, step_labels, pairs of this version are of an older contract" in refused.stderr


def test_a_check_names_the_tables_and_what_to_run(place: Path) -> None:
    found = invoke("fs-data check old", place)
    assert found.exit_code == 1
    told = "written under an older contract than this fullstep's: version 1 "
    assert found.stdout.count(told) == len(OLDER)
    assert "run the build again" in found.stdout
