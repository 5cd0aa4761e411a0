"""What the manifests of a dataset say of a part or a model on disk. Asked before one is used again without being made again.

ledger.part("steps", key)       # Part or None: None means that a killed build left it, so it must be hashed again
"""

from collections.abc import Iterator

from fullstep_data.store.manifest import Manifest, ModelRecord, Part


class Ledger:
    """The parts and models of all versions; manifests are read newest first and no further than needed."""

    def __init__(self, newest_first: Iterator[Manifest]) -> None:
        self._unread = newest_first
        self._parts: dict[tuple[str, str], Part] = {}
        self._models: dict[str, ModelRecord] = {}

    def part(self, table: str, key: str) -> Part | None:
        """The record of a part in the newest version that has it."""
        while (table, key) not in self._parts and self._read_one():
            pass
        return self._parts.get((table, key))

    def model(self, key: str) -> ModelRecord | None:
        """The record of a model in the newest version that has it."""
        while key not in self._models and self._read_one():
            pass
        return self._models.get(key)

    def _read_one(self) -> bool:
        manifest = next(self._unread, None)
        if manifest is None:
            return False
        for name, table in manifest.tables.items():
            for part in table.parts:
                for one in (part, *part.merged):
                    self._parts.setdefault((name, one.key), one)
        for model in manifest.models.values():
            self._models.setdefault(model.key, model)
        return True
