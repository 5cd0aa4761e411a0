"""Records of runs, runs/N.json: when version N was made, with which packages, how fast. No part of the version itself.

read_run(store.run_path(7))     # {"created": "2026-11-22T09:30:00+00:00", …}, None where the record is gone
"""

import json
from pathlib import Path
from typing import Any

from fullstep_data.store.storage import shown, storage_of
from schemas import InputError


def read_run(path: Path) -> dict[str, Any] | None:
    """The record of a run, None where it is gone; `created` is UTC in ISO form. InputError: it was altered."""
    try:
        content = storage_of(path).read(path)
    except FileNotFoundError:
        return None
    try:
        run = json.loads(content)
        return {**run, "created": str(run["created"])}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            what=f"the record of a run is damaged: {error}",
            where=shown(path),
            next_step="delete the file: no data are in it, only when and how fast the version was made",
        ) from error
