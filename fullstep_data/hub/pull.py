"""From the Hub into a dataset folder: the parts byte by byte as they were pushed, each checked, then the version that lists them.

    version = pull(parse("ann/sums@v1"), Path("copy"))

The commit is looked up once, so a tag or branch that moves meanwhile mixes nothing. Parts that are there already are not fetched
again, a part that was cut off goes on where it stopped, and the version appears last: a pull that was killed has left none.
"""

import hashlib
import re
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from fullstep_data.hub.address import Address
from fullstep_data.hub.client import Hub, Stored
from fullstep_data.store import Manifest, Store, StoredFile, Version
from fullstep_data.store.disk import create, explained, make_folder, replace, sha256_of
from fullstep_data.store.views import views_file
from schemas import TABLES, InputError

SEAL = re.compile(r"versions/(\d{6})\.json")
_KEY = re.compile(r"[0-9a-f]{8,64}")
_FETCHED = ".pull"
_AT_ONCE = 4

Tick = Callable[[int, int], None]
"""Told of the files that are done and of how many there are."""


@dataclass(frozen=True)
class Remote:
    """A version on the Hub: its manifest, at a commit that never changes."""

    hub: Hub
    commit: str
    manifest: Manifest
    content: bytes
    files: Mapping[str, Stored]


def find(address: Address) -> Remote:
    """The version behind an address. InputError: no such dataset, revision or network; it is not one of fullstep, or damaged."""
    hub = Hub(address.repo, "dataset")
    commit = hub.commit(address.revision)
    files = hub.files(commit)
    seals = [found for path in files if (found := SEAL.fullmatch(path))]
    if len(seals) != 1:
        raise InputError(
            what="this is not a dataset that fullstep has published: it has no manifest (versions/NUMBER.json)",
            where=f"{hub.url} at {address.revision or 'main'}",
            examples=sorted(files),
            next_step='name another; a dataset of another form can be the source of problems: problems.source.kind = "hub"',
        )
    content = hub.read(seals[0][0], commit)
    manifest = Manifest.parse(content, where=f"{hub.url}, {seals[0][0]}", number=int(seals[0][1]))
    _require_plain(manifest, hub)
    if manifest.content() != content:
        raise InputError("the manifest on the Hub was altered after it was written", where=hub.url, next_step="ask its owner")
    return Remote(hub, commit, manifest, content, files)


@dataclass(frozen=True)
class Tagged:
    """A version on the Hub. bytes: of all files of its commit."""

    tag: str
    commit: str
    number: int
    files: int
    bytes: int


def published(address: Address) -> list[Tagged]:
    """The tags of a dataset that name a version of ours, by its number. InputError: no such dataset, no network."""
    hub = Hub(address.repo, "dataset")
    hub.commit(None)
    found: list[Tagged] = []
    for tag, commit in hub.tags().items():
        files = hub.files(commit)
        seals = [seal for path in files if (seal := SEAL.fullmatch(path))]
        if len(seals) == 1:
            found.append(Tagged(tag, commit, int(seals[0][1]), len(files), sum(file.size for file in files.values())))
    return sorted(found, key=lambda one: (one.number, one.tag))


def pull(address: Address, out: Path, tick: Tick | None = None) -> Version:
    """Fetch a version into `out`, a new folder or a dataset; a tag in the address is set there too.

    InputError: as `find`; `out` holds another version of the same number; what came is not what the manifest lists.
    """
    remote = find(address)
    tag = address.revision if address.revision in remote.hub.tags() else None
    return _into(remote, out, tag, tick or (lambda done, total: None))


def pulled(address: Address, cache: Path, tick: Tick | None = None) -> Version:
    """The version in a folder of its own below `cache`, where a later call finds it (and checks it) again."""
    remote = find(address)
    out = cache / address.repo / hashlib.sha256(remote.content).hexdigest()[:20]
    return _into(remote, out, None, tick or (lambda done, total: None))


def _into(remote: Remote, out: Path, tag: str | None, tick: Tick) -> Version:
    """Parts first, then the version, then what points to it."""
    number = remote.manifest.number
    store = Store.create(out)
    with store.locked():
        _require_free(store, remote)
        version = Version(out, remote.manifest)
        _fetch(remote, version, tick)
        if number not in store.numbers():
            create(store.manifest_path(number), remote.content)
        if store.numbers()[-1] == number:
            replace(out / "views.sql", views_file(version))
        if tag is not None:
            store.tag(tag, number)
        shutil.rmtree(out / _FETCHED, ignore_errors=True)
    return store.version(number)


def _fetch(remote: Remote, version: Version, tick: Tick) -> None:
    """Every part that is not there yet."""
    stored = [file for table in version.tables.values() for file in table.stored]
    missing = [file for file in stored if not _is_there(file)]
    tick(len(stored) - len(missing), len(stored))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        done = pool.map(lambda file: _fetch_one(remote, version.path, file), missing)
        try:
            for count, _ in enumerate(done, start=len(stored) - len(missing) + 1):
                tick(count, len(stored))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _fetch_one(remote: Remote, root: Path, file: StoredFile) -> None:
    """Downloaded beside the store, checked, and moved to its place."""
    name = file.path.relative_to(root).as_posix()
    if name not in remote.files:
        raise InputError(
            "a part that the manifest lists is not on the Hub", where=f"{remote.hub.url}, {name}", next_step=_DAMAGED
        )
    with explained(root):
        fetched = remote.hub.download(name, remote.commit, into=root / _FETCHED)
    if (found := sha256_of(fetched)) != file.sha256:
        fetched.unlink()
        what = "a file on the Hub is not the one that the manifest lists"
        examples = [f"sha256 {file.sha256} listed", f"sha256 {found} found"]
        raise InputError(what, where=f"{remote.hub.url}, {name}", count=1, examples=examples, next_step=_DAMAGED)
    make_folder(file.path.parent)
    replace(file.path, fetched.read_bytes())
    fetched.unlink()


_DAMAGED = "the dataset on the Hub is damaged: name another tag, or ask its owner"


def _is_there(file: StoredFile) -> bool:
    return file.path.is_file() and file.path.stat().st_size == file.size and sha256_of(file.path) == file.sha256


def _require_free(store: Store, remote: Remote) -> None:
    """InputError where the folder has another version of this number."""
    path = store.manifest_path(remote.manifest.number)
    if path.exists() and path.read_bytes() != remote.content:
        raise InputError(
            what=f"the folder holds another version {remote.manifest.number}",
            where=str(store.path),
            next_step="give a new folder; what is published lacks models and raw samples, so it is another version than the one "
            "it was pushed from",
        )


def _require_plain(manifest: Manifest, hub: Hub) -> None:
    """Nobody's manifest makes us write outside of the folder."""
    parts = [part for table in manifest.tables.values() for part in table.parts]
    keys = [part.key for part in parts] + [part.rejects.key for part in parts if part.rejects]
    strange = [name for name in manifest.tables if name not in TABLES] + [key for key in keys if not _KEY.fullmatch(key)]
    if strange or manifest.models:
        raise InputError(
            what="the manifest names what this fullstep does not know",
            where=hub.url,
            count=len(strange),
            examples=strange or list(manifest.models),
            next_step="upgrade fullstep; if that does not help, the manifest was altered",
        )
