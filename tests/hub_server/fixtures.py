"""A Hub on loopback for the session, a process to fork clients from, and a repository name of its own for each test."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_server import Hub, environment, running
from tests.hub_server.forks import Forks

TOKEN = "hf_annsSecretToken0123456789"
OTHER_TOKEN = "hf_bobsSecretToken0123456789"
_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def hub() -> Iterator[Hub]:
    with running() as hub:
        hub.users |= {TOKEN: "ann", OTHER_TOKEN: "bob"}
        yield hub


@pytest.fixture(scope="session")
def forks(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    forks = Forks(environment(hub, tmp_path_factory.mktemp("home"), TOKEN))
    yield forks
    forks.close()


@pytest.fixture
def repo() -> str:
    return f"ann/set{next(_NUMBERS)}"


@pytest.fixture
def client(hub: Hub, tmp_path: Path) -> dict[str, str]:
    """The environment of a client without caches, which reads as ann."""
    return environment(hub, tmp_path, TOKEN)
