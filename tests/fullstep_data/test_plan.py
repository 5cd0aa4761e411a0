"""Which parts come from which, and when a key changes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from fullstep_data.plan import InputPart, Planned, plan, source_key
from fullstep_data.stage import Read, Stage
from fullstep_data.store import Slice, StoredFile
from tests.fullstep_data.small_chain import Recipe, key_config, whole


def _part(table: str, chunk: int | None, block: int | None, key: str = "") -> InputPart:
    name = key or f"{table}-{chunk}-{block}"
    return InputPart(table, name, Slice(chunk=chunk, block=block), StoredFile(Path(name), 0, "", 0))


def _stage(**options: Any) -> Stage:
    return Stage(
        name="steps",
        run=print,
        config=whole,
        key_config=key_config,
        revision=1,
        **{"reads": (Read("samples"), Read("problems")), "parts_by": "part", **options},
    )


PROBLEMS = [_part("problems", chunk, None) for chunk in range(2)]
SAMPLES = [_part("samples", chunk, block) for chunk in range(2) for block in range(2)]
INPUTS: dict[str, Sequence[InputPart]] = {"problems": PROBLEMS, "samples": SAMPLES}


def _inputs(planned: Planned) -> list[list[str]]:
    return [[part.key for part in parts] for parts in planned.inputs]


def test_part_by_part_other_tables_give_their_matching_parts() -> None:
    made = plan(_stage(), Recipe(), INPUTS, {})
    assert [one.slice for one in made] == [part.slice for part in SAMPLES]
    assert _inputs(made[1]) == [["samples-0-1"], ["problems-0-None"]]
    assert _inputs(made[2]) == [["samples-1-0"], ["problems-1-None"]]


def test_a_first_table_without_blocks_takes_all_blocks_of_the_others() -> None:
    made = plan(_stage(reads=(Read("problems"), Read("samples"))), Recipe(), INPUTS, {})
    assert [_inputs(one) for one in made] == [
        [["problems-0-None"], ["samples-0-0", "samples-0-1"]],
        [["problems-1-None"], ["samples-1-0", "samples-1-1"]],
    ]


def test_a_table_with_one_part_goes_into_every_part() -> None:
    inputs = {"problems": [_part("problems", None, None)], "samples": SAMPLES}
    made = plan(_stage(), Recipe(), inputs, {})
    assert {tuple(_inputs(one)[1]) for one in made} == {("problems-None-None",)}


def test_by_problem_all_blocks_of_a_chunk_come_together() -> None:
    made = plan(_stage(parts_by="problem"), Recipe(), INPUTS, {})
    assert [one.slice for one in made] == [Slice(chunk=0), Slice(chunk=1)]
    assert _inputs(made[1]) == [["samples-1-0", "samples-1-1"], ["problems-1-None"]]


def test_all_takes_everything_at_once() -> None:
    (made,) = plan(_stage(parts_by="all"), Recipe(), INPUTS, {})
    assert made.slice == Slice()
    assert made.parents == (*(part.key for part in SAMPLES), *(part.key for part in PROBLEMS))


def _two_blocks(config: Any) -> Iterator[dict[str, Any]]:
    yield {"first": 0, "last": 8}
    yield {"first": 8, "last": 16}


def test_split_cuts_each_part_into_blocks() -> None:
    made = plan(_stage(reads=(Read("problems"),), split=_two_blocks), Recipe(), INPUTS, {})
    assert [(one.slice.chunk, one.slice.block, one.slice_args["first"]) for one in made] == [
        (0, 0, 0),
        (0, 1, 8),
        (1, 0, 0),
        (1, 1, 8),
    ]


def test_blocks_of_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="cut so already"):
        plan(_stage(split=_two_blocks), Recipe(), INPUTS, {})


def _keys(stage: Stage, recipe: Recipe | None = None, inputs: dict[str, Sequence[InputPart]] = INPUTS, **tools: str) -> list[str]:
    return [one.key for one in plan(stage, recipe or Recipe(), inputs, tools)]


def test_keys_change_with_all_that_decides_a_part_and_with_nothing_else() -> None:
    stage = _stage(tools=("engine",))
    keys = _keys(stage, engine="a")
    assert len(set(keys)) == 4
    assert all(len(key) == 32 for key in keys)
    assert keys == _keys(stage, engine="a", unused="b")
    assert keys == _keys(stage, Recipe(samples=99), engine="a"), "key_config leaves the number of samples out"
    other = [
        _keys(stage, engine="b"),
        _keys(stage, Recipe(words=9), engine="a"),
        _keys(replace(stage, revision=2), engine="a"),
        _keys(replace(stage, name="steps_too", writes="steps"), engine="a"),
        _keys(replace(stage, writes="solutions"), engine="a"),
        _keys(replace(stage, reads=(Read("samples", "sample_index > 0"), Read("problems"))), engine="a"),
    ]
    for changed in other:
        assert not set(changed) & set(keys)


def test_only_parts_with_changed_inputs_get_new_keys() -> None:
    inputs: dict[str, Sequence[InputPart]] = {**INPUTS, "problems": [PROBLEMS[0], _part("problems", 1, None, "new")]}
    before, after = _keys(_stage()), _keys(_stage(), inputs=inputs)
    assert before[:2] == after[:2]
    assert not set(before[2:]) & set(after[2:])


def test_a_source_is_known_by_its_rows() -> None:
    rows = pl.DataFrame({"a": ["x", None], "b": [1, 2]})
    stage = _stage(reads=(), parts_by="source")
    assert source_key(stage, rows) == source_key(stage, rows.clone())
    assert source_key(stage, rows) != source_key(stage, rows.with_columns(a=pl.lit("x")))
    assert source_key(stage, rows) != source_key(replace(stage, revision=2), rows)
