"""SQL over a version: what it answers, and all that it refuses."""

import shutil
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from fullstep_data.query import ask, connect, pieces, split, sql
from fullstep_data.store import Store, Version
from schemas import TABLES, InputError
from tests.fullstep_data.small_chain import Recipe, build
from tests.fullstep_data.store.mounts import remount, tmpfs
from tests.kill import content


@pytest.fixture(scope="module")
def version(built: Path) -> Version:
    return Store.open(built).version()


def test_every_table_is_a_view_with_the_contracts_types(version: Version) -> None:
    for name, table in TABLES.items():
        assert sql(version, f"SELECT * FROM {name}").schema == table.polars_schema
        assert sql(version, f"FROM {name}").height == (version.tables[name].rows if name in version.tables else 0)


def test_rows_are_those_that_the_version_holds(version: Version) -> None:
    key = list(TABLES["steps"].key)
    assert sql(version, "FROM steps").sort(key).equals(version.frame("steps").sort(key))


def test_an_old_version_answers_with_its_own_rows(dataset: Version) -> None:
    new = build(dataset.path, Recipe(samples=6))
    assert sql(new, "SELECT count(*) AS n FROM samples").item() == 48
    assert sql(dataset, "SELECT count(*) AS n FROM samples").item() == 32


def test_rewards_are_one_line_away(version: Version) -> None:
    answer = sql(version, "SELECT label, count(*) AS steps, avg(reward) AS mean FROM rewards GROUP BY label ORDER BY label")
    assert answer.columns == ["label", "steps", "mean"]
    assert answer["steps"].sum() == version.tables["steps"].rows
    row = sql(version, "SELECT problem_id, solution_id, step_index, text, reward, label, value, correct FROM rewards LIMIT 1")
    assert row.height == 1


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS one",
        "  select 1;",
        "-- a remark\nSELECT 1",
        "FROM problems LIMIT 1",
        "WITH few AS (FROM problems LIMIT 2) SELECT * FROM few",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) FROM n",
        "VALUES (1)",
        "TABLE pairs",
        "DESCRIBE pairs",
        "SUMMARIZE pairs",
        "SHOW TABLES",
        "EXPLAIN SELECT * FROM pairs",
        "explain analyze select * from pairs",
        "-- why so slow?\n/* ** */ EXPLAIN ANALYZE SELECT * FROM pairs",
        "SELECT * FROM problems UNION ALL FROM problems",
        "PIVOT solutions ON correct IN (TRUE, FALSE) USING count(*)",
        "SELECT problem_id, (SELECT count(*) FROM samples WHERE samples.problem_id = p.problem_id) AS n FROM problems p",
    ],
)
def test_queries_that_read_are_answered(version: Version, query: str) -> None:
    assert sql(version, query).height > 0


def test_sums_are_integers_and_repeated_names_are_told_apart(version: Version) -> None:
    assert sql(version, "SELECT sum(sample_index) AS s FROM samples").schema == {"s": pl.Int128}
    assert sql(version, "SELECT a.split, b.split, 1 AS split_1 FROM problems a, problems b LIMIT 1").columns == [
        "split",
        "split_1",
        "split_1_1",
    ]


@pytest.mark.parametrize("value", ["INTERVAL 1 DAY", "[INTERVAL 1 DAY]", "{'a': INTERVAL 1 DAY}", "union_value(a := 1)"])
def test_a_type_that_polars_lacks_is_told_with_the_way_out(version: Version, value: str) -> None:
    with connect(version) as connection:
        for question in (lambda text: ask(connection, version, text), lambda text: list(pieces(connection, version, text))):
            with pytest.raises(InputError) as caught:
                question(f"SELECT {value}")
            assert "VARCHAR" in caught.value.next_step
            assert caught.value.what == "the answer has a column of a kind that cannot be shown"
    assert sql(version, "SELECT {'interval': 1} AS a").item() == {"interval": 1}


def test_pieces_are_the_answer_and_the_first_has_its_columns(version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "SELECT range AS n, sum(range) OVER () AS total FROM range(200000) ORDER BY n"
    with connect(version) as connection:
        first, *rest = pieces(connection, version, text)
        whole = ask(connection, version, text)
        assert first.is_empty()
        assert len(rest) > 1
        assert pl.concat([first, *rest]).equals(whole)
        assert next(pieces(connection, version, f"{text} LIMIT 0")).schema == whole.schema
        cut = pieces(connection, version, "SELECT CASE WHEN range > 150000 THEN CAST('x' AS INT) END AS n FROM range(200000)")
        assert next(cut).columns == ["n"]
        with pytest.raises(InputError, match="Conversion Error") as caught:
            list(cut)
        assert caught.value.next_step == "correct the query"


REFUSED = [
    "CREATE TABLE t (a INTEGER)",
    "CREATE TEMP TABLE t AS SELECT 1",
    "CREATE OR REPLACE VIEW problems AS SELECT 1",
    "CREATE MACRO f(a) AS a",
    "INSERT INTO problems SELECT * FROM problems",
    "UPDATE problems SET question = ''",
    "DELETE FROM problems",
    "DROP VIEW problems",
    "ALTER TABLE problems RENAME TO p",
    "TRUNCATE problems",
    "COPY problems TO '{out}'",
    "COPY (SELECT 1) TO '{part}' (FORMAT parquet, USE_TMP_FILE false)",
    "WITH x AS (COPY (SELECT 1) TO '{out}') SELECT 1",
    "WITH x AS (COPY (SELECT 1) TO '{part}' (FORMAT parquet, USE_TMP_FILE false)) SELECT 1",
    "WITH x AS (INSERT INTO problems SELECT * FROM problems RETURNING *) FROM x",
    "SELECT * FROM (WITH x AS (COPY (SELECT 1) TO '{out}') SELECT 1)",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{out}'",
    "EXPLAIN ANALYZE WITH x AS (COPY (SELECT 1) TO '{out}') SELECT 1",
    "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{out}'",
    "-- a remark\nEXPLAIN ANALYZE COPY (SELECT 1) TO '{out}'",
    "/* EXPLAIN */ COPY (SELECT 1) TO '{out}'",
    "EXPLAIN -- a remark\nANALYZE COPY (SELECT 1) TO '{out}'",
    "WITH x AS (DELETE FROM problems RETURNING *) FROM x",
    "MERGE INTO problems USING pairs ON TRUE WHEN MATCHED THEN DELETE",
    "EXECUTE p",
    "PRAGMA import_database('{out}')",
    "EXPORT DATABASE '{out}'",
    "IMPORT DATABASE '{out}'",
    "ATTACH '{out}' AS other",
    "DETACH memory",
    "USE memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "UPDATE EXTENSIONS",
    "SET enable_external_access = true",
    "SET memory_limit = '1GB'",
    "RESET allowed_directories",
    "PRAGMA enable_logging",
    "PRAGMA temp_directory = '{out}'",
    "CALL pragma_version()",
    "CHECKPOINT",
    "VACUUM",
    "BEGIN TRANSACTION",
    "PREPARE p AS SELECT 1",
    "SET VARIABLE a = 1",
    "CREATE SECRET s (TYPE s3)",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW problems",
    "",
    "-- nothing",
    "EXPLAIN",
]

OUTSIDE = [
    "FROM read_csv('/etc/passwd')",
    "FROM read_text('/etc/passwd')",
    "FROM read_blob('/etc/passwd')",
    "FROM read_parquet('{part}')",
    "FROM '{part}'",
    "FROM parquet_metadata('{part}')",
    "FROM sniff_csv('/etc/passwd')",
    "FROM read_json('{manifest}')",
    "FROM read_text('file:///etc/passwd')",
    "FROM read_csv('https://example.org/a.csv')",
    "FROM query('WITH x AS (COPY (SELECT 1) TO ''{out}'') SELECT 1')",
    "FROM query('WITH x AS (COPY (SELECT 1) TO ''fullstep://new.csv'') SELECT 1')",
    "FROM query('FROM ''/etc/passwd''')",
    "FROM query_table('/etc/passwd')",
    "FROM json_execute_serialized_sql(json_serialize_sql('FROM read_text(''/etc/passwd'')'))",
    "FROM glob('/etc/*')",
    "FROM read_duckdb('{out}')",
    "FROM read_text('/proc/self/environ')",
    "FROM read_text('hf://datasets/a/b/c.csv')",
    "FROM read_csv('s3://a/b.csv')",
    "FROM read_parquet(['fullstep://parts/problems/x.parquet', '{part}'])",
    "DESCRIBE FROM '{part}'",
    "SUMMARIZE '{part}'",
    "SELECT list_transform([1], lambda x: (SELECT content FROM read_text('/etc/passwd')))",
    # Functions that run other functions, or would write logs, in a SELECT.
    "FROM destroy_external_resource('read_text', '/etc/passwd')",
    "FROM destroy_external_resource('query', 'COPY (SELECT 1) TO ''{out}''')",
    "FROM destroy_external_resource('range(1); COPY (SELECT 1) TO ''{out}''; --', '1')",
    "FROM enable_logging(storage = 'file', storage_path = '{out}')",
    "FROM enable_profiling(save_location = '{out}')",
    "FROM duckdb_secrets()",
    "FROM a_python_variable",
    "SELECT getenv('HOME')",
]


def _filled(query: str, version: Version, out: Path) -> str:
    return query.format(out=out, part=version.files("problems")[0], manifest=version.path / "versions" / "000001.json")


@pytest.mark.parametrize("query", REFUSED)
def test_statements_that_do_more_than_read_are_refused_and_change_nothing(version: Version, tmp_path: Path, query: str) -> None:
    before = content(version.path)
    out = tmp_path / "out"
    with pytest.raises(InputError) as caught:
        sql(version, _filled(query, version, out))
    assert caught.value.next_step
    assert not out.exists()
    assert content(version.path) == before


@pytest.mark.parametrize("query", OUTSIDE)
def test_nothing_but_the_versions_own_parts_can_be_reached(version: Version, tmp_path: Path, query: str) -> None:
    a_python_variable = pl.DataFrame({"secret": [1]})
    before = content(version.path)
    out = tmp_path / "out"
    with pytest.raises(InputError) as caught:
        sql(version, _filled(query, version, out))
    assert "Traceback" not in str(caught.value)
    assert not out.exists()
    assert content(version.path) == before
    assert a_python_variable.height == 1


def test_a_pivot_without_columns_is_told_what_it_lacks(version: Version) -> None:
    with pytest.raises(InputError, match="a PIVOT must name its columns") as caught:
        sql(version, "PIVOT solutions ON correct USING count(*)")
    assert "IN (" in caught.value.next_step


def test_under_our_scheme_there_are_the_versions_parts_and_nothing_else(version: Version) -> None:
    for path in ("../../etc/passwd", "/etc/passwd", "versions/000001.json", "parts/problems/*.parquet", "*"):
        assert sql(version, f"FROM read_text('fullstep://{path}')").height == 0
        assert sql(version, f"FROM glob('fullstep://{path}')").height == 0
    with pytest.raises(InputError):
        sql(version, "FROM glob('/etc/*')")


def test_even_the_bare_connection_can_write_no_part_and_leaves_no_file(dataset: Version, tmp_path: Path) -> None:
    before = content(dataset.path)
    part = dataset.files("problems")[0]
    inside = f"fullstep://{part.relative_to(dataset.path).as_posix()}"
    with connect(dataset) as connection:
        for target in (tmp_path / "out.csv", part, inside, "fullstep://new.csv"):
            with pytest.raises(duckdb.Error):
                connection.execute(f"COPY (SELECT 1) TO '{target}' (USE_TMP_FILE false)")
        for statement in ("SET enable_external_access = true", f"ATTACH '{tmp_path / 'x'}'", "SET threads = 1"):
            with pytest.raises(duckdb.Error):
                connection.execute(statement)
        ((rows,),) = connection.execute("SELECT count(*) FROM problems").fetchall()
    assert rows == 10
    assert content(dataset.path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


def test_errors_are_duckdbs_own_words_with_what_to_do(version: Version) -> None:
    with pytest.raises(InputError, match="nope does not exist") as caught:
        sql(version, "SELECT * FROM nope")
    assert "pairs" in caught.value.next_step
    assert "rewards" in caught.value.next_step
    with pytest.raises(InputError, match='"rewrad" not found'):
        sql(version, "SELECT rewrad FROM rewards")
    with pytest.raises(InputError, match="syntax error"):
        sql(version, "SELEC 1")
    with pytest.raises(InputError, match="Conversion Error"):
        sql(version, "SELECT CAST(question AS INTEGER) FROM problems")


def test_a_missing_part_is_named(dataset: Version) -> None:
    path = dataset.files("steps")[1]
    path.unlink()
    with pytest.raises(InputError, match="is missing") as caught:
        sql(dataset, "SELECT 1")
    assert caught.value.where == str(path)


def test_a_damaged_part_of_the_right_size_points_at_the_check(dataset: Version) -> None:
    path = dataset.files("problems")[0]
    path.write_bytes(b"\0" * path.stat().st_size)
    with pytest.raises(InputError) as caught:
        sql(dataset, "FROM problems")
    assert "fs-data check" in caught.value.next_step
    with pytest.raises(InputError) as caught, connect(dataset) as connection:
        connection.sql("FROM problems").fetchall()
    assert "fs-data check" in caught.value.next_step


@pytest.mark.parametrize("damage", [b"", b"PAR1"])
def test_a_truncated_part_is_an_error_in_one_piece(dataset: Version, damage: bytes) -> None:
    dataset.files("problems")[0].write_bytes(damage)
    with pytest.raises(InputError) as caught:
        sql(dataset, "FROM problems")
    assert "truncated" in caught.value.what


def test_a_read_only_disk_and_odd_folder_names_are_no_hindrance(built: Path, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "4m") as disk:
        shutil.copytree(built, disk / "it's a folder@1 [x]*")
        remount(disk, "ro")
        version = Store.open(disk / "it's a folder@1 [x]*").version()
        assert sql(version, "FROM problems").height == 10


def test_a_relative_dataset_path_works(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(built.parent)
    assert sql(Store.open(Path(built.name)).version(), "FROM problems").height == 10


def test_many_questions_share_a_connection(version: Version) -> None:
    with connect(version) as connection:
        counts: list[Any] = [connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in ("steps", "pairs")]
    assert counts == [56, 7]


def test_preferences_are_pairs_as_text_with_the_rewards_of_their_steps(version: Version) -> None:
    answer = sql(version, "FROM preferences ORDER BY pair_id").to_dicts()
    pairs = version.frame("pairs").sort("pair_id").to_dicts()
    texts = dict(version.frame("solutions").select("solution_id", "text").iter_rows())
    rewards = version.frame("step_scores").sort("step_index").group_by("solution_id", maintain_order=True).agg("reward")
    of_steps = dict(rewards.iter_rows())
    assert len(answer) == len(pairs)
    for row, pair in zip(answer, pairs, strict=True):
        assert (row["chosen"], row["rejected"]) == (texts[pair["chosen_id"]], texts[pair["rejected_id"]])
        assert (row["chosen_rewards"], row["rejected_rewards"]) == (of_steps[pair["chosen_id"]], of_steps[pair["rejected_id"]])
        assert row["prompt"] == "Add."
        assert row["question"].endswith("?")


def test_steps_wide_has_every_step_scored_or_not(tmp_path: Path) -> None:
    from tests.fullstep_data.small_chain import STAGES, run_stages

    unscored = run_stages(tmp_path / "unscored", STAGES[:4])
    for version in (unscored, build(tmp_path / "scored")):
        wide = sql(version, "FROM steps_wide")
        assert wide.height == version.tables["steps"].rows
        assert wide["n_steps"].unique().to_list() == [2]
        assert wide["reward"].null_count() == (wide.height if version is unscored else 0)
        assert wide["characters"].sum() == version.frame("steps")["text"].str.len_chars().sum()


def test_a_script_is_split_at_its_statements_and_nowhere_else() -> None:
    first, second = split("SELECT ';'; -- a; b\nFROM pairs;")
    assert first.startswith("SELECT ';'")
    assert second.endswith("FROM pairs;")
    assert split(" \n-- nothing\n") == []
    with pytest.raises(InputError, match="syntax error"):
        split("SELECT 1; SELEC 2")


def test_tables_of_an_older_contract_can_be_read_and_joins_that_do_not_fit_are_left_out(
    dataset: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from fullstep_data.store import views
    from schemas import Column

    later = replace(TABLES["steps"], version=99, columns=(*TABLES["steps"].columns, Column("depth", pl.Int32, "New.")))
    monkeypatch.setitem(TABLES, "steps", later)
    monkeypatch.setitem(views.JOINS, "rewards", "SELECT depth FROM steps")
    assert dataset.outdated == ("steps",)
    assert sql(dataset, "FROM steps").height == 56
    assert sql(dataset, "FROM preferences").height == 7
    with pytest.raises(InputError, match="rewards does not exist") as caught:
        sql(dataset, "FROM rewards")
    assert "older contract" in caught.value.next_step
    assert b"depth" not in views.views_file(dataset)


def test_memory_can_be_bounded(dataset: Version) -> None:
    """Two million groups do not fit into 60 MB; what does not fit is written beside and read again."""
    groups = "SELECT count(*) FROM (SELECT n, sum(n) AS total FROM range(2000000) t(n) GROUP BY n)"
    with connect(dataset, memory="60 MB") as connection:
        assert connection.execute("SELECT current_setting('memory_limit')").fetchall() == [("57.2 MiB",)]
        assert connection.execute(groups).fetchall() == [(2_000_000,)]
    with connect(dataset) as connection:
        assert connection.execute("SELECT current_setting('memory_limit')").fetchall() != [("57.2 MiB",)]
