"""The golden copy of every contract: `python -m schemas.lock` writes schemas/lock/*.json, a test compares.

A contract that changed under its old version is refused: readers tell contracts apart by version.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from schemas import TABLES
from schemas.errors import ContractError
from schemas.table import Table

LOCK_FOLDER = Path(__file__).parent / "lock"


def write_lock(tables: Iterable[Table], folder: Path) -> None:
    """Writes one JSON file per table; ContractError where a contract changed and its version did not."""
    folder.mkdir(exist_ok=True)
    for table in tables:
        path = folder / f"{table.name}.json"
        new = table.describe()
        if path.exists():
            old = json.loads(path.read_text(encoding="utf-8"))
            if old != new and old["version"] == new["version"]:
                raise ContractError(
                    what=f"the contract of {table.name} changed, but its version did not",
                    where=str(path),
                    next_step=f"raise version to {table.version + 1} in schemas/{table.name}.py",
                )
        path.write_text(json.dumps(new, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_lock(TABLES.values(), LOCK_FOLDER)
