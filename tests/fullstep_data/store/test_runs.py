"""Records of runs: read, gone, damaged."""

from pathlib import Path

import pytest

from fullstep_data.store import Store, Version
from fullstep_data.store.runs import read_run
from schemas import InputError


def test_a_record_says_when_the_version_was_made(dataset: Version) -> None:
    run = read_run(Store(dataset.path).run_path(1))
    assert run is not None
    assert run["created"].endswith("+00:00")
    assert set(run["stages"]) == {*dataset.manifest.tables, "prm"}


def test_a_record_that_is_gone_is_none(tmp_path: Path) -> None:
    assert read_run(tmp_path / "000001.json") is None


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"created": '])
def test_a_damaged_record_is_named(dataset: Version, content: bytes) -> None:
    path = Store(dataset.path).run_path(1)
    path.write_bytes(content)
    with pytest.raises(InputError, match="record of a run is damaged") as caught:
        read_run(path)
    assert caught.value.where == str(path)
