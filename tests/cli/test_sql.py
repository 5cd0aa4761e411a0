import io
import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest

from cli.sql import FORMS, show
from tests.cli.commands import REPOSITORY, done, invoke

QUESTION = "SELECT pair_id, margin, chosen_rewards FROM preferences ORDER BY pair_id LIMIT 2"


def test_every_form_has_the_same_rows(built: Path):
    answers = {form: done(f'fs-data sql out/tiny "{QUESTION}" --format {form}', built) for form in FORMS}
    rows = json.loads(answers["json"].stdout)
    parquet = pl.read_parquet(io.BytesIO(answers["parquet"].stdout_bytes))
    assert parquet.to_dicts() == rows
    csv = pl.read_csv(io.StringIO(answers["csv"].stdout))
    assert csv["margin"].to_list() == [row["margin"] for row in rows]
    head, rule, *lines = answers["markdown"].stdout.splitlines()
    assert head == "| pair_id | margin | chosen_rewards |"
    assert rule == "| --- | ---: | --- |"
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines] == [row["pair_id"] for row in rows]
    assert all(row["pair_id"] in answers["table"].stdout for row in rows)


def test_an_answer_does_without_pandas(built: Path):
    """Whose import takes longer than the answer."""
    told = "import atexit, sys; from cli.data import main; atexit.register(lambda: print('pandas' in sys.modules)); main()"
    command = [sys.executable, "-c", told, "sql", "out/tiny", "SELECT 1 AS one", "--format", "csv"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=built, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["one", "1", "False"]


def test_markdown_has_every_row_and_keeps_to_its_cells(capsys: pytest.CaptureFixture[str]):
    frame = pl.DataFrame({"a|b": ["x|y\nz", "\\"], "n": [1, None]})
    show(iter((frame.clear(), frame.head(1), frame.tail(1))), "markdown")
    assert capsys.readouterr().out == "| a\\|b | n |\n| --- | ---: |\n| x\\|y<br>z | 1 |\n| \\\\ |  |\n"


def test_the_version_may_be_an_option(place: Path):
    done("fs-data build tiny --out out/tiny --set samples.samples=4", place)
    question = "'SELECT count(*) AS n FROM samples' --format csv"
    assert done(f"fs-data sql out/tiny --version 1 {question}", place).stdout == "n\n296\n"
    assert done(f"fs-data sql out/tiny {question}", place).stdout == "n\n148\n"
    twice = invoke(f"fs-data sql out/tiny@1 --version 2 {question}", place)
    assert twice.exit_code == 2
    assert "named twice" in twice.stderr


def test_scripts_answer_statement_by_statement(built: Path, tmp_path: Path):
    script = tmp_path / "questions.sql"
    script.write_text("-- two questions\nSELECT 1 AS one;\n\nSELECT 'a;b' AS two; -- the end\n")
    text = done(f"fs-data sql out/tiny --file {script} --format markdown", built).stdout
    assert text == "| one |\n| ---: |\n| 1 |\n\n| two |\n| --- |\n| a;b |\n"
    refused = invoke(f"fs-data sql out/tiny --file {script} --format csv", built)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "2 statements, and csv takes the answer of one" in refused.stderr


def test_a_script_cannot_do_more_than_a_query(built: Path, tmp_path: Path):
    for statement in ("COPY pairs TO 'stolen.csv'", "INSTALL httpfs", "CREATE TABLE x AS SELECT 1", "SET threads = 1"):
        (tmp_path / "evil.sql").write_text(f"SELECT 1;\n{statement};\n")
        refused = invoke(f"fs-data sql out/tiny --file {tmp_path / 'evil.sql'}", built)
        assert refused.exit_code == 2
        assert "only queries that read are allowed" in refused.stderr
        assert not (built / "stolen.csv").exists()


@pytest.mark.parametrize(
    ("content", "fragment"),
    [(None, "cannot be read"), (b"\xff\xfe", "cannot be read"), (b"  \n", "no SQL"), (b"SELEC 1", "SELEC 1")],
)
def test_scripts_that_are_none_are_named(built: Path, tmp_path: Path, content: bytes | None, fragment: str):
    if content is not None:
        (tmp_path / "q.sql").write_bytes(content)
    refused = invoke(f"fs-data sql out/tiny --file {tmp_path / 'q.sql'}", built)
    assert refused.exit_code == 2
    assert fragment in refused.stderr
    assert "Traceback" not in refused.output


def test_a_query_and_a_file_exclude_each_other(built: Path):
    assert invoke("fs-data sql out/tiny 'SELECT 1' --file q.sql", built).exit_code == 2


def test_a_table_without_rows_is_an_answer(built: Path):
    for form, expected in (("csv", "reference\n"), ("json", "[]\n"), ("markdown", "| reference |\n| --- |\n")):
        line = f"fs-data sql out/tiny 'SELECT reference FROM reference_logprobs' --format {form}"
        assert done(line, built).stdout == expected


def test_views_open_anywhere_in_a_plain_duckdb(place: Path, monkeypatch: pytest.MonkeyPatch):
    done("fs-data build tiny --out out/tiny --set samples.samples=4", place)
    done("fs-data views out/tiny@1 --out first.sql", place)
    text = (place / "first.sql").read_text()
    assert done("fs-data views out/tiny@1 --out -", place).stdout == text
    monkeypatch.chdir("/")
    with duckdb.connect() as connection:
        connection.execute(text)
        assert connection.execute("SELECT count(*) FROM samples").fetchall() == [(296,)]
        for view in ("preferences", "steps_wide", "rewards"):
            ((rows,),) = connection.execute(f"SELECT count(*) FROM {view}").fetchall()
            assert rows > 0


def test_views_of_a_version_that_is_not_whole_are_not_written(place: Path):
    next((place / "out/tiny/parts/step_scores").iterdir()).unlink()
    refused = invoke("fs-data views out/tiny --out out.sql", place)
    assert refused.exit_code == 2
    assert "a part of the dataset is missing" in refused.stderr
    assert not (place / "out.sql").exists()


def test_views_never_replace_those_of_the_latest_version(place: Path):
    own = place / "out/tiny/views.sql"
    before = own.read_bytes()
    done("fs-data views out/tiny --out out/tiny/views.sql", place)
    assert own.read_bytes() == before
    done("fs-data build tiny --out out/tiny --set samples.samples=4", place)
    refused = invoke("fs-data views out/tiny@1 --out out/tiny/views.sql", place)
    assert refused.exit_code == 2
    assert "of the latest version" in refused.stderr
    assert done("fs-data check out/tiny", place).stdout.startswith("ok")
    assert "cannot be written" in invoke("fs-data views out/tiny --out none/there.sql", place).stderr
