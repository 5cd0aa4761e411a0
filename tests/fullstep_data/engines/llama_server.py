"""llama.cpp's server with a tiny model, for tests marked `llama`: LLAMA_SERVER=/path/to/llama-server pytest -m llama …

with llama_server(folder, tmp_path) as url:        # folder: of tests.models.tiny_model
"""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

SLOTS = 4


@contextmanager
def llama_server(folder: Path, place: Path, name: str = "tiny") -> Iterator[str]:
    """Serves the model of `folder` under `name` until the block ends; gives the address. place: for its files."""
    from tests.gguf_models import gguf_of

    model = place / f"{name}.gguf"
    if not model.exists():  # one that runs holds the file in memory
        gguf_of(folder, model)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # a context for each slot, float32 throughout: near-ties between tokens fall the same way more often
    options = f"--host 127.0.0.1 --port {port} --alias {name} --parallel {SLOTS} --ctx-size {SLOTS * 512} --no-kv-unified"
    exact = "--threads 1 --cache-type-k f32 --cache-type-v f32 --flash-attn off --no-warmup"
    command = [os.environ["LLAMA_SERVER"], "--model", str(model), *options.split(), *exact.split()]
    log = place / f"{name}.log"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
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
