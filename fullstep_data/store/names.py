"""What a user may call a version: a number, a tag, or a day.

dataset@7              version 7
dataset@v1             the version that tag v1 names
dataset@2026-11-22     the newest version that was there at the end of that day (UTC)
dataset                the latest version
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from difflib import get_close_matches
from pathlib import Path

from fullstep_data.store import disk
from fullstep_data.store.storage import is_bucket, path_of, shown
from schemas import InputError

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_NEAR = 3


def parse_spec(text: str) -> tuple[Path, str | None]:
    """`dataset@7`, `dataset@v1` or `dataset`: the folder, and the version as typed. An existing path with an @ is a path; of an
    address in a bucket the path is its place in the cache.

    InputError: an address on the Hub, where a folder is wanted; another address that cannot be read.
    """
    if text.startswith("hf://"):
        raise InputError(
            "this is an address on the Hub, and a folder is wanted here",
            where=text,
            next_step=f"fetch it first: fs-data pull {text.removeprefix('hf://')} --out DIR "
            "(sql, show, stats and log of fs-data and `fs-train run` take hf:// as it is)",
        )
    folder, at, version = text.rpartition("@")
    if "://" in text:  # an @ before the last slash is none of a version
        return (path_of(folder), version) if at and "/" not in version and not folder.endswith("/") else (path_of(text), None)
    with disk.possible(Path(text)):
        if not at or not folder or Path(text).exists():
            return Path(text), None
    return Path(folder), version


def names_dataset(text: str) -> bool:
    """Is it a folder or an address in a bucket, with or without a version? (Whether a dataset is there, opening it tells.)"""
    return is_bucket(text) or parse_spec(text)[0].is_dir()


def resolve(spec: str, numbers: Sequence[int], tags: Mapping[str, int], created: Callable[[int], str | None], where: Path) -> int:
    """The number of the version that `spec` names. numbers: all there are, ascending, at least one. created: when a version
    was made, in ISO form, None where that is not known. InputError: there is no such version; it tells those near it.
    """
    if _DAY.fullmatch(spec):
        return _on_day(spec, numbers, created, where)
    number = tags.get(spec, int(spec) if spec.isdecimal() else -1)
    if number in numbers:
        return number
    if spec.isdecimal():
        near = [f"@{number}" for number in sorted(numbers, key=lambda number: abs(number - int(spec)))[:_NEAR]]
    else:
        near = [f"@{tag} (version {tags[tag]})" for tag in get_close_matches(spec, tags, n=_NEAR, cutoff=0.0)]
    named = f" and {'tag' if len(tags) == 1 else 'tags'} {', '.join(tags)}" if tags else ""
    raise InputError(
        what=f"the dataset has no version {spec!r}",
        where=shown(where),
        examples=near,
        next_step=f"it has {_listed(numbers)}{named}",
    )


def _listed(numbers: Sequence[int]) -> str:
    """`versions 1 to 4`, or `versions 1, 3 to 5` where `fs-data gc` has given some up."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    told = [f"{run[0]}" if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return f"version{'' if len(numbers) == 1 else 's'} {', '.join(told)}"


def _on_day(day: str, numbers: Sequence[int], created: Callable[[int], str | None], where: Path) -> int:
    """The newest version made on that day or before; versions whose time is not known are passed over."""
    try:
        date.fromisoformat(day)
    except ValueError as error:
        raise InputError(f"there is no such day: {error}", where=f"{shown(where)}@{day}", next_step="write YYYY-MM-DD") from error
    oldest: str | None = None
    for number in reversed(numbers):
        made = created(number)
        if made is not None and made[: len(day)] <= day:
            return number
        oldest = made or oldest
    raise InputError(
        what=f"the dataset has no version from {day} or before",
        where=shown(where),
        examples=[f"its first version is of {oldest}"] if oldest else [],
        next_step="name a later day, or a number: `fs-data log` lists the versions with their times"
        if oldest
        else "name a version by its number: the records of when versions were made (runs/) are gone",
    )
