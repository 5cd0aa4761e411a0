"""Fixtures over the small chain: built once per session, copied for each test that asks for it."""

import shutil
from pathlib import Path

import pytest

from fullstep_data.store import Store, Version
from tests.fullstep_data.small_chain import build
from tests.object_server.fixtures import address, object_server

__all__ = ["address", "object_server"]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small chain's dataset, for reading only."""
    folder = tmp_path_factory.mktemp("built") / "dataset"
    build(folder)
    return folder


@pytest.fixture
def dataset(built: Path, tmp_path: Path) -> Version:
    """A copy of it, to do with as one likes."""
    shutil.copytree(built, tmp_path / "dataset")
    return Store.open(tmp_path / "dataset").version()
