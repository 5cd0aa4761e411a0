"""Twenty problems through every stage give the rows that they have always given."""

import json
from pathlib import Path

from fullstep_data.check import check
from fullstep_data.pipeline import PIPELINE
from tests.golden.twenty import GOLDEN, build, summary


def test_the_golden_build_has_not_changed(tmp_path: Path) -> None:
    version = build(tmp_path / "data")
    made = json.loads(json.dumps(summary(version)))
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert {name: table["rows"] for name, table in made.items()} == {name: table["rows"] for name, table in golden.items()}
    for name, table in golden.items():
        assert made[name]["first"] == table["first"], f"{name}: raise its stage's revision, then `python -m tests.golden.twenty`"
        assert made[name]["sha256"] == table["sha256"], f"{name}: rows beyond the first two differ"


def test_the_golden_build_is_whole_and_worth_looking_at(tmp_path: Path) -> None:
    """It has mixed problems, a pair, a cut solution and one without an answer; and every key is accounted for."""
    version = build(tmp_path / "data")
    assert check(version, [stage for stage in PIPELINE if stage.name != "prm"]) == []
    solutions = version.frame("solutions")
    assert set(solutions["correct"]) == {True, False}
    assert "length" in set(solutions["finish_reason"])
    assert "none" in set(solutions["answer_source"])
    assert version.frame("pairs").height > 0
    assert {"no correct solution", "duplicate text"} <= set(version.frame("rejects")["reason"])
