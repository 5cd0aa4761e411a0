"""A small Hub of our own on loopback, for the unmodified clients: repositories, commits, tags, LFS, ranges, and faults on demand.

    with running() as hub:
        hub.users["hf_secret"] = "ann"
        subprocess.run([...], env=environment(hub, tmp_path, token="hf_secret"))
        hub.repos["dataset", "ann/sums"].tags

`faults.py` says what can go wrong at a request; `repos.py` holds what is published; `server.py` speaks HTTP; `forks.py` runs our
commands as clients; `cases.py` runs them against every fault.
"""

from tests.hub_server.faults import Fault
from tests.hub_server.hub import Hub, environment
from tests.hub_server.server import running

__all__ = ["Fault", "Hub", "environment", "running"]
