"""Tags of a dataset, tags/NAME: names for versions. The file holds the number of the version; a tag never moves.

add_tag(folder, "v1", 7)
read_tags(folder)           # {"v1": 7}
remove_tag(folder, "v1")    # 7
"""

import re
from pathlib import Path

from fullstep_data.store.storage import shown, storage_of
from schemas import InputError

_TAG = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*")


def read_tags(folder: Path) -> dict[str, int]:
    """Version number by tag. InputError: the file of a tag was altered."""
    found = sorted(name for name in storage_of(folder).names(folder / "tags") if _TAG.fullmatch(name))
    return {name: _number(folder / "tags" / name) for name in found}


def add_tag(folder: Path, name: str, number: int) -> None:
    """Name a version, which must be there. InputError: not a name, or it names another version already."""
    if not _TAG.fullmatch(name):
        raise InputError(
            what=f"{name!r} cannot be a tag",
            next_step="start with a letter, go on with letters, digits, dots, dashes and underscores",
        )
    path = folder / "tags" / name
    try:
        storage_of(path).create(path, f"{number}\n".encode("ascii"))
    except FileExistsError:
        named = _number(path)
        if named != number:
            raise InputError(
                what=f"tag {name} names version {named} already",
                where=shown(folder),
                next_step="choose another tag: a tag never moves",
            ) from None


def remove_tag(folder: Path, name: str) -> int:
    """Take a tag away; the version that it named stays. InputError: there is no such tag."""
    tags = read_tags(folder)
    if name not in tags:
        raise InputError(
            what=f"the dataset has no tag {name!r}",
            where=shown(folder),
            next_step=f"it has {', '.join(tags)}" if tags else "it has no tags",
        )
    storage_of(folder).remove(folder / "tags" / name)
    return tags[name]


def _number(path: Path) -> int:
    """The version that a tag names. InputError: its file was altered."""
    content = storage_of(path).read(path).strip()
    if not content.isdigit():
        raise InputError(
            what="the file of a tag is damaged: it holds no version number",
            where=shown(path),
            examples=[repr(content[:40])],
            next_step="delete the file and tag the version again",
        )
    return int(content)
