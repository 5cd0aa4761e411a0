"""What a Hub keeps: repositories with commits that never change, branches and tags that name them."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


def blob_id(content: bytes) -> str:
    """Git's name of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass(frozen=True)
class File:
    """sha256 and size of a large file; the content itself of a small one."""

    size: int
    sha256: str | None = None
    content: bytes = b""

    @property
    def oid(self) -> str:
        if self.sha256 is None:
            return blob_id(self.content)
        return blob_id(f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode())

    def entry(self, path: str) -> dict[str, object]:
        large = {"lfs": {"oid": self.sha256, "size": self.size, "pointerSize": 130}} if self.sha256 else {}
        return {"type": "file", "oid": self.oid, "size": self.size, "path": path, **large}


@dataclass(frozen=True)
class Commit:
    oid: str
    title: str
    files: Mapping[str, File]
    parent: str | None


@dataclass
class Repo:
    """commits: by id, the oldest first. heads, tags: commit id by name. large: sha256 of what was uploaded to it."""

    kind: str
    name: str
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.add("main", "initial commit", {".gitattributes": File(0)})

    @property
    def main(self) -> Commit:
        return self.commits[self.heads["main"]]

    def add(self, branch: str, title: str, files: Mapping[str, File]) -> Commit:
        """A commit on top of the branch."""
        parent = self.heads.get(branch)
        text = "".join(f"{path} {file.oid}\n" for path, file in sorted(files.items()))
        oid = hashlib.sha1(f"{self.name} {len(self.commits)} {parent}\n{title}\n{text}".encode()).hexdigest()
        self.commits[oid] = Commit(oid, title, dict(files), parent)
        self.heads[branch] = oid
        return self.commits[oid]

    def find(self, revision: str) -> Commit | None:
        """The commit that a branch, a tag or a commit id names."""
        revision = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        return self.commits.get(self.heads.get(revision) or self.tags.get(revision) or revision)

    def history(self, commit: Commit) -> Iterator[Commit]:
        found: Commit | None = commit
        while found is not None:
            yield found
            found = self.commits.get(found.parent or "")


def folder_entries(commit: Commit, folder: str, recursive: bool) -> list[dict[str, object]] | None:
    """Files and folders below `folder` as the tree endpoint lists them; None where there is no such folder."""
    start = f"{folder}/" if folder else ""
    below = {path: file for path, file in commit.files.items() if path.startswith(start)}
    if folder and not below:
        return None
    folders: set[str] = set()
    entries = []
    for path, file in sorted(below.items()):
        steps = path.removeprefix(start).split("/")
        depths = range(1, len(steps)) if recursive else range(1, min(2, len(steps)))
        folders.update(start + "/".join(steps[:depth]) for depth in depths)
        if recursive or len(steps) == 1:
            entries.append(file.entry(path))
    return [*(folder_entry(name) for name in sorted(folders)), *entries]


def folder_entry(path: str) -> dict[str, object]:
    return {"type": "directory", "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0, "path": path}
