import shutil
from pathlib import Path

import pytest

from tests.cli.commands import done
from tests.hub_server.fixtures import client, forks, hub, repo
from tests.object_server.fixtures import address, object_server

__all__ = ["address", "client", "forks", "hub", "object_server", "repo"]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the commands have built `out/tiny` and trained `out/tiny-run`. Not to be changed: see `place`."""
    folder = tmp_path_factory.mktemp("commands")
    done("fs-data build tiny --out out/tiny", folder)
    done("fs-train run tiny --data out/tiny --out out/tiny-run", folder)
    return folder


@pytest.fixture
def place(built: Path, tmp_path: Path) -> Path:
    """A copy of `built` that a test may change."""
    folder = tmp_path / "place"
    shutil.copytree(built, folder)
    return folder
