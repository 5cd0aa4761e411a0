"""Is the code on another machine ours? Other code may give other rows under the same key.

differences(code(), code_there)     # ["polars 2.1.0 here, 2.0.0 there"]
"""

import hashlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

_PACKAGES = ("schemas", "fullstep_data", "fullstep_train", "cli")
_LIBRARIES = ("polars", "duckdb", "pyarrow", "numpy", "torch", "transformers", "tokenizers", "math-verify", "vllm")


def code() -> dict[str, str]:
    """What makes rows: fullstep as a hash of its files, libraries by version ("none" where one is missing)."""
    return {"fullstep": _hash(_PACKAGES), **{name: _version(name) for name in _LIBRARIES}}


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """What is not the same, in words."""
    return [f"{name} {ours[name]} here, {theirs.get(name)} there" for name in ours if ours[name] != theirs.get(name)]


def _hash(packages: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for name in packages:
        found = find_spec(name)
        if found is None or found.origin is None:
            continue
        root = Path(found.origin).parent
        for path in sorted(path for path in root.rglob("*") if path.suffix in (".py", ".toml")):
            digest.update(f"{name}/{path.relative_to(root).as_posix()}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
