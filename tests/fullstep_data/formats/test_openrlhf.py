"""OpenRLHF: one placeholder per label, signs or numbers."""

from pathlib import Path

from fullstep_data.formats.group import Group, Left, Solution
from fullstep_data.formats.openrlhf import WriteOptions, write
from tests.fullstep_data.formats.trips import export_records, golden, import_records, same

SOFT = Group("Q", solutions=(Solution(("a\n", "b"), labels=(0.5, 0.0)),))


def test_golden(tmp_path: Path):
    version, _ = import_records("trl-stepwise", golden("trl-stepwise"), tmp_path, labels_by="human")
    records, report = export_records("openrlhf", version, tmp_path)
    assert same(records, golden("openrlhf"))
    assert report.decisions == {}
    assert all(record["input"].count("ки") == len(record["label"]) for record in records)


def test_soft_labels_placeholder_and_separator():
    told, record = write(SOFT, WriteOptions())
    assert isinstance(told, Left)
    assert record == {"input": "Q a ки\nb ки", "label": ["+", "-"]}
    (record,) = write(SOFT, WriteOptions(soft=True, placeholder="<S>"))
    assert record == {"input": "Q a <S>\nb <S>", "label": [0.5, 0.0]}
    group = Group("Q", solutions=(Solution(("a | ", "b"), labels=(1.0, 1.0)),))
    assert list(write(group, WriteOptions(separator=" | "))) == [{"input": "Q a ки | b ки", "label": ["+", "+"]}]


def test_what_cannot_be_written():
    solutions = (Solution(("a",)), Solution(("a ки",), labels=(1.0,)))
    told = list(write(Group("Q", solutions=solutions), WriteOptions()))
    assert told == [Left("not every step is labelled"), Left("the text holds the placeholder")]
