"""Reading one version: frames with the contract's types, files, models, and the checksums behind them."""

from pathlib import Path

import pytest

from fullstep_data.store import Store, Version
from schemas import TABLES, InputError
from tests.fullstep_data.small_chain import Recipe, build


def test_frames_have_the_contracts_types_and_all_rows(built: Path) -> None:
    version = Store.open(built).version()
    assert list(version.tables) == [
        *("problems", "samples", "solutions", "steps", "step_labels", "step_scores", "pairs"),
        "rejects",
    ]
    for name, table in version.tables.items():
        frame = version.frame(name)
        assert frame.schema == TABLES[name].polars_schema
        assert frame.height == table.rows
        assert TABLES[name].violations(frame) == []
    assert version.frame("problems").height == 10
    assert version.frame("rejects")["stage"].unique().sort().to_list() == ["pairs", "problems", "solutions"]


def test_files_are_exactly_those_of_the_version(dataset: Version) -> None:
    new = build(dataset.path, Recipe(samples=6))
    assert len(dataset.files("samples")) == 6
    assert len(new.files("samples")) == 9
    assert set(dataset.files("samples")) < set(new.files("samples"))
    assert all(path.exists() for path in new.files("samples"))


def test_an_old_version_stays_readable_as_it_was(dataset: Version) -> None:
    before = dataset.frame("step_scores")
    build(dataset.path, Recipe(samples=6))
    assert Store.open(dataset.path).version(1).frame("step_scores").equals(before)


@pytest.mark.parametrize("damage", ["alter", "truncate", "delete"])
def test_damage_is_found_when_rows_are_read(dataset: Version, damage: str) -> None:
    path = dataset.files("pairs")[1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(content if damage == "alter" else content[:-10])
    with pytest.raises(InputError, match="is missing" if damage == "delete" else "truncated or altered") as caught:
        dataset.frame("pairs")
    assert caught.value.where == str(path)
    assert "run the build of this version again" in caught.value.next_step


def test_unknown_tables_and_models_name_those_there_are(built: Path) -> None:
    version = Store.open(built).version()
    with pytest.raises(InputError, match="no table predictions") as caught:
        version.frame("predictions")
    assert "pairs" in caught.value.next_step
    with pytest.raises(InputError, match="no model policy") as caught:
        version.model("policy")
    assert "prm" in caught.value.next_step
    assert (version.model("prm") / "mean.txt").exists()
