"""`check` finds every kind of damage, and nothing in a dataset that is whole."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from fullstep_data.check import Finding, check
from fullstep_data.query import sql
from fullstep_data.runner import QuietReporter, run
from fullstep_data.stage import Context, Outcome
from fullstep_data.store import Store, Version
from fullstep_data.store.manifest import Manifest
from tests.fullstep_data.small_chain import STAGES, Generator, Recipe, Scorer, build, solutions, steps


def _edit_manifest(version: Version, edit: Callable[[Any], None]) -> Version:
    """Change the manifest as a plain JSON document, and seal it anew."""
    path = Store.open(version.path).manifest_path(version.number)
    data = json.loads(path.read_text(encoding="utf-8"))
    del data["sha256"]
    edit(data)
    path.write_bytes(Manifest.model_validate(data).content())
    return Store.open(version.path).version(version.number)


def _one(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, "\n".join(map(str, findings))
    return findings[0]


def test_a_whole_dataset_has_no_findings(built: Path) -> None:
    assert check(Store.open(built).version(), STAGES) == []


@pytest.mark.parametrize("table", ["samples", "pairs", "rejects"])
@pytest.mark.parametrize("damage", ["delete", "truncate", "alter"])
def test_damaged_files_are_named_with_what_was_expected(dataset: Version, table: str, damage: str) -> None:
    path = dataset.files(table)[0]
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(content if damage == "alter" else content[:-1])
    finding = _one(check(dataset, STAGES))
    assert (finding.where, finding.count) == (f"table {table}", 1)
    assert ("missing" if damage == "delete" else "truncated or altered") in finding.what
    assert str(path) in finding.examples[0]
    assert {"delete": "", "truncate": "bytes, found", "alter": "sha256"}[damage] in finding.examples[0]


def test_the_same_damage_in_many_files_is_one_finding_with_five_examples(dataset: Version) -> None:
    for path in dataset.files("samples"):
        path.unlink()
    finding = _one(check(dataset, STAGES))
    assert (finding.count, len(finding.examples)) == (6, 5)


def test_a_damaged_model_is_found(dataset: Version) -> None:
    (dataset.model("prm") / "mean.txt").write_text("0.999999")
    finding = _one(check(dataset))
    assert finding.where == "model prm"
    (dataset.model("prm") / "mean.txt").unlink()
    assert "missing" in _one(check(dataset)).what


def test_an_older_contract_is_named_and_its_rows_are_left_alone(dataset: Version) -> None:
    def age(data: Any) -> None:
        data["tables"]["steps"]["contract"] = {"version": 0, "fingerprint": "old"}
        data["rejects"] = {"version": 9, "fingerprint": "new"}

    findings = {finding.where: finding for finding in check(_edit_manifest(dataset, age), STAGES)}
    assert set(findings) == {"steps", "rejects"}
    assert "an older contract than this fullstep's: version 0 (old), here version 1" in findings["steps"].what
    assert "newer contract" in findings["rejects"].what


def test_a_wrong_number_of_rows_in_the_manifest_is_found(dataset: Version) -> None:
    def miscount(data: Any) -> None:
        data["tables"]["steps"]["stages"][0]["parts"][0]["rows"] += 1
        data["tables"]["steps"]["stages"][0]["counts"]["kept"] += 1

    assert "number of rows" in _one(check(_edit_manifest(dataset, miscount))).what


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        (("recipe",), "samples", 5),
        (("tables", "steps", "stages", 0), "revision", 9),
        (("tables", "steps", "stages", 0), "config", {"words": 1}),
        (("tables", "steps", "stages", 0, "counts"), "in", 1),
        (("tables", "steps", "stages", 0, "parts", 0), "parents", []),
        (("models",), "prm", None),
        ((), "sha256", "0" * 64),
    ],
)
def test_a_manifest_that_was_edited_by_hand_is_found(dataset: Version, place: tuple[Any, ...], key: str, value: Any) -> None:
    path = Store.open(dataset.path).manifest_path(1)
    data = json.loads(path.read_text(encoding="utf-8"))
    inside = data
    for step in place:
        inside = inside[step]
    if value is None:
        del inside[key]
    else:
        inside[key] = value
    path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    finding = _one(check(Store.open(dataset.path).version(), STAGES))
    assert finding.what.startswith("the manifest was altered")
    assert finding.examples == (str(path),)


def test_a_file_that_crept_into_a_model_is_found(dataset: Version) -> None:
    (dataset.model("prm") / "layers" / "adapter_config.json").write_text("{}")
    finding = _one(check(dataset))
    assert (finding.where, finding.count) == ("model prm", 1)
    assert finding.what.startswith("files that the build did not write")


def test_a_tag_of_no_version_is_found(dataset: Version) -> None:
    Store.open(dataset.path).tag("v1", 1)
    (dataset.path / "tags" / "v2").write_text("2\n")
    assert _one(check(dataset)).examples == ("v2: version 2",)


def test_counts_that_do_not_add_up_are_found(dataset: Version) -> None:
    def miscount(data: Any) -> None:
        data["tables"]["solutions"]["stages"][0]["counts"]["kept"] += 1
        data["tables"]["pairs"]["stages"][0]["counts"]["rejected"] = {}

    findings = check(_edit_manifest(dataset, miscount), STAGES)
    assert [finding.where for finding in findings] == ["table solutions, stage solutions", "table pairs, stage pairs"]
    assert all("counts are not those of its parts" in finding.what for finding in findings)


def test_a_part_that_was_taken_out_of_the_manifest_is_missed(dataset: Version) -> None:
    def forget(data: Any) -> None:
        stage = data["tables"]["steps"]["stages"][0]
        stage["counts"]["kept"] -= stage["parts"].pop()["rows"]

    findings = check(_edit_manifest(dataset, forget), STAGES)
    assert {"stage steps", "table step_labels", "views.sql"} <= {finding.where for finding in findings}


def test_views_that_are_not_those_of_the_latest_version_are_found(dataset: Version) -> None:
    views = dataset.path / "views.sql"
    views.write_bytes(views.read_bytes().replace(b"CREATE", b"create", 1))
    assert _one(check(dataset)).where == "views.sql"
    views.unlink()
    assert _one(check(dataset)).where == "views.sql"
    build(dataset.path, Recipe(samples=6))
    assert check(dataset) == []  # views.sql speaks of version 2 now


def test_a_folder_whose_name_is_a_pattern_is_checked_like_any_other(built: Path, tmp_path: Path) -> None:
    for name in ("a[1]", "b*", "c?", "d'e", "f g#h"):
        version = Store.open(shutil.copytree(built, tmp_path / name)).version()
        assert check(version, STAGES) == []
        assert sql(version, "SELECT count(*) AS n FROM pairs").item() == 7


def _rebuilt(folder: Path, monkeypatch: pytest.MonkeyPatch, **changed: Callable[..., Outcome]) -> Version:
    """A dataset whose stages broke their promises, up to `steps`: built with the runner's own checks switched off."""
    monkeypatch.setattr("fullstep_data.workers.part.require_accounted", lambda *_, **__: None)
    monkeypatch.setattr("fullstep_data.workers.part.checked", lambda stage, outcome, where: outcome)
    stages = [replace(stage, run=changed[stage.name], revision=2) if stage.name in changed else stage for stage in STAGES[:4]]
    tools = {"generator": Generator(), "scorer": Scorer()}
    return run(stages, Recipe(), Store.create(folder), tools, QuietReporter())


def test_rows_that_break_a_rule_are_counted_over_all_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(given: pl.DataFrame, context: Context) -> Outcome:
        return Outcome(steps(given, context).rows.with_columns(stop=pl.col("start")))

    findings = check(_rebuilt(tmp_path, monkeypatch, steps=wrong), STAGES)
    assert {finding.what for finding in findings} == {
        "rows break the rule: the span is not empty",
        "rows break the rule: the text is as long as the span",
    }
    assert {(finding.where, finding.count, len(finding.examples)) for finding in findings} == {("table steps", 56, 5)}


def test_orphans_and_lost_rows_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[str] = []

    def losing(given: pl.DataFrame, answers: pl.DataFrame, context: Context) -> Outcome:
        good = solutions(given, answers, context)
        lost.extend("/".join(map(str, row)) for row in good.rows[:1].select("problem_id", "sample_index").rows())
        return Outcome(good.rows[1:], good.rejects)

    def inventing(given: pl.DataFrame, context: Context) -> Outcome:
        rows = steps(given, context).rows
        return Outcome(pl.concat([rows, rows[:1].with_columns(solution_id=pl.lit("nobody"))]))

    findings = {finding.where: finding for finding in check(_rebuilt(tmp_path, monkeypatch, solutions=losing), STAGES)}
    assert set(findings) == {"stage solutions"}
    assert findings["stage solutions"].count == len(lost) == 6
    assert set(findings["stage solutions"].examples) < set(lost)

    version = _rebuilt(tmp_path / "two", monkeypatch, steps=inventing)
    orphans = [finding for finding in check(version) if "leads to no row" in finding.what]
    assert [(finding.where, finding.what) for finding in orphans] == [
        ("table steps", "(solution_id) leads to no row of solutions")
    ]
    assert orphans[0].examples == ("nobody/0",) * 5


def test_a_key_in_two_parts_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def repeating(given: pl.DataFrame, context: Context) -> Outcome:
        rows = steps(given, context).rows
        return Outcome(pl.concat([rows, rows[:1].with_columns(solution_id=pl.lit("everywhere"))]))

    version = _rebuilt(tmp_path, monkeypatch, steps=repeating)
    doubled = [finding for finding in check(version) if "several parts" in finding.what]
    assert [(finding.where, finding.count, finding.examples) for finding in doubled] == [
        ("table steps", 1, ("everywhere/0",)),
    ]


def test_a_version_that_builds_on_another_is_checked_without_it(dataset: Version, tmp_path: Path) -> None:
    store = Store.create(tmp_path / "run")
    scores = run((STAGES[6],), Recipe(), store, {"scorer": Scorer()}, QuietReporter(), upstream=dataset)
    assert list(scores.tables) == ["step_scores", "rejects"]
    assert check(scores, STAGES) == []


def test_findings_read_like_errors() -> None:
    text = str(Finding("file is missing", "table steps", 7, ("a", "b")))
    assert text == "file is missing\n  where: table steps\n  count: 7\n  example: a\n  example: b"
