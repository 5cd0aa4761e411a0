"""Rollouts that a dataset has are taken from there, through the store: which versions are asked, and when."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fullstep_data.engines.protocol import Completion, Failure, Request
from fullstep_data.engines.scripted import ScriptedGenerator
from fullstep_data.rollouts import KnownTool, rolled_before
from fullstep_data.stage import Tick, no_tick
from fullstep_data.store import Store, Version
from fullstep_data.store.storage import path_of
from schemas import InputError
from tests.fullstep_data.report.sums import build, questions


def test_a_build_takes_the_rollouts_of_an_earlier_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the store: N from 4 to 8 in one folder, against 8 in a folder of its own."""
    asked: list[int] = []
    generate = ScriptedGenerator.generate

    def counted(self: ScriptedGenerator, requests: Sequence[Request], tick: Tick = no_tick) -> list[Completion | Failure]:
        asked.append(len(requests))
        return generate(self, requests, tick)

    monkeypatch.setattr(ScriptedGenerator, "generate", counted)
    settings: dict[str, Any] = {"samples": 4, "stages": 6, "per_part": 3}

    def built(folder: str, n: int) -> tuple[Version, int]:
        asked.clear()
        labelling = {"step_labels": {"kind": "monte-carlo", "n": n, "policy": "full"}}
        return build(tmp_path / folder, questions(7), labelling=labelling, **settings), sum(asked)

    few, _ = built("one", 4)
    more, drawn = built("one", 8)
    whole, all_drawn = built("other", 8)
    count = few.tables["rollouts"].rows // 3
    assert drawn == 4 * count
    assert all_drawn == 7 * count + whole.tables["samples"].rows
    assert more.frame("rollouts").equals(whole.frame("rollouts"))
    assert [part.sha256 for part in more.tables["rollouts"].parts] == [part.sha256 for part in whole.tables["rollouts"].parts]
    file = more.files("rollouts")[0]
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(InputError, match="truncated or altered"):
        built("one", 16)


def test_a_build_knows_the_rollouts_of_all_versions(tmp_path: Path) -> None:
    """Also of those before one that had other labels; what was deleted is not known, and no fault."""
    store = Store.create(tmp_path)
    assert rolled_before(store) == ()
    known: list[int] = []
    for labels in ({"kind": "monte-carlo", "n": 2}, {"kind": "monte-carlo", "n": 4}, {"kind": "outcome"}):
        build(tmp_path, questions(3), labelling={"step_labels": labels}, stages=6 if "n" in labels else 5)
        known.append(len(rolled_before(store)))
    assert known == [1, 2, 2]
    found = rolled_before(store)
    assert list(found) == [store.version(number).table("rollouts").stored[0] for number in (1, 2)]
    found[0].path.unlink()
    assert rolled_before(store) == found[1:]


def test_versions_are_opened_for_their_rollouts_only_where_rollouts_are_to_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr("fullstep_data.rollouts.rolled_before", lambda store: asked.append(store.path) or ())
    for n in (2, 2, 4):
        build(tmp_path, questions(3), labelling={"step_labels": {"kind": "monte-carlo", "n": n}}, stages=6)
    assert asked == [tmp_path, tmp_path], "the first time and for more of them; not where all are there"


def test_rollouts_in_a_bucket_are_known_to_a_machine_that_has_never_read_them(address: str, tmp_path: Path) -> None:
    labelling = {"step_labels": {"kind": "monte-carlo", "n": 2}}
    version = build(path_of(address), questions(3), labelling=labelling, stages=6)
    shutil.rmtree(tmp_path / "cache")
    known = KnownTool(version.path).open({})
    rows = version.frame("rollouts")
    assert rows.height > 0
    shutil.rmtree(tmp_path / "cache")
    assert known.of(version.frame("problems")["problem_id"].to_list()).equals(rows)
