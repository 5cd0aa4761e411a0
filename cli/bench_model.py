"""The base models of the bench: `bench-arithmetic-facts`, `bench-arithmetic-skill`, and with a seed `bench-arithmetic-facts-3`.

    folder = bench_model("bench-arithmetic-facts-3", tick)

A Llama of 0.1M parameters learns 4,500 demonstrations of its family, mistakes among them, until it answers 50 to 75 % greedily.
Made once, into the cache, under a hash of all that decides it; 20 to 40 CPU-seconds.
"""

import re
from pathlib import Path
from typing import cast

from fullstep_data.arithmetic import FAMILIES, NAMES, FamilyName, demonstration
from fullstep_train.builtin import made_once
from fullstep_train.progress import Tick
from fullstep_train.scratch import Scratch, train_from_scratch
from schemas import InputError
from schemas.ids import content_id

PREFIX = "bench-arithmetic"
NAME = re.compile(rf"{PREFIX}-({'|'.join(NAMES)})(?:-(\d+))?")
REVISION = 1
"""Raised when the training changes: it is part of the name in the cache."""
DEMONSTRATIONS = 4500
HASHED = 100
"""So many demonstrations stand in that name for all of them: other mistakes, other problems or another form change it."""


def is_bench_model(name: str) -> bool:
    """Is this the name of a base model of the bench, well written or not?"""
    return name.startswith(PREFIX)


def bench_model(name: str, tick: Tick, config: Scratch | None = None, demonstrations: int = DEMONSTRATIONS) -> Path:
    """The folder of a base model, made now where it is not there yet. The seed decides mistakes, demonstrations and weights."""
    read = NAME.fullmatch(name)
    if read is None:
        raise InputError(
            f"there is no model {name!r}", next_step=f"the bench has {', '.join(f'{PREFIX}-{one}[-SEED]' for one in NAMES)}"
        )
    family, seed = cast("FamilyName", read[1]), int(read[2] or 0)
    settings = config or Scratch(seed=seed)
    seen = [demonstration(family, seed, index) for index in range(min(HASHED, demonstrations))]
    key = content_id(REVISION, settings.model_dump(), demonstrations, FAMILIES[family].TOKENS, seen)

    def make(folder: Path, tick: Tick) -> None:
        texts = [demonstration(family, seed, index) for index in range(demonstrations)]
        prompts = [(f"{question}\n", text) for question, text in texts]
        train_from_scratch(prompts, FAMILIES[family].TOKENS, settings, folder, tick)

    return made_once(f"{PREFIX}-{family}-{seed}-{key}", make, tick)
