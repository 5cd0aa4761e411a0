"""All formats together: each knows its own golden records and no other's, and says which option it needs."""

import copy
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest

from fullstep_data.formats import FORMATS
from fullstep_data.formats.group import Question, Reader, Record, Unusable
from fullstep_data.formats.to_tables import Intake
from fullstep_data.grading import Grader
from schemas import TABLES
from tests.fullstep_data.formats.trips import GOLDEN, golden

FILES = sorted(path.stem for path in GOLDEN.glob("*.jsonl"))


def test_every_format_has_golden_records_of_three_to_five_rows():
    assert set(FILES) - {"rlhflow-test"} == set(FORMATS)
    assert all(3 <= len(golden(name)) <= 5 for name in FORMATS)


@pytest.mark.parametrize("name", FILES)
def test_records_are_known_for_what_they_are(name: str):
    for record in golden(name):
        assert [form.name for form in FORMATS.values() if form.looks_like(record)] == [name.removesuffix("-test")]


def test_every_option_says_what_it_means():
    halves = [half for form in FORMATS.values() for half in (form.reader, form.writer) if half]
    assert all(info.description for half in halves for info in half.options.model_fields.values())


ODD = (
    None,
    0,
    -1,
    2.5,
    float("nan"),
    10**30,
    True,
    "",
    " ",
    "+",
    [],
    [None],
    ["a"],
    [[]],
    [{}],
    {},
    {"text": None},
    "Step 1: a ки",
)


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if form.reader])
def test_whatever_stands_in_a_record_is_taken_or_rejected(name: str, tmp_path: Path):
    """Every value of every golden record, however deep, missing or in the place of something odd, under all options."""
    form = FORMATS[name]
    assert form.reader is not None
    taken = 0
    with Grader() as grader:
        intake = Intake(name, form.reader.labels or "human", form.reader.pool, None, grader, tmp_path)
        for number, (record, options) in enumerate(product(odd_records(name), choices(form.reader))):
            form.looks_like(record)
            try:
                intake.add(list(form.reader.read(copy.deepcopy(record), form.reader.options(**options))), name, number)
                taken += 1
            except (Unusable, Question):
                continue
        for _, table, rows in intake.parts():
            TABLES[table].check(rows, where=name)
    assert taken


def odd_records(name: str) -> Iterator[Record]:
    for record in golden(name)[:2]:
        for path in places(record):
            yield altered(record, path, None, remove=True)
            yield from (altered(record, path, value) for value in ODD)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where values stand: keys and positions, one after the other."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, below in inner:
        yield (*path, key)
        yield from places(below, (*path, key))


def altered(record: Record, path: tuple[Any, ...], value: Any, remove: bool = False) -> Record:
    made = copy.deepcopy(record)
    at: Any = made
    for key in path[:-1]:
        at = at[key]
    if remove:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return made


def choices(reader: Reader) -> Iterator[dict[str, str]]:
    """Every setting of the options that have no default."""
    asked = {name: values for name, info in reader.options.model_fields.items() if info.default is None
             if (values := [value for kind in get_args(info.annotation) for value in get_args(kind)])}  # fmt: skip
    return (dict(zip(asked, values, strict=True)) for values in product(*asked.values()))
