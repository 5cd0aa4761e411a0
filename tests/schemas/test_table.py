"""The contract's machinery: rules are found, counted and told with the key of the broken rows; the lock guards changes."""

import json
from dataclasses import replace
from pathlib import Path

import duckdb
import polars as pl
import pytest

from schemas import TABLES, Column, ContractError, Rule, Table
from schemas.lock import LOCK_FOLDER, write_lock

TOY = Table(
    name="toy",
    version=1,
    grain="one toy",
    doc="",
    key=("name",),
    columns=(
        Column("name", pl.String, "Its name."),
        Column("colour", pl.String, "Its colour.", values=("red", "blue"), nullable=True),
        Column("price", pl.Float64, "What it costs.", unit="euro", nullable=True),
    ),
    rules=(Rule("price is not negative", "price >= 0"),),
)


def toys(*rows: tuple[str | None, str | None, float | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=TOY.polars_schema, orient="row")


def test_a_frame_that_keeps_the_contract_has_no_violations():
    assert TOY.violations(toys(("ball", "red", 1.0), ("car", None, None))) == []


@pytest.mark.parametrize(
    ("rows", "rule", "count"),
    [
        ([(None, "red", 1.0)], "name is not null", 1),
        ([("ball", "green", 1.0), ("car", "black", 1.0)], "colour is one of red, blue", 2),
        ([("ball", "red", -1.0), ("car", "red", 0.0)], "price is not negative", 1),
        ([("ball", "red", 1.0), ("ball", "blue", 2.0)], "key (name) is unique", 2),
    ],
)
def test_each_kind_of_rule_is_found_and_counted(rows, rule, count):
    (violation,) = TOY.violations(toys(*rows))
    assert (violation.rule, violation.count) == (rule, count)


def test_wrong_shape_is_told_before_any_rule():
    frame = pl.DataFrame({"name": [1], "price": [1.0], "weight": [2.0]})
    assert [violation.rule for violation in TOY.violations(frame)] == [
        "column name has type String (found Int64)",
        "column colour is present",
        "no columns beyond the contract (found weight)",
    ]


def test_the_error_names_table_rule_count_examples_and_where():
    frame = toys(*[(f"toy{index}", "green", 1.0) for index in range(8)])
    with pytest.raises(ContractError) as caught:
        TOY.check(frame, where="shelf 3")
    text = str(caught.value)
    assert "table toy" in text
    assert "colour is one of red, blue" in text
    assert "shelf 3" in text
    assert "count: 8" in text
    assert text.count("example:") == 5


def test_check_puts_columns_in_the_contracts_order():
    frame = toys(("ball", "red", 1.0)).select("price", "name", "colour")
    assert TOY.check(frame, "here").columns == ["name", "colour", "price"]


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_every_rule_is_sql_that_polars_and_duckdb_read(table):
    assert table.violations(table.empty()) == []
    empty = table.empty()
    with duckdb.connect() as connection:
        connection.register(table.name, empty)
        for rule in table.all_rules():
            assert connection.execute(f"SELECT count(*) FROM {table.name} WHERE NOT ({rule.sql})").fetchone() == (0,)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_references_point_at_columns_that_exist(table):
    for reference in table.references:
        target = TABLES[reference.table].polars_schema
        assert set(reference.columns) <= set(table.polars_schema)
        assert set(reference.target_columns) <= set(target)
        for column, target_column in zip(reference.columns, reference.target_columns, strict=True):
            assert table.polars_schema[column] == target[target_column]


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_a_change_of_a_contract_needs_a_new_version(table):
    locked = json.loads((LOCK_FOLDER / f"{table.name}.json").read_text(encoding="utf-8"))
    assert locked == table.describe(), "contract changed: raise its version, then `python -m schemas.lock`"


def test_the_lock_refuses_a_change_under_the_same_version(tmp_path: Path):
    write_lock([TOY], tmp_path)
    changed = replace(TOY, rules=())
    with pytest.raises(ContractError, match="version"):
        write_lock([changed], tmp_path)
    raised = replace(TOY, rules=(), version=2)
    write_lock([raised], tmp_path)
    assert json.loads((tmp_path / "toy.json").read_text())["version"] == 2


def test_modules_tables_and_exports_carry_one_name():
    modules = {path.stem for path in Path(LOCK_FOLDER).parent.glob("*.py")} - {
        "__init__",
        "table",
        "errors",
        "ids",
        "lock",
        "docs",
        "model_files",
    }
    assert modules == set(TABLES)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_the_column_table_names_every_column_once(table):
    lines = table.markdown().splitlines()
    assert [line.split("`")[1] for line in lines[2:]] == [column.name for column in table.columns]
