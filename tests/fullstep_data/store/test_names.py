"""What users call versions."""

from pathlib import Path

import pytest

from fullstep_data.store.names import parse_spec, resolve
from schemas import InputError

MADE = {1: "2026-11-20T08:00:00+00:00", 2: None, 3: "2026-11-22T23:59:59+00:00", 4: "2026-11-24T00:00:00+00:00"}


def number(spec: str, made: dict[int, str | None] = MADE) -> int:
    return resolve(spec, sorted(made), {"v1": 1, "best": 3}, made.get, Path("data"))


def test_spec_is_folder_and_version(tmp_path: Path) -> None:
    assert parse_spec("data") == (Path("data"), None)
    assert parse_spec("data@7") == (Path("data"), "7")
    assert parse_spec("a/b@v1") == (Path("a/b"), "v1")
    assert parse_spec("me@home/data@2026-11-22") == (Path("me@home/data"), "2026-11-22")
    folder = tmp_path / "a@b"
    folder.mkdir()
    assert parse_spec(str(folder)) == (folder, None)
    assert parse_spec(f"{folder}@3") == (folder, "3")


def test_numbers_and_tags() -> None:
    assert [number(spec) for spec in ("4", "000002", "v1", "best")] == [4, 2, 1, 3]


def test_a_day_is_the_newest_version_made_on_it_or_before() -> None:
    days = {"2026-11-20": 1, "2026-11-21": 1, "2026-11-22": 3, "2026-11-23": 3, "2026-11-24": 4, "2027-01-01": 4}
    assert {day: number(day) for day in days} == days


def test_a_day_before_the_first_version_names_the_first() -> None:
    with pytest.raises(InputError, match="no version from 2026-11-19 or before") as caught:
        number("2026-11-19")
    assert caught.value.examples == ["its first version is of 2026-11-20T08:00:00+00:00"]


def test_days_need_the_records_of_runs() -> None:
    with pytest.raises(InputError) as caught:
        number("2026-11-22", {1: None})
    assert "by its number" in caught.value.next_step


@pytest.mark.parametrize(("spec", "near"), [("9", ["@4", "@3", "@2"]), ("bets", ["@best (version 3)", "@v1 (version 1)"])])
def test_what_is_not_there_names_what_is_near(spec: str, near: list[str]) -> None:
    with pytest.raises(InputError, match="has no version") as caught:
        number(spec)
    assert caught.value.examples == near
    assert caught.value.next_step == "it has versions 1 to 4 and tags v1, best"


def test_one_tag_is_one() -> None:
    with pytest.raises(InputError) as caught:
        resolve("x", (1,), {"v1": 1}, lambda _: None, Path("data"))
    assert caught.value.next_step == "it has version 1 and tag v1"


def test_versions_that_were_given_up_are_not_told_of() -> None:
    told = {"4": "versions 1 to 3, 5", "7": "versions 1 to 3, 5", "x": "versions 1 to 3, 5"}
    for spec, versions in told.items():
        with pytest.raises(InputError) as caught:
            resolve(spec, [1, 2, 3, 5], {}, MADE.get, Path("data"))
        assert caught.value.next_step == f"it has {versions}"


def test_a_day_that_is_none_is_named() -> None:
    with pytest.raises(InputError, match="no such day"):
        number("2026-02-30")
