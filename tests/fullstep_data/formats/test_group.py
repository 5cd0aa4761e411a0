"""What formats share in reading values: texts that must be there, separators on and off, hard labels."""

import pytest

from fullstep_data.formats.group import (
    Solution,
    Unusable,
    bare,
    hard,
    missing_labels,
    optional_text,
    separated,
    text_of,
    texts_of,
)


def test_separators_go_on_and_off():
    assert separated(["a", "b", "c"], "\n") == ("a\n", "b\n", "c")
    assert bare(("a\n", "b\n", "c"), "\n") == (["a", "b", "c"], True)
    assert bare(("a", "b\n", "c"), "\n") == (["a", "b", "c"], False)
    assert bare(("a\n",), "\n") == (["a\n"], True)  # the last step keeps what it ends with


def test_values_that_must_be_there():
    assert text_of({"a": " x "}, "a") == " x "
    assert texts_of({"a": ["x"]}, "a") == ["x"]
    for record in ({}, {"a": 3}, {"a": " "}):
        with pytest.raises(Unusable):
            text_of(record, "a")
    for record in ({}, {"a": "x"}, {"a": []}, {"a": [1]}, {"a": ["x", ""]}):
        with pytest.raises(Unusable):
            texts_of(record, "a")


def test_values_that_may_be_missing():
    found = [optional_text({"a": value}, "a") for value in ("x ", 3, 2.5, None, True, "", ["x"])]
    assert found == ["x", "3", "2.5", None, None, None, None]


def test_labels():
    assert [hard(value) for value in (1.0, 0.125, 0.0, None)] == [True, True, False, False]
    steps = ("a", "b")
    assert [missing_labels(Solution(steps, labels=labels)) for labels in ((), (1.0, None), (0.0, 1.0))] == [True, True, False]
    assert Solution(steps).text == "ab"
