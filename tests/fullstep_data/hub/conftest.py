"""The Hub of the tests."""

from tests.hub_server.fixtures import client, forks, hub, repo

__all__ = ["client", "forks", "hub", "repo"]
