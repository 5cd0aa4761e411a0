"""The state of our Hub, what it was asked, and the environment in which clients find it."""

import hashlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.hub_server.faults import Fault
from tests.hub_server.repos import Repo
from tests.hub_server.xet import content, hashes


@dataclass(frozen=True)
class Request:
    """A line of the log. sent: bytes that the client sent."""

    method: str
    path: str
    status: int | str
    sent: int
    headers: Mapping[str, str]


@dataclass
class Hub:
    """users: by token. repos: by kind and name. large: content by sha256. faults: by repository, `*` for all.

    cas: folder of Xet storage, with a store for each repository, since hf_xet lets only one process at a time into a `local://`
    store, as no server does; None: only classic LFS. xet: Xet's hash by sha256 of the files in it.
    """

    users: dict[str, str] = field(default_factory=dict)
    repos: dict[tuple[str, str], Repo] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    log: list[Request] = field(default_factory=list)
    cas: Path | None = None
    xet: dict[str, str] = field(default_factory=dict)
    port: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def lines(self, repo: str = "") -> list[str]:
        """Method, path and status of the requests that name a repository."""
        return [f"{one.method} {one.path} {one.status}" for one in self.log if repo in one.path]

    def read(self, kind: str, name: str, path: str, revision: str = "main") -> bytes:
        """The content of a published file."""
        commit = self.repos[kind, name].find(revision)
        assert commit is not None, revision
        file = commit.files[path]
        return self.large[file.sha256] if file.sha256 else file.content

    def xet_store(self, repo: str) -> Path:
        """The Xet storage of a repository."""
        assert self.cas is not None
        return self.cas / repo.replace("/", "+")

    def take_from_xet(self, repo: str, sha256: str, size: int) -> bool:
        """Is the file in the repository's Xet storage? Then it is read from there."""
        if self.cas is None:
            return False
        store = self.xet_store(repo)
        name = hashes(store).get(sha256)
        if name is None:
            return False
        data = content(store, name, size)
        assert hashlib.sha256(data).hexdigest() == sha256
        self.large[sha256], self.xet[sha256] = data, name
        return True

    def fault(self, line: str) -> Fault | None:
        """What goes wrong at this request, if anything; a request of another repository counts for none."""
        for name, fault in list(self.faults.items()):
            if name == "*" or name in line:
                number = self.counts.get(name, 0)
                self.counts[name] = number + 1
                if fault.hits(number, line):
                    if not fault.lasting:
                        del self.faults[name]
                    return fault
        return None


def environment(hub: Hub, home: Path, token: str | None = None, **more: str) -> dict[str, str]:
    """The environment of a client that knows no other Hub, and no cache but one in `home`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    given = {"HF_TOKEN": token} if token else {}
    return {
        **kept,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "*",
        "no_proxy": "*",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "FULLSTEP_CACHE": str(home / "cache"),
        **given,
        **more,
    }
