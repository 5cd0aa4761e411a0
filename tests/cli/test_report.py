from pathlib import Path

import pytest

from cli.data import main
from fullstep_data.report.page import PROBLEMS
from tests.cli.commands import done, invoke
from tests.fullstep_data.report.reading import Reading


def test_the_command_writes_the_page_and_says_where(place: Path):
    said = done("fs-data report out/tiny -o tiny.html --problems 5", place).stdout
    assert said.startswith("tiny.html: ")
    read = Reading((place / "tiny.html").read_text(encoding="utf-8"))
    assert read.all("h1")[0].text == "tiny"
    assert len(read.data["problems"]) == 5


def test_two_versions_and_the_order_of_them(place: Path):
    done("fs-data build tiny --out out/tiny --set pairs.top=1", place)
    done("fs-data report out/tiny@1 out/tiny -o new.html", place)
    done("fs-data report out/tiny out/tiny@1 -o old.html", place)
    new, old = (Reading((place / f"{name}.html").read_text(encoding="utf-8")).text for name in ("new", "old"))
    assert "pairs.top: 3 → 1" in new
    assert "pairs.top: 1 → 3" in old


def test_a_run_shows_its_answers(place: Path):
    done("fs-data report out/tiny-run -o run.html", place)
    text = Reading((place / "run.html").read_text(encoding="utf-8")).text
    assert "Answers to held-out problems" in text
    assert "There is no table pairs in this version" in text


def test_as_many_problems_as_the_library_says():
    (option,) = [one for one in main.commands["report"].params if one.name == "problems"]
    assert option.default == PROBLEMS


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("fs-data report nowhere -o r.html", "no such folder"),
        ("fs-data report out/tiny@7 -o r.html", "7"),
        ("fs-data report out/tiny -o nowhere/r.html", "mkdir -p 'nowhere'"),
        ("fs-data report out/tiny -o out/tiny/versions/000001.json", "a report is an HTML file"),
        ("fs-data report out/tiny out/tiny out/tiny -o r.html", "compares two"),
        ("fs-data report out/tiny", "--out"),
        ("fs-data report -o r.html", "DIR[@VERSION]"),
    ],
)
def test_mistakes_are_told_and_leave_nothing(place: Path, line: str, what: str):
    before = sorted(place.rglob("*"))
    result = invoke(line, place)
    assert result.exit_code == 2
    assert what in result.stderr
    assert sorted(place.rglob("*")) == before
