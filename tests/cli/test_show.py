import csv
import io
import json
import shlex
from pathlib import Path

import duckdb
import pytest
from rich.console import RenderableType

from schemas import TABLES
from tests.cli.commands import done, invoke

TABLE_NAMES = ("problems", "samples", "solutions", "steps", "step_labels", "step_scores", "pairs")


def test_show_names_every_table_with_its_rows(built: Path):
    text = done("fs-data show out/tiny", built).stdout
    assert "out/tiny, version 1, recipe tiny" in text
    for name in TABLE_NAMES:
        count = done(f"fs-data sql out/tiny 'SELECT count(*) AS n FROM {name}' --format json", built).stdout
        (line,) = [line for line in text.splitlines() if line.split()[:1] == [name]]
        assert line.split()[1].replace(",", "") == str(json.loads(count)[0]["n"])


def test_show_explains_every_column_and_shows_rows(built: Path):
    text = done("fs-data show out/tiny pairs --rows 2", built).stdout
    for column in TABLES["pairs"].columns:
        assert column.name in text
    assert "Row 2" in text
    assert "Row 3" not in text
    assert "Row 1" not in done("fs-data show out/tiny pairs --rows 0", built).stdout


def test_sql_answers_in_three_forms_with_the_same_rows(built: Path):
    query = (
        "SELECT solution_id, correct, token_ids FROM solutions JOIN samples USING (problem_id, sample_index) ORDER BY 1 LIMIT 3"
    )
    rows = json.loads(done(f'fs-data sql out/tiny "{query}" --format json', built).stdout)
    flat = list(csv.DictReader(io.StringIO(done(f'fs-data sql out/tiny "{query}" --format csv', built).stdout)))
    table = done(f'fs-data sql out/tiny "{query}"', built).stdout
    assert len(rows) == 3
    assert [row["solution_id"] for row in flat] == [row["solution_id"] for row in rows]
    assert [json.loads(row["token_ids"]) for row in flat] == [row["token_ids"] for row in rows]
    assert all(row["solution_id"] in table for row in rows)
    assert table.endswith("3 rows\n")


def test_a_long_answer_says_how_much_of_it_is_shown(built: Path):
    lines = done("fs-data sql out/tiny 'SELECT range FROM range(5000)'", built).stdout.splitlines()
    assert lines[-1] == "5,000 rows, of which 1,000 are shown: --format csv or json gives all"
    assert len(lines) == 1000 + 3
    assert len(done("fs-data sql out/tiny 'SELECT range FROM range(5000)' --format csv", built).stdout.splitlines()) == 5001


def test_output_that_is_no_terminal_has_no_control_characters(built: Path):
    for line in ("fs-data show out/tiny", "fs-data log out/tiny", "fs-data sql out/tiny 'FROM pairs LIMIT 2'"):
        text = done(line, built).stdout
        assert all(character.isprintable() or character == "\n" for character in text)


def test_the_log_tells_what_changed(place: Path):
    done("fs-data build tiny --out out/tiny --set pairs.top=1", place)
    lines = done("fs-data log out/tiny", place).stdout.splitlines()
    heads = [line for line in lines if line.startswith("version")]
    assert [head.split()[1] for head in heads] == ["2", "1"]
    assert "  pairs.top: 3 → 1" in lines
    assert "  new since version 1: pairs; the rest is taken over" in lines
    assert "samples 296," in lines[-1]


def test_the_log_of_an_import_and_of_a_merge(place: Path):
    done("fs-data import math-shepherd builtin:math-shepherd.jsonl --out out/shepherd", place)
    assert "  recipe import math-shepherd" in done("fs-data log out/shepherd", place).stdout.splitlines()
    done("fs-data compact out/tiny", place)
    lines = done("fs-data log out/tiny", place).stdout.splitlines()
    assert lines[2] == "  the rows of version 1 in fewer files (fs-data compact)"


def test_a_build_again_is_no_new_version(place: Path):
    result = done("fs-data build tiny --out out/tiny", place)
    assert "reused" in result.stderr
    assert len(list((place / "out/tiny/versions").iterdir())) == 1


def test_the_end_of_a_build_takes_little_memory(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it counts over all steps goes to disk beyond a limit, as for `fs-data stats`."""
    from cli import build

    limits: list[tuple[str]] = []

    def limit(connection: duckdb.DuckDBPyConnection, *_: object) -> list[RenderableType]:
        limits.extend(connection.execute("SELECT current_setting('memory_limit')").fetchall())
        return []

    monkeypatch.setattr(build, "build_summary", limit)
    build.build("tiny", str(place / "out" / "tiny"), ())
    assert limits == [("572.2 MiB",)]  # 600 MB


def test_check_counts_what_it_checked(built: Path):
    for dataset in ("out/tiny", "out/tiny-run", "out/tiny@1"):
        text = done(f"fs-data check {dataset}", built).stdout
        assert text.startswith("ok: ")
        assert "rows checked" in text


def test_recipes_are_listed_and_printed_whole(built: Path):
    listed = done("fs-data recipe", built).stdout.splitlines()
    assert [line.split(":")[0] for line in listed] == ["arithmetic", "demo", "tiny"]
    assert invoke("fs-data recipe --show tiny", built).stdout.startswith("# tiny: ")


def test_the_summaries_show_every_block(built: Path, tmp_path: Path):
    build = done("fs-data build tiny --out out/tiny", built).stdout
    for block in ("Tables", "Rewards of steps, by label", "PRM, on problems", "Pairs", "One problem, its best", "Next"):
        assert block in build
    train = done("fs-train run tiny --data out/tiny --out out/tiny-run", built).stdout
    for block in ("Training", "loss", "Greedy accuracy on held-out problems", "before", "after", "McNemar", "Next"):
        assert block in train


def test_an_evaluation_can_be_kept_and_read(place: Path):
    line = "fs-train eval --model tiny-random --problems builtin:sums.jsonl --limit 5 --max-tokens 4"
    assert "/5" in done(line, place).stdout
    done(f"{line} --out out/eval", place)
    rows = json.loads(done("fs-data sql out/eval 'FROM predictions' --format json", place).stdout)
    assert [row["model"] for row in rows] == ["tiny-random"] * 5


def test_paths_and_commands_stay_on_one_line_in_a_narrow_terminal(place: Path, monkeypatch: pytest.MonkeyPatch):
    """80 columns, a folder of 150 characters: what is there to be copied is not folded."""
    long = "out/" + "a-long-name-" * 12
    (place / "out/tiny").rename(place / long)
    monkeypatch.setattr("cli.render.PLAIN_WIDTH", 80)
    shown = done(f"fs-data show {long}", place).stdout.splitlines()
    (model,) = (place / long / "models").iterdir()
    assert f"  prm  {long}/models/{model.name}" in shown
    assert f"{long}, version 1, recipe tiny" in shown
    built = done(f"fs-data build tiny --out {long}", place).stdout.splitlines()
    assert f"  fs-train run tiny --data {long} --out {long}-run" in built
    trained = done(f"fs-train run tiny --data {long} --out out/tiny-run", place).stdout.splitlines()
    assert any(line.startswith(f"  fs-train eval --model MODEL --problems {long} --template") for line in trained)
    assert max(map(len, done(f"fs-data log {long}", place).stdout.splitlines())) <= 80


def test_the_next_command_has_the_overrides_of_this_one_and_quotes_what_a_shell_would_split(tmp_path: Path):
    options = "--set problems.source.limit=8 --set 'steps={splitter = \"newline\"}'"
    lines = done(f"fs-data build tiny --out 'my data/' {options}", tmp_path).stdout.splitlines()
    (command,) = [line.strip() for line in lines if line.startswith("  fs-train run")]
    words = shlex.split(command)
    assert words[2:7] == ["tiny", "--set", "problems.source.limit=8", "--set", 'steps={splitter = "newline"}']
    assert words[7:] == ["--data", "my data/", "--out", "my data-run"]


def test_json_has_no_word_for_nan(built: Path):
    query = "SELECT 'nan'::DOUBLE AS a, {'x': ['-inf'::DOUBLE, 1.5::DOUBLE]} AS b"
    assert json.loads(done(f'fs-data sql out/tiny "{query}" --format json', built).stdout) == [
        {"a": None, "b": {"x": [None, 1.5]}}
    ]


def test_a_damaged_part_ends_show_with_one_clear_error(place: Path):
    part = sorted((place / "out/tiny/parts/rejects").iterdir())[0]
    part.write_bytes(b"\0" * part.stat().st_size)
    result = invoke("fs-data show out/tiny", place)
    assert result.exit_code == 2
    assert "fs-data check" in result.stderr
