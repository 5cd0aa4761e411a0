"""A server of objects on loopback for tests: moto's, which speaks S3 over HTTP and verifies signatures. `weed.py` has a real one.

    with running() as server:
        os.environ.update(server.environment(cache=tmp_path))       # keys, endpoint, a cache of its own
        path_of(f"s3://{BUCKET}/sums")

It takes one request at a time, so that a conditional PUT is atomic there as it is on Amazon: moto itself looks, and then writes.
What it cannot show: the delays and losses of a network, many requests at once, limits of rate and size, a multi-part upload that
breaks off, roles and single sign-on, encryption by keys of the user's. The process is `server.py`.
"""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BUCKET = "sets"


@dataclass(frozen=True)
class ObjectServer:
    """A server that runs. key, secret: of a user who may do everything in `BUCKET`."""

    url: str
    key: str
    secret: str

    def environment(self, cache: Path) -> dict[str, str]:
        """What a user sets; `cache` makes it a machine of its own."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_EC2_METADATA_DISABLED": "true",  # no keys are asked of an address outside of this machine
            "FULLSTEP_CACHE": str(cache),
        }

    def control(self, **told: object) -> None:
        """Tell the server how to behave: see `server.Behaviour`."""
        request = urllib.request.Request(f"{self.url}/behaviour", json.dumps(told).encode(), method="POST")
        with urllib.request.urlopen(request) as answer:
            answer.read()

    def requests(self) -> list[str]:
        """Method and path of all requests since this was last asked."""
        with urllib.request.urlopen(f"{self.url}/behaviour") as answer:
            return json.loads(answer.read())


@contextmanager
def running() -> Iterator[ObjectServer]:
    """A server in a process of its own."""
    process = subprocess.Popen([sys.executable, "-m", "tests.object_server.server"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield ObjectServer(**json.loads(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
