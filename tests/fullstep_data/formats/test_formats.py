"""All formats together: each knows its own golden records and no other's, and says which option it needs."""

import pytest

from fullstep_data.formats import FORMATS
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
