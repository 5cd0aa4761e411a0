"""Importing: one version per import, every record accounted for, wrong files named, and a build that goes on from there."""

import gzip
import json
from pathlib import Path

import pytest

from fullstep_data.check import check
from fullstep_data.formats import FORMATS
from fullstep_data.formats.group import NoOptions
from fullstep_data.formats.importing import import_files, imported_tables, options_of, parse_options
from fullstep_data.formats.math_shepherd import ReadOptions
from fullstep_data.pipeline import MONTE_CARLO, PIPELINE, stages_on_import
from fullstep_data.store import Store
from schemas import InputError
from tests.fullstep_data import small_chain
from tests.fullstep_data.formats.trips import golden, import_records, write

SHEPHERD = FORMATS["math-shepherd"]
ALL = tuple(FORMATS.values())


def test_the_same_import_is_the_same_version_and_another_is_the_next(tmp_path: Path):
    first, _ = import_records("math-shepherd", golden("math-shepherd"), tmp_path, prompt_label="drop")
    again, _ = import_records("math-shepherd", golden("math-shepherd"), tmp_path, prompt_label="drop")
    other, _ = import_records("math-shepherd", golden("math-shepherd")[:2], tmp_path)
    assert (first.number, again.number, other.number) == (1, 1, 2)
    assert first.manifest.recipe["format"] == "math-shepherd"
    assert first.manifest.recipe["options"] == {"prompt_label": "drop", "unnumbered": None}
    assert [file["name"] for file in first.manifest.recipe["files"]] == ["math-shepherd.jsonl"]
    assert str(tmp_path) not in first.manifest.content().decode()


def test_several_files_are_one_dataset(tmp_path: Path):
    rows = golden("math-shepherd")[:3]
    files = [write(tmp_path / f"{place}.jsonl", [row]) for place, row in enumerate(rows)]
    version, report = import_files(SHEPHERD, files, tmp_path / "dataset", {})
    assert report.rows_in == 3
    assert version.tables["solutions"].rows == 3
    assert sorted(version.frame("problems")["source_row"]) == ["1", "1"]


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path):
    faulty = {"input": "no tag", "label": "no tag"}
    paths = []
    for place, row in enumerate(golden("math-shepherd")[:3]):
        (tmp_path / f"part{place}" / "jsonl").mkdir(parents=True)
        paths.append(write(tmp_path / f"part{place}" / "jsonl" / "train.jsonl", [row, faulty]))
    other = write(tmp_path / "test.jsonl", golden("math-shepherd")[:1])
    version, _ = import_files(SHEPHERD, [*paths, other], tmp_path / "dataset", {})
    assert check(version, PIPELINE) == []
    assert sorted(version.frame("rejects")["key"]) == [f"part{place}/jsonl/train.jsonl:2" for place in range(3)]
    names = [file["name"] for file in version.manifest.recipe["files"]]
    assert names == [*(f"part{place}/jsonl/train.jsonl" for place in range(3)), "test.jsonl"]
    assert str(tmp_path) not in version.manifest.content().decode()


def test_a_file_named_twice_is_refused(tmp_path: Path):
    file, copy = (write(tmp_path / name, golden("math-shepherd")[:1]) for name in ("a.jsonl", "b.jsonl"))
    for second in (file, copy):
        with pytest.raises(InputError, match="named twice"):
            import_files(SHEPHERD, [file, second], tmp_path / "dataset", {})


def test_all_that_is_left_open_is_asked_at_once(tmp_path: Path):
    rows = golden("prmbench")
    rows = [rows[0] | {"error_steps": [99]}, rows[0] | {"classification": "circular"}]
    with pytest.raises(InputError, match="set the options beyond and redundant") as told:
        import_files(FORMATS["prmbench"], [write(tmp_path / "a.jsonl", rows)], tmp_path / "dataset", {})
    assert told.value.count == 2
    assert len(told.value.examples) == 2
    assert "--set beyond=VALUE, one of: ignore" in told.value.next_step
    assert "--set redundant=VALUE, one of: right" in told.value.next_step


def test_columns_that_nobody_reads_are_told(tmp_path: Path):
    rows = [{**row, "id": 1, "meta": {"a": 1}} for row in golden("math-shepherd")[:2]]
    rows += [golden("math-shepherd")[2] | {"id": 2}, {"id": 3, "input": "no tag", "label": "no tag"}]
    _, report = import_records("math-shepherd", rows, tmp_path)
    told = {line: count for line, count in report.decisions.items() if "column" in line}
    assert told == {"column id is not kept": 3, "column meta is not kept": 2}
    many = [{**golden("math-shepherd")[0], **{f"c{number}": 0 for number in range(25)}}]
    _, report = import_records("math-shepherd", many, tmp_path)
    assert report.decisions["5 more columns are not kept"] == 5


def test_rejects_name_file_row_and_reason(tmp_path: Path):
    rows = [*golden("math-shepherd")[:1], {"input": "no tag", "label": "no tag"}, {"input": 3}]
    version, report = import_records("math-shepherd", rows, tmp_path)
    assert report.rejected == {"input has no tag ки": 1, "input is not a text": 1}
    assert version.frame("rejects").sort("key").select("stage", "table", "key").rows() == [
        ("import", "source", "math-shepherd.jsonl:2"),
        ("import", "source", "math-shepherd.jsonl:3"),
    ]


def test_a_file_of_another_format_is_named(tmp_path: Path):
    file = write(tmp_path / "a.jsonl", golden("trl-stepwise"))
    with pytest.raises(InputError, match="it looks like trl-stepwise") as told:
        import_files(SHEPHERD, [file], tmp_path / "dataset", {}, formats=ALL)
    assert "fs-data import trl-stepwise" in told.value.next_step
    file = write(tmp_path / "c.jsonl", golden("openrlhf"))
    with pytest.raises(InputError, match="it looks like openrlhf") as told:
        import_files(SHEPHERD, [file], tmp_path / "dataset", {}, formats=ALL)
    assert "fs-data import" not in told.value.next_step, "it is only written"
    file = write(tmp_path / "b.jsonl", [{"what": "ever"}])
    with pytest.raises(InputError, match="none of the formats"):
        import_files(SHEPHERD, [file], tmp_path / "dataset", {}, formats=ALL)
    assert not (tmp_path / "dataset").exists()


def test_a_broken_file_leaves_nothing(tmp_path: Path):
    good = write(tmp_path / "good.jsonl", golden("math-shepherd")[:2])
    (tmp_path / "bad.jsonl.gz").write_bytes(gzip.compress(json.dumps(golden("math-shepherd")[0]).encode() * 9)[:-9])
    with pytest.raises(InputError, match="ends before its end mark"):
        import_files(SHEPHERD, [good, str(tmp_path / "bad.jsonl.gz")], tmp_path / "dataset", {})
    assert not (tmp_path / "dataset").exists()


def test_no_usable_record_is_an_error(tmp_path: Path):
    file = write(tmp_path / "a.jsonl", [{"input": "ки", "label": "+"}] * 3)
    with pytest.raises(InputError, match="no record could be imported") as told:
        import_files(SHEPHERD, [file], tmp_path / "dataset", {})
    assert told.value.count == 3
    assert "a.jsonl:1" in str(told.value.examples[0])


def test_options_are_checked():
    assert parse_options(ReadOptions, {"prompt_label": "drop"}, "here").prompt_label == "drop"
    with pytest.raises(InputError) as told:
        parse_options(ReadOptions, {"promptlabel": "drop"}, "here")
    assert "did you mean prompt_label?" in str(told.value)
    with pytest.raises(InputError, match="an option of the format is wrong"):
        parse_options(ReadOptions, {"prompt_label": "maybe"}, "here")
    assert dict(options_of(ReadOptions))["prompt_label"].endswith("'drop', 'reject'")
    assert list(options_of(NoOptions)) == []


def test_a_folder_with_other_tables_is_refused(tmp_path: Path):
    small_chain.build(tmp_path / "dataset")
    file = write(tmp_path / "a.jsonl", golden("math-shepherd")[:2])
    with pytest.raises(InputError, match="tables that a build has made"):
        import_files(SHEPHERD, [file], tmp_path / "dataset", {})
    assert imported_tables(Store.open(tmp_path / "dataset")) == {}


def test_a_build_goes_on_from_what_was_imported(tmp_path: Path):
    import_records("math-shepherd", golden("math-shepherd")[:3], tmp_path)
    imported = imported_tables(Store.open(tmp_path / "dataset"))
    assert list(imported) == ["problems", "solutions", "steps", "step_labels"]
    names = [stage.name for stage in stages_on_import(PIPELINE, imported)]
    assert names == ["prm", "step_scores", "pairs", "step_pairs"]
    bare = {"problems", "solutions", "steps"}
    assert [stage.name for stage in stages_on_import(PIPELINE, bare)] == ["step_labels", *names]
    assert [stage.name for stage in stages_on_import(PIPELINE, {*imported, "step_scores"})] == ["pairs", "step_pairs"]
    everything = {*imported, "step_scores", "pairs", "step_pairs"}
    assert stages_on_import(PIPELINE, everything) == ()
    assert stages_on_import(PIPELINE, {}) == PIPELINE
    by_rollouts = tuple(stage for stage in PIPELINE if stage.name != "step_labels") + MONTE_CARLO
    with pytest.raises(InputError, match="no step labels were imported"):
        stages_on_import(by_rollouts, bare)
