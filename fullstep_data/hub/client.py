"""One repository on the Hub: every request of ours goes through `Hub`, which tries again where that helps and says what is wrong.

    hub = Hub("ann/sums", "dataset")
    hub.head(), hub.tags()          # commits
    hub.files(commit)               # {path: Stored(sha256 or git id, size)}

An error is an `InputError` that says what the Hub said; a token is in none of them.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from traceback import walk_tb
from typing import Literal, TypeVar

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token, hf_hub_download, set_client_factory
from huggingface_hub.constants import HF_HUB_DISABLE_PROGRESS_BARS
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import disable_progress_bars, enable_progress_bars
from huggingface_hub.utils._http import default_client_factory

from schemas import InputError

Kind = Literal["dataset", "model"]
T = TypeVar("T")

WAITS = (0.5, 1.0, 2.0)
"""Seconds before a request is sent again."""
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 180.0  # a commit of many files takes the Hub a while
_PASSING = (408, 429, 500, 502, 503, 504)
_MESSAGE = 300
_SECRET = re.compile(
    r"hf_[A-Za-z0-9_]{4,}|(?i:(?<=[?&])[^=&\s]*(?:signature|token|credential|sig|expires)[^=&\s]*=[^&\s'\"]+)"
)  # the environment variables HF_… are no secret


@dataclass(frozen=True)
class Stored:
    """A file of a commit. oid: sha256 of a large file, git's id of a small one."""

    oid: str
    size: int
    large: bool


class Hub:
    """The repository `repo` (owner/name) of a kind. bars: the client draws its own while it sends files."""

    def __init__(self, repo: str, kind: Kind, bars: bool = False) -> None:
        self.repo, self.kind, self._bars = repo, kind, bars
        set_client_factory(_client)
        disable_progress_bars()

    @cached_property
    def api(self) -> HfApi:
        return HfApi(library_name="fullstep")

    @property
    def url(self) -> str:
        return f"{self.api.endpoint}/{'datasets/' if self.kind == 'dataset' else ''}{self.repo}"

    # Reading

    def private(self) -> bool | None:
        """Is the repository private? None: there is none (or none that this user may see)."""
        try:
            info = self.ask(lambda: self.api.repo_info(self.repo, repo_type=self.kind, timeout=CONNECT_SECONDS))
        except _Missing:
            return None
        return bool(info.private)

    def commit(self, revision: str | None) -> str:
        """The commit that a revision names. InputError: no such repository or revision, with the tags there are."""
        try:
            info = self.ask(
                lambda: self.api.repo_info(self.repo, revision=revision, repo_type=self.kind, timeout=CONNECT_SECONDS)
            )
        except _Missing as error:
            if error.what_is == "revision":
                tags = sorted(self.tags())
                step = f"its tags: {', '.join(tags)}" if tags else "it has no tag yet"
                raise InputError(f"there is no revision {revision!r}", where=self.url, next_step=step) from error
            raise self.unknown() from error
        return str(info.sha)

    def refs(self) -> tuple[str, dict[str, str]]:
        """The commit of branch main, and commits by tag."""
        refs = self.ask(lambda: self.api.list_repo_refs(self.repo, repo_type=self.kind))
        heads = [branch.target_commit for branch in refs.branches if branch.name == "main"]
        if not heads:
            raise InputError("the repository has no branch main", where=self.url, next_step="name another repository")
        return heads[0], {tag.name: tag.target_commit for tag in refs.tags}

    def tags(self) -> dict[str, str]:
        """Commits by tag."""
        return self.refs()[1]

    def files(self, commit: str) -> dict[str, Stored]:
        """Every file of a commit."""

        def listed() -> dict[str, Stored]:
            tree = self.api.list_repo_tree(self.repo, recursive=True, revision=commit, repo_type=self.kind)
            return {entry.path: _stored(entry) for entry in tree if isinstance(entry, RepoFile)}

        return self.ask(listed)

    def read(self, path: str, commit: str) -> bytes:
        """The content of a small file."""
        return self.download(path, commit).read_bytes()

    def download(self, path: str, commit: str, into: Path | None = None) -> Path:
        """A file of a commit: in the client's cache, or below the folder `into`, where an interrupted download goes on."""
        return Path(self.ask(lambda: hf_hub_download(self.repo, path, repo_type=self.kind, revision=commit, local_dir=into)))

    # Writing

    def require_token(self) -> None:
        """InputError where there is no token to write with."""
        if not get_token():
            raise InputError("there is no token to write to the Hub with", where=self.url, next_step=_LOGIN)

    def create(self, private: bool) -> bool:
        """Make the repository; is it private? InputError: the name is taken by a repository of another kind."""
        refused: list[HfHubHTTPError] = []

        def made() -> None:
            try:
                self.api.create_repo(self.repo, repo_type=self.kind, private=private)
            except HfHubHTTPError as error:
                if status(error) != HTTPStatus.CONFLICT:
                    raise
                refused.append(error)  # there already: by a try whose answer was lost, by a rival, or as another kind

        self.ask(made)
        open_to = self.private()
        if open_to is None and refused and not self._others():
            raise self.explained(refused[-1])
        if open_to is None:
            raise self.unknown()
        return open_to

    def add_commit(self, additions: dict[str, Path | bytes], deletions: set[str], title: str, parent: str) -> str:
        """ONE commit on top of `parent`; its id. Not tried again here: who calls must look first whether it went through."""
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationAdd(path_in_repo=path, path_or_fileobj=content) for path, content in additions.items()
        ]
        operations += [CommitOperationDelete(path_in_repo=path) for path in sorted(deletions)]
        if self._bars and not HF_HUB_DISABLE_PROGRESS_BARS:
            enable_progress_bars()
        try:
            commit = self.api.create_commit(
                self.repo, operations, commit_message=title, repo_type=self.kind, revision="main", parent_commit=parent
            )
        finally:
            disable_progress_bars()
        return str(commit.oid)

    def add_tag(self, tag: str, commit: str) -> None:
        """Name a commit. Not tried again here."""
        self.api.create_tag(self.repo, tag=tag, revision=commit, repo_type=self.kind)

    # What goes wrong

    def ask(self, call: Callable[[], T]) -> T:
        """What the Hub answers. A lost connection, 429, 5xx and a broken answer are tried again; all else is explained."""
        for wait in (*WAITS, None):
            try:
                return call()
            except Exception as error:
                if isinstance(error, RevisionNotFoundError):
                    raise _Missing("revision") from error
                if isinstance(error, RepositoryNotFoundError) and (status(error) == 404 or not get_token()):
                    raise _Missing("repository") from error
                if wait is None or not passing(error):
                    raise self.explained(error) from error
            time.sleep(wait)
        raise AssertionError("unreachable")

    def explained(self, error: Exception) -> Exception:
        """The InputError for what the client raised; the error itself where it is no answer of the Hub."""
        if isinstance(error, ValueError) and "metadata in README.md" in str(error):
            return InputError(
                "the Hub does not accept the front matter of the card",
                where=self.url,
                examples=[redacted(line).removeprefix("- ")[:_MESSAGE] for line in str(error).splitlines()[1:]],
                next_step="name another --license, or mend what the README on the Hub says, and run the same command again",
            )
        code = status(error)
        told = _TOLD.get(code or 0)
        known = get_token() is not None
        if code == 401 and not known:
            told = ("the Hub shows this only to users it knows, or there is no such repository", _LOGIN)
        if told is None and code is not None:
            told = (f"the Hub answered with status {code}", "run the same command again: what was done is kept")
        if told is None and isinstance(error, OfflineModeIsEnabled):
            told = ("the Hub may not be asked: HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE and run the same command again")
        if told is None and lost(error):
            told = (
                "the Hub cannot be reached",
                "check the network (and HF_ENDPOINT) and run the same command again: what was done is kept",
            )
        if told is None and client_failed(error):
            told = (
                f"the Hub's client (huggingface_hub {version('huggingface_hub')}) failed",
                "run the same command again; if that does not help, look whether something stands between here and the Hub (a "
                "proxy, a login page), and whether HF_HOME can be written to",
            )
        if told is None:
            return error
        return InputError(told[0], where=self.url, examples=[message(error)], next_step=told[1])

    def unknown(self) -> InputError:
        """There is no such repository; perhaps one of another kind."""
        if others := self._others():
            what = f"{self.repo} is a {others[0]} on the Hub, not a {self.kind}"
            return InputError(what, where=self.url, next_step=f"name a {self.kind}")
        step = "check the name; a private one needs a token that may read it (`hf auth login`)"
        return InputError(f"the Hub has no {self.kind} {self.repo} that you may see", where=self.url, next_step=step)

    def _others(self) -> list[str]:
        """The other kinds of which there is a repository of this name."""
        return [kind for kind in ("model", "dataset", "space") if kind != self.kind and self._is_a(kind)]

    def _is_a(self, kind: str) -> bool:
        try:
            self.ask(lambda: self.api.repo_info(self.repo, repo_type=kind, timeout=CONNECT_SECONDS))
        except (_Missing, InputError):
            return False
        return True


class _Missing(Exception):  # noqa: N818 - says what is not there
    """The repository or the revision is not there."""

    def __init__(self, what_is: str) -> None:
        super().__init__(what_is)
        self.what_is = what_is


_LOGIN = "`hf auth login`, or set HF_TOKEN to a token with write access (https://huggingface.co/settings/tokens)"
_TOLD = {
    401: ("the Hub does not accept the token", "`hf auth login` with a valid token, or set HF_TOKEN"),
    403: ("the token may not do this", "name a repository of your own, or take a token with write access to this one"),
    404: ("the Hub knows no such page", "check the name, and HF_ENDPOINT if it is set"),
    409: ("the Hub says that this is in conflict with what is there", "run the same command again"),
    412: ("the repository changed at the same moment", "run the same command again"),
    429: ("the Hub asks for fewer requests", "wait a few minutes and run the same command again: what was done is kept"),
}


def passing(error: BaseException) -> bool:
    """May the same request go through at another time? Not where no connection came about at all."""
    if any(isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout) for cause in _causes(error)):
        return False
    if status(error) is not None:
        return status(error) in _PASSING
    return lost(error) or (client_failed(error) and not isinstance(error, OSError))


def lost(error: BaseException) -> bool:
    """Was it the connection?"""
    return any(isinstance(cause, httpx2.TransportError | LocalEntryNotFoundError) for cause in _causes(error))


def client_failed(error: BaseException) -> bool:
    """Did the error come up inside of the client: an answer that it cannot read, Xet storage, its cache on this machine?"""
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    return any(str(frame.f_globals.get("__name__")).partition(".")[0] == "huggingface_hub" for frame in frames)


def status(error: BaseException) -> int | None:
    """The HTTP status behind an error; the client wraps some in a RuntimeError."""
    codes = (
        cause.response.status_code for cause in _causes(error) if isinstance(cause, HfHubHTTPError) and cause.response is not None
    )
    return next((code for code in codes if code >= 400), None)


def message(error: BaseException) -> str:
    """The error that was the cause of it in a line, without anything that lets one in."""
    cause = error
    while cause.__cause__ not in (None, cause):
        cause = cause.__cause__
    line = next((line for line in str(cause).splitlines() if line.strip()), "")
    return f"{type(cause).__name__}: {redacted(line)[:_MESSAGE]}"


def redacted(text: str) -> str:
    """The text without tokens and without the signatures of upload addresses."""
    token = get_token()
    return _SECRET.sub("…", text.replace(token, "…") if token else text)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        cause = error.__cause__ or error.__context__
        error = None if cause is error else cause


def _stored(entry: RepoFile) -> Stored:
    if entry.lfs is not None:
        return Stored(entry.lfs.sha256, entry.lfs.size, large=True)
    return Stored(entry.blob_id, entry.size, large=False)


def _client() -> httpx2.Client:
    """The client's own, but it does not wait for ever."""
    client = default_client_factory()
    client.timeout = httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    return client
