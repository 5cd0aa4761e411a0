"""What manifests say of a part, newest first, reading no more of them than needed."""

from collections.abc import Iterator
from pathlib import Path

from fullstep_data.store import Manifest, Store
from fullstep_data.store.ledger import Ledger
from tests.fullstep_data.small_chain import Recipe, build


def test_the_newest_manifest_is_read_first_and_older_ones_only_when_needed(tmp_path: Path) -> None:
    old = build(tmp_path, Recipe(samples=6)).manifest
    new = build(tmp_path).manifest
    read: list[int] = []

    def newest_first() -> Iterator[Manifest]:
        for number in (2, 1):
            read.append(number)
            yield Store.open(tmp_path).version(number).manifest

    ledger = Ledger(newest_first())
    part = new.tables["samples"].parts[0]
    assert ledger.part("samples", part.key) == part
    assert read == [2]
    (dropped,) = {one.key for one in old.tables["samples"].parts[:3]} - {one.key for one in new.tables["samples"].parts}
    assert ledger.part("samples", dropped) is not None
    assert read == [2, 1]
    assert ledger.part("solutions", part.key) is None, "a key belongs to one table"
    assert ledger.part("samples", "unknown") is None
    assert ledger.model(old.models["prm"].key) == old.models["prm"]
    assert ledger.model("unknown") is None
