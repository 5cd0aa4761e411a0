"""The tiny model, made once per test process, into a cache that is not the user's."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fullstep_train import models


@pytest.fixture(scope="session", autouse=True)
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    # Each Trainer starts with a full garbage collection, which would look through all imported modules again and again.
    gc.freeze()
    before = os.environ.get("FULLSTEP_CACHE")
    cache = tmp_path_factory.mktemp("cache")
    os.environ["FULLSTEP_CACHE"] = str(cache)
    yield cache
    if before is None:
        del os.environ["FULLSTEP_CACHE"]
    else:
        os.environ["FULLSTEP_CACHE"] = before


@pytest.fixture(scope="session")
def tiny(model_cache: Path) -> Path:
    folder = models.resolve("tiny-random")
    assert isinstance(folder, Path)
    return folder


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny: Path) -> Any:
    return models.load_tokenizer(tiny)
