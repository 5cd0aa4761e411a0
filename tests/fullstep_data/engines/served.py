"""A server program on loopback, there once it answers: for tests of the engine `server` against servers of others.

with served(lambda port: [sys.executable, "serve.py", str(port)], log=tmp_path / "log") as url:     # http://127.0.0.1:…/v1
"""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

REPOSITORY = Path(__file__).parents[3]


@contextmanager
def served(command: Callable[[int], Sequence[str]], log: Path, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Runs command(port) until the block ends; gives the address. environment: added to ours. AssertionError: it has ended."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = {**os.environ, **(environment or {})}
    with (
        log.open("wb") as output,
        subprocess.Popen(command(port), stdout=output, stderr=output, cwd=REPOSITORY, env=variables) as process,
    ):
        try:
            while not _ready(port):
                assert process.poll() is None, log.read_text()[-3000:]
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


def _ready(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx2.HTTPError:
        return False
