from pathlib import Path

from fullstep_data.report.compare import compare
from fullstep_data.store import Version
from tests.fullstep_data.report.sums import build, questions


def test_what_changed_between_two_versions(versions: tuple[Version, Version]):
    before, after = versions
    changes = compare(before, after)
    assert (changes.before, changes.after) == ("version 1", "version 2")
    assert "pairs.top: 2 → 1" in changes.recipe
    rows = {row["table"]: row for row in changes.tables.to_dicts()}
    assert (rows["problems"]["before"], rows["problems"]["after"]) == (21, 18)
    assert (rows["problems"]["gone"], rows["problems"]["new"]) == (3, 0)
    # Another scorer: every key of step_scores is new, that is (solution, step, scorer).
    assert rows["step_scores"]["new"] == after.tables["step_scores"].rows
    assert rows["step_scores"]["gone"] == before.tables["step_scores"].rows


def test_drift_is_of_the_steps_that_both_have(versions: tuple[Version, Version]):
    before, after = versions
    drift = compare(before, after).drift
    assert drift["steps"].sum() == after.tables["step_scores"].rows
    # Every reward rose by .03, or as far as 1.
    assert drift["low"].min() >= 0
    assert drift["high"].max() < 0.035


def test_every_problem_has_one_fate(versions: tuple[Version, Version]):
    before, after = versions
    ids = sorted(before.frame("problems")["problem_id"])
    changes = compare(before, after, ids)
    assert sum(changes.pairs.values()) == len(ids)
    pairs = [version.frame("pairs")["problem_id"].to_list() for version in versions]
    for one in ids:
        was, now = (found.count(one) for found in pairs)
        lost = "lost" if was and not now else "fewer" if now < was else "same" if now else "none"
        assert changes.fates[one] == lost
    assert changes.pairs["fewer"] > 0
    assert compare(after, before).pairs["gained"] == changes.pairs.get("lost", 0)


def test_examples_are_the_problems_that_changed_most(versions: tuple[Version, Version]):
    examples = compare(*versions).examples
    assert 0 < examples.height <= 12
    assert all(row["pairs_before"] != row["pairs_after"] for row in examples.to_dicts())
    # Those that lost all pairs come first.
    lost = [row["pairs_after"] == 0 for row in examples.to_dicts()]
    assert lost == sorted(lost, reverse=True)


def test_a_version_is_not_other_than_itself(version: Version):
    changes = compare(version, version)
    assert changes.recipe == ()
    assert changes.tables["gone"].sum() == changes.tables["new"].sum() == 0
    assert changes.drift.select("low", "steps").rows() == [(0.0, version.tables["step_scores"].rows)]
    assert changes.examples.is_empty()


def test_versions_of_two_folders_and_one_without_scores(version: Version, tmp_path: Path):
    bare = build(tmp_path / "a folder's name" / "bare", questions(5), stages=4)
    changes = compare(bare, version)
    assert changes.before == f"{bare.path}@1"
    assert changes.drift.is_empty()
    rows = {row["table"]: row for row in changes.tables.to_dicts()}
    assert rows["pairs"]["before"] is None
    assert rows["pairs"]["new"] == version.tables["pairs"].rows
