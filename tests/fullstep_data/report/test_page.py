import base64
import hashlib
import json
import re
import sys
from pathlib import Path

import pytest

from fullstep_data.report import page as module
from fullstep_data.report.page import TEMPLATES, in_script, page, require_place, write
from fullstep_data.report.words import FIGURES
from fullstep_data.store import Store, Version
from schemas import InputError
from tests.fullstep_data.formats.trips import golden, import_records
from tests.fullstep_data.report.conftest import PROGRAM
from tests.fullstep_data.report.reading import Reading
from tests.fullstep_data.report.sums import build, questions


@pytest.fixture(scope="module")
def read(version: Version) -> Reading:
    return Reading(page(version))


def test_it_says_what_the_dataset_is(read: Reading, version: Version):
    assert read.all("h1")[0].text == "data"
    for part in ("version 1", "recipe sums", f"{version.tables['pairs'].rows:,} pairs", "duplicate text"):
        assert part in read.text
    flow = [element.text for element in read.elements if element.attributes.get("class") == "table"]
    assert flow[:4] == ["problems", "samples", "solutions", "steps"]
    assert flow == [name for name in version.tables if name != "rejects"]


def test_every_chart_has_its_place_its_specification_and_its_numbers(read: Reading):
    places = [element.attributes["data-chart"] for element in read.elements if "data-chart" in element.attributes]
    assert set(places) == set(read.data["charts"]) == {figure.name for figure in FIGURES} - {"rewards_changed", "drift"}
    assert all(read.data["charts"][name] for name in places)
    assert read.text.count("Numbers") == len(places)


def test_problems_and_their_solutions_are_all_there(read: Reading, version: Version):
    data = read.data
    assert {row["question"] for row in data["problems"]} == set(version.frame("problems")["question"])
    assert sum(len(one["solutions"]) for one in read.details) == version.tables["solutions"].rows
    steps = sum(len(solution["steps"]) for one in read.details for solution in one["solutions"])
    assert steps == version.tables["steps"].rows
    assert sum(len(one["pairs"]) for one in read.details) == version.tables["pairs"].rows
    assert "All 31 problems." in read.text


def test_a_recipe_may_be_of_an_import(tmp_path: Path):
    """It names a format, and no model; nothing of it was scored."""
    made, _ = import_records("math-shepherd", golden("math-shepherd"), tmp_path, prompt_label="drop")
    read = Reading(page(made))
    assert "recipe import math-shepherd" in read.text
    assert "There is no table step_scores in this version" in read.text
    labels = {step[2] for one in read.details for solution in one["solutions"] for step in solution["steps"]}
    assert labels == {"label 0", "label 1"}


def test_a_sample_says_that_it_is_one(version: Version):
    read = Reading(page(version, problems=7))
    assert len(read.data["problems"]) == len(read.details) == 7
    assert "a sample on purpose: 7 of 31 problems" in read.text
    # The charts still count all: 31 problems less those held out were sampled.
    rows = next(iter(read.data["charts"]["right_share"]["datasets"].values()))
    assert sum(row["problems"] for row in rows) == version.frame("solutions")["problem_id"].n_unique()


def test_texts_of_the_data_cannot_act(read: Reading, versions: tuple[Version, Version]):
    """The question closes the script and opens one of its own: as an element it must not be there, as text it must."""
    compared = Reading(page(versions[1], versions[0]))
    for one in (read, compared):
        assert PROGRAM in {row["question"] for row in one.data["problems"]}
        assert "hacked" not in "".join(element.text for element in one.all("script")[2:])
        assert one.all("img") == []
        assert len(one.all("script")) == 4  # data, details, Vega, ours


def test_names_and_recipes_cannot_act(tmp_path: Path):
    made = build(tmp_path / "<b>bold<script>x", questions(4))
    read = Reading(page(made))
    assert read.all("b") != []  # the numbers of the flow
    assert len(read.all("script")) == 4
    assert "<b>bold<script>x" in read.text


def test_the_policy_runs_two_scripts_and_lets_nothing_out(read: Reading):
    (policy,) = [one.attributes["content"] for one in read.all("meta") if "http-equiv" in one.attributes]
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    run = [one for one in read.all("script") if "type" not in one.attributes]
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(one.text.encode()).digest()).decode()}'" for one in run]
    assert rules["script-src"].split() == hashes
    for element in read.elements:
        for attribute in ("src", "href", "action", "srcset"):
            assert (element.attributes.get(attribute) or "#").startswith("#"), element
        assert not any(name.startswith("on") for name in element.attributes)


def test_our_script_never_writes_markup():
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    assert (
        re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|fetch\(|https?:", script) == []
    )


def test_data_in_a_script_has_no_way_out_of_it():
    hostile = {"a": "</script><!--<script>&amp;\u2028"}
    text = in_script(hostile)
    assert not set("<>&") & set(text)
    assert json.loads(text) == hostile


def test_the_same_version_gives_the_same_bytes(version: Version):
    assert page(version) == page(version)


def test_two_versions_are_compared(versions: tuple[Version, Version]):
    before, after = versions
    read = Reading(page(after, before))
    assert "compared with version 1" in read.text
    assert "pairs.top: 2 → 1" in read.text
    assert read.data["charts"]["drift"] is not None
    fates = {row["fate"] for row in read.data["problems"]}
    assert "fewer" in fates
    assert fates <= {"gained", "lost", "more", "fewer", "same", "none"}
    assert "that gained pairs" in read.text


@pytest.mark.parametrize(
    ("stages", "lacking"),
    [(1, ("solutions", "steps", "step_labels", "step_scores", "pairs")), (5, ("step_scores", "pairs")), (7, ("pairs",))],
)
def test_a_dataset_half_built_gives_a_report_that_says_so(tmp_path: Path, stages: int, lacking: tuple[str, ...]):
    read = Reading(page(build(tmp_path / "data", questions(4), stages=stages)))
    said = re.findall(r"There is no table (\w+) in this version", read.text)
    assert tuple(said) == lacking
    assert len(read.data["problems"]) == 4
    if "step_scores" in lacking:
        assert "Nothing to draw: it needs rows of step_scores." in read.text


def test_tables_without_rows_are_said_too(tmp_path: Path):
    """Nothing is sampled when every problem is held out, so all later tables are there, and empty."""
    read = Reading(page(build(tmp_path / "data", questions(4), held_out=0.999)))
    assert "The table solutions has no rows" in read.text
    assert set(read.data["charts"].values()) == {None}


def test_a_run_has_predictions_alone(version: Version):
    """A dataset that fs-train wrote: its manifest has the one table."""
    manifest = version.manifest.model_copy(update={"tables": {}})
    read = Reading(page(Version(version.path, manifest)))
    assert "There is no table problems in this version: there is nothing to leaf through." in read.text
    assert read.data["problems"] == []
    assert not [element for element in read.elements if element.attributes.get("id") == "filters"]


def test_a_damaged_part_is_one_clear_error(tmp_path: Path):
    made = build(tmp_path / "data", questions(4))
    made.files("pairs")[0].write_bytes(b"")
    with pytest.raises(InputError, match="truncated or altered"):
        page(Store.open(made.path).version())


def test_it_is_written_whole(tmp_path: Path):
    write("ä", tmp_path / "report.html")
    write("ö", tmp_path / "report.html")
    assert (tmp_path / "report.html").read_bytes() == "ö".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("data.parquet", "a report is an HTML file"),
        ("folder.html", "take the place of a folder"),
        ("no/such/report.html", "the folder for the report is not there"),
        ("file.txt/report.html", "the folder for the report is not there"),
    ],
)
def test_a_place_where_no_report_can_be(tmp_path: Path, place: str, what: str):
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file.txt").touch()
    with pytest.raises(InputError, match=what) as told:
        require_place(tmp_path / place)
    assert told.value.next_step


@pytest.mark.parametrize(("name", "package"), [("altair", "altair"), ("vl_convert", "vl-convert-python")])
def test_a_missing_package_is_named_with_its_extra(version: Version, monkeypatch: pytest.MonkeyPatch, name: str, package: str):
    module.vega.cache_clear()
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "fullstep_data.report.charts", raising=False)
    with pytest.raises(InputError, match=package) as told:
        page(version)
    assert told.value.next_step == 'pip install "fullstep[report]"'
