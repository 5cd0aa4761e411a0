"""Puts a bundle of files into a repository so that readers by tag see all of it or nothing: ONE commit, then the tag.

    publish(bundle, Hub("ann/sums", "dataset"), tag="v1", private=True)

1. The tags are read. If the tag is there, its seal is compared: the same means that nothing is to do, another is an error.
2. The head of the branch is noted. If it carries the bundle already (an earlier try was cut off before its tag), 3 is left out.
3. One commit on exactly that head: new and changed files, deletions of what an older version left, and the README merged.
4. After a lost connection or a status that passes, the head is looked at again before anything is sent again.
5. The tag is set on that commit, never moved; a lost answer is settled by looking where the tag points.
6. What the tag shows is compared with the bundle.

The order was found by running the client against injected faults (shared/design/hub.md).
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fullstep_data.hub.client import WAITS, Hub, Kind, Stored, lost, passing, status
from fullstep_data.store.disk import sha256_of
from schemas import InputError

README = "README.md"
_CONFLICTS = (409, 412)
_NEUTRAL = (README, ".gitattributes", "LICENSE", "LICENSE.md", "LICENSE.txt", ".gitignore")


@dataclass(frozen=True)
class Bundle:
    """What is to be published.

    files: by path in the repository, a file here or its content. seal: the path of the file that names every sealed file with its
    checksum; equal seals mean equal versions. is_seal: is this path the seal of some version? sealed: what the seal vouches for.
    stale: of the paths of the head, those that an older version left, given its seal. card: the README, made from the one there.
    differs: how the version of another seal differs, in at most five lines.
    """

    kind: Kind
    title: str
    files: Mapping[str, Path | bytes]
    seal: str
    sealed: Sequence[str]
    is_seal: Callable[[str], bool]
    stale: Callable[[set[str], bytes], set[str]]
    card: Callable[[str | None], str]
    differs: Callable[[bytes], list[str]]

    @property
    def seal_content(self) -> bytes:
        return content(self.files[self.seal])


@dataclass(frozen=True)
class Published:
    """commit: what the tag names. uploaded: paths and sizes of new or changed files. unchanged: files that were there.

    nothing_to_do: the tag named this version already.
    """

    url: str
    commit: str
    uploaded: Mapping[str, int]
    unchanged: int
    deleted: int
    nothing_to_do: bool = False


Told = Callable[[str], None]
"""Told what is done next, in a few words."""


def publish(bundle: Bundle, hub: Hub, tag: str, private: bool, tell: Told = lambda what: None) -> Published:
    """Publish under a tag. A second call goes on where a first one was cut off.

    InputError: no token, no network, no right to; the tag names something else; the repository holds other things, or is public
    where `private` was asked for.
    """
    hub.require_token()
    tell("look at the repository")
    open_to = hub.private()
    if open_to is None:
        open_to = hub.create(private)
    if private and not open_to:
        raise InputError(
            what="the repository is public, and --private was asked for",
            where=hub.url,
            next_step="make it private in its settings on the Hub, or leave --private out",
        )
    _, tags = hub.refs()
    if tag in tags:
        _require_same(bundle, hub, tag, tags[tag])
        return Published(hub.url, tags[tag], {}, len(bundle.files), 0, nothing_to_do=True)
    made = _commit(bundle, hub, tag, tell)
    tell(f"set tag {tag}")
    _set_tag(bundle, hub, tag, made.commit)
    tell(f"read tag {tag} back")
    _require_whole(bundle, hub, tag)
    return made


def _commit(bundle: Bundle, hub: Hub, tag: str, tell: Told) -> Published:
    """The commit that carries the bundle: the head, if it does, or a new one on top of it."""
    sizes: dict[str, int] = {}
    deletions: set[str] = set()
    for wait in (*WAITS, None):
        head, _ = hub.refs()
        there = hub.files(head)
        readme = _text(hub, hub.read(README, head)) if README in there else None
        # Made by an earlier call, or by the last try, whose answer was lost?
        if _carries(bundle, there) and bundle.card(readme) == readme:
            return Published(hub.url, head, sizes, len(bundle.files) + 1 - len(sizes), len(deletions))
        additions, deletions = _changes(bundle, hub, head, there, readme)
        sizes = {path: size(added) for path, added in additions.items()}
        tell(f"send {len(sizes):,} of {len(bundle.files) + 1:,} files, {sum(sizes.values()) / 1e6:,.1f} MB")
        try:
            oid = hub.add_commit(additions, deletions, f"{bundle.title} ({tag})", head)
            return Published(hub.url, oid, sizes, len(bundle.files) + 1 - len(sizes), len(deletions))
        except Exception as error:
            if wait is None or not (passing(error) or status(error) in _CONFLICTS):
                raise hub.explained(error) from error
        time.sleep(wait)
    raise AssertionError("unreachable")


def _text(hub: Hub, readme: bytes) -> str:
    """InputError: not UTF-8, so nothing can be merged into it."""
    try:
        return readme.decode("utf-8")
    except UnicodeDecodeError as error:
        step = "store it as UTF-8 on the Hub and run the same command again"
        raise InputError("the README on the Hub is not UTF-8 text", where=hub.url, next_step=step) from error


def _changes(
    bundle: Bundle, hub: Hub, head: str, there: Mapping[str, Stored], readme: str | None
) -> tuple[dict[str, Path | bytes], set[str]]:
    """What to add to the head and what to delete. InputError: the repository holds what is not ours."""
    seals = [path for path in there if bundle.is_seal(path)]
    others = sorted(path for path in there if path not in _NEUTRAL)
    if others and not seals:
        raise InputError(
            what=f"the repository holds files that are not of a {bundle.kind} of fullstep",
            where=hub.url,
            count=len(others),
            examples=others,
            next_step="name a new repository, or one that fullstep has published to",
        )
    additions = {path: one for path, one in bundle.files.items() if not same(one, there.get(path))}
    card = bundle.card(readme).encode("utf-8")
    if not same(card, there.get(README)):
        additions[README] = card
    left = set[str]().union(*(bundle.stale(set(there), hub.read(path, head)) | {path} for path in seals))
    return additions, left - bundle.files.keys() - {README}


def _set_tag(bundle: Bundle, hub: Hub, tag: str, commit: str) -> None:
    """Name the commit. InputError: a rival gave the tag to another version meanwhile."""
    for wait in (*WAITS, None):
        try:
            hub.add_tag(tag, commit)
            return
        except Exception as error:
            if status(error) not in _CONFLICTS and not lost(error) and not passing(error):
                raise hub.explained(error) from error
            named = hub.tags().get(tag)
            if named is not None:
                _require_same(bundle, hub, tag, named)
                return
            if wait is None:
                raise hub.explained(error) from error
        time.sleep(wait)


def _require_same(bundle: Bundle, hub: Hub, tag: str, commit: str) -> None:
    """InputError where the tag names another version, or a damaged one."""
    there = hub.files(commit)
    seals = [path for path in there if bundle.is_seal(path)]
    if len(seals) == 1 and hub.read(seals[0], commit) != bundle.seal_content:
        differences = bundle.differs(hub.read(seals[0], commit))
    elif seals != [bundle.seal]:
        differences = ["nothing that fullstep has published"]
    else:
        differences = _damage(bundle, there)
    if differences:
        raise InputError(
            what=f"tag {tag} names something else already",
            where=hub.url,
            count=len(differences),
            examples=differences,
            next_step="choose another tag: a tag never moves",
        )


def _require_whole(bundle: Bundle, hub: Hub, tag: str) -> None:
    """What a reader finds under the tag is the bundle."""
    damage = _damage(bundle, hub.files(hub.commit(tag)))
    if damage:
        raise InputError(
            what=f"what the Hub shows under tag {tag} is not what was sent",
            where=hub.url,
            count=len(damage),
            examples=damage,
            next_step="delete the tag on the Hub and run the same command again",
        )


def _carries(bundle: Bundle, there: Mapping[str, Stored]) -> bool:
    """Is this commit the version of the bundle, whole?"""
    if not same(bundle.files[bundle.seal], there.get(bundle.seal)) or README not in there:
        return False
    return not _damage(bundle, there) and [path for path in there if bundle.is_seal(path)] == [bundle.seal]


def _damage(bundle: Bundle, there: Mapping[str, Stored]) -> list[str]:
    """Files of the bundle that are not there, and sealed files that are others. (Files made for readers may come out of another
    version of a library with other bytes.)
    """
    missing = [f"{path} is missing" for path in bundle.files if path not in there]
    sealed = (path for path in bundle.sealed if path in there)
    return missing + [f"{path} has other content" for path in sealed if not same(bundle.files[path], there[path])]


def same(one: Path | bytes, stored: Stored | None) -> bool:
    """Is the file here the one there?"""
    if stored is None or size(one) != stored.size:
        return False
    if stored.large:
        return (sha256_of(one) if isinstance(one, Path) else hashlib.sha256(one).hexdigest()) == stored.oid
    data = content(one)
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == stored.oid


def content(one: Path | bytes) -> bytes:
    return one.read_bytes() if isinstance(one, Path) else one


def size(one: Path | bytes) -> int:
    """In bytes."""
    return one.stat().st_size if isinstance(one, Path) else len(one)
