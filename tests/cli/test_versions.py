from datetime import date
from pathlib import Path

import pytest

from tests.cli.commands import done, invoke


def test_a_tag_names_a_version_in_every_command_that_reads_one(place: Path):
    assert done("fs-data tag out/tiny", place).stdout.startswith("no tags")
    assert done("fs-data tag out/tiny@1 v1", place).stdout == "out/tiny@v1 is version 1\n"
    assert done("fs-data tag out/tiny", place).stdout == "v1  version 1\n"
    assert "version 1" in done("fs-data show out/tiny@v1", place).stdout
    assert "version 1, v1" in done("fs-data log out/tiny", place).stdout
    assert done("fs-data check out/tiny@v1", place).stdout.startswith("ok")
    assert done("fs-data sql out/tiny@v1 'SELECT 1 AS one' --format csv", place).stdout == "one\n1\n"
    assert done("fs-train run tiny --data out/tiny@v1 --out out/again", place).exit_code == 0
    assert done("fs-data tag out/tiny v1 --delete", place).stdout == "out/tiny: version 1 is no longer called v1\n"
    assert invoke("fs-data show out/tiny@v1", place).exit_code == 2


def test_a_day_names_the_newest_version_that_was_there(place: Path):
    assert "version 1" in done(f"fs-data show out/tiny@{date.today().isoformat()}", place).stdout
    assert "version 1" in done("fs-data show out/tiny@2999-12-31", place).stdout


@pytest.mark.parametrize(
    ("line", "fragment"),
    [
        ("fs-data tag out/tiny 7up", "cannot be a tag"),
        ("fs-data tag out/tiny@9 v9", "no version '9'"),
        ("fs-data tag out/tiny v1 --delete", "no tag 'v1'"),
        ("fs-data tag out/tiny@1", "leave the version out"),
        ("fs-data show out/tiny@2020-01-01", "no version from 2020-01-01 or before"),
        ("fs-data show out/tiny@2020-13-01", "no such day"),
    ],
)
def test_mistakes_are_told(built: Path, line: str, fragment: str):
    result = invoke(line, built)
    assert result.exit_code == 2
    assert fragment in result.stderr
    assert "\n  next: " in result.stderr
    assert not list((built / "out/tiny").glob("tags/*"))


def test_gc_tells_first_and_removes_only_when_told_to(place: Path):
    done("fs-data build tiny --out out/tiny --set samples.samples=4", place)
    told = done("fs-data gc out/tiny --keep 1 --older-than 0", place).stdout
    assert "Would be removed" in told
    assert "version 1" in told
    rows = [line.split() for line in told.splitlines() if line.startswith("  ")]
    files = {name: (int(count), int(size.replace(",", ""))) for name, count, size in rows[3:]}
    assert files["all"] == tuple(map(sum, zip(*(counts for name, counts in files.items() if name != "all"), strict=True)))
    assert files["pairs"][0] > 0
    assert "nothing was removed" in told
    assert len(list((place / "out/tiny/versions").iterdir())) == 2
    assert "spared for being younger than 24 hours" in done("fs-data gc out/tiny --keep 1", place).stdout
    assert "Removed" in done("fs-data gc out/tiny --keep 1 --older-than 0 --delete", place).stdout
    assert [path.name for path in (place / "out/tiny/versions").iterdir()] == ["000002.json"]
    assert done("fs-data check out/tiny", place).stdout.startswith("ok")
    assert "a version needs every file" in done("fs-data gc out/tiny", place).stdout
    done("fs-train run tiny --data out/tiny --out out/after", place)


def test_compact_then_gc_then_a_build_go_together(place: Path):
    told = done("fs-data compact out/tiny", place).stdout
    assert "version 2 has the rows of version 1 in" in told
    assert "nothing to merge" in done("fs-data compact out/tiny", place).stdout
    done("fs-data gc out/tiny --keep 1 --older-than 0 --delete", place)
    assert done("fs-data check out/tiny", place).stdout.startswith("ok")
    assert "110" in done("fs-data show out/tiny", place).stdout
    done("fs-data build tiny --out out/tiny", place)
    assert [path.name for path in (place / "out/tiny/versions").glob("*.json")] == ["000002.json"]
