"""A server of objects for the session, and a prefix of its own for each test, on a machine (a cache) of its own.

The server is moto's; with OBJECT_SERVER=weed in the environment it is SeaweedFS (`make test-s3`).
"""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.object_server import BUCKET, ObjectServer, running
from tests.object_server.weed import running_weed

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def object_server() -> Iterator[ObjectServer]:
    with running_weed() if os.environ.get("OBJECT_SERVER") == "weed" else running() as server:
        yield server


@pytest.fixture
def address(object_server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty prefix; keys and endpoint are set, and the cache is in `tmp_path`."""
    for name, value in object_server.environment(tmp_path / "cache").items():
        monkeypatch.setenv(name, value)
    object_server.control(slow_down=0, unconditional=False, lose_answers=0)
    return f"s3://{BUCKET}/set{next(_NUMBERS)}"
