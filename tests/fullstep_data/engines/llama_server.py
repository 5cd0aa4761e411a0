"""llama.cpp's server (package xllamacpp) with a tiny model, for tests marked `llama`: `make test-llama`.

    with llama_server(folder, tmp_path) as url:        # folder: of tests.models.tiny_model

As a program it serves any GGUF file: python -m tests.fullstep_data.engines.llama_server FILE PORT NAME [CONTEXT]
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fullstep_data.engines.served import served

SLOTS = 4
"""Requests that it answers at one moment, each with a context of its own."""


@contextmanager
def llama_server(folder: Path, place: Path, name: str = "tiny") -> Iterator[str]:
    """Serves the model of `folder` under `name` until the block ends; gives the address. place: for its files."""
    from tests.gguf_models import gguf_of

    model = place / f"{name}.gguf"
    if not model.exists():  # one that runs holds the file in memory
        gguf_of(folder, model)

    def command(port: int) -> list[str]:
        return [sys.executable, "-m", "tests.fullstep_data.engines.llama_server", str(model), str(port), name]

    with served(command, log=place / f"{name}.log") as url:
        yield url


def serve(model: str, port: int, name: str, context: int = 512) -> None:
    """Until the process ends. float32 throughout: as it comes, its cache is in half precision, and near-ties between tokens fall
    one way in a request alone and another among others (5 of 90 samples of the tiny model; none like this).
    """
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path, params.port, params.model_alias = model, port, {name}
    params.n_parallel, params.n_ctx, params.kv_unified = SLOTS, SLOTS * context, False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.warmup = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:]))
