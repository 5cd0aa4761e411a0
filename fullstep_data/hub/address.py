"""What a user types for a dataset on the Hub: `user/name`, `user/name@v1`, or either with `hf://` or `hf://datasets/` before it.

parse("hf://ann/sums@v1")  ->  Address("ann/sums", "v1")
"""

import re
from dataclasses import dataclass

from schemas import InputError

SCHEME = "hf://"
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_TAG = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*")
_MOST = 96


@dataclass(frozen=True)
class Address:
    """repo: owner/name. revision: a tag, a branch or a commit; None: the latest."""

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision}" if self.revision else self.repo


def is_address(text: str) -> bool:
    """Does the user mean the Hub and not a folder?"""
    return text.startswith(SCHEME)


def parse(text: str) -> Address:
    """The repository and the revision. InputError: it is neither owner/name nor owner/name@revision."""
    bare = text.removeprefix(SCHEME).removeprefix("datasets/")
    name, at, revision = bare.partition("@")
    if (at and not revision) or "@" in revision:
        raise InputError("the revision after the @ is missing or holds an @", where=text, next_step="as owner/name@v1")
    return Address(repo_id(name), revision or None)


def repo_id(text: str) -> str:
    """`owner/name`, as the Hub allows names."""
    name = text.partition("/")[2]
    if (
        not _REPO.fullmatch(text)
        or len(text) > _MOST
        or "--" in text
        or ".." in text
        or name.endswith((".git", ".ipynb", "-", "."))
    ):
        raise InputError(
            what="this is no name of a repository on the Hub",
            where=text,
            next_step=f"as owner/name: letters, digits, - _ . (no -- or ..), at most {_MOST} characters",
        )
    return text


def tag_name(text: str) -> str:
    """A tag that the Hub and a dataset folder both take."""
    if not _TAG.fullmatch(text) or ".." in text or text.endswith((".", ".lock")) or text in ("main", "HEAD"):
        raise InputError(
            what=f"{text!r} cannot be a tag",
            next_step="start with a letter, go on with letters, digits, dots, dashes and underscores; `main` is the branch",
        )
    return text
