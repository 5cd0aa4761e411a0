"""The base models of the bench: `bench-arithmetic-facts`, `bench-arithmetic-skill`, with a seed `bench-arithmetic-facts-3`, and
with an injected mistake, made in 90 % of its occasions, `bench-arithmetic-facts-3-injected-90`.

    folder = bench_model("bench-arithmetic-facts-3", tick)

A Llama of 0.1M parameters learns 4,500 demonstrations of its family, mistakes among them; then it answers half to three quarters
of the probes greedily, or other mistakes are taught to another one. Made once, into the cache, under a hash of all that decides
it; about 30 CPU-seconds an attempt.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import cast

from fullstep_data.arithmetic import FAMILIES, NAMES, FamilyName, Item, demonstration, probes
from fullstep_data.engines.hf import HFGenerator
from fullstep_data.engines.protocol import Completion, Request
from fullstep_train.builtin import made_once
from fullstep_train.progress import Tick
from fullstep_train.scratch import Scratch, train_from_scratch
from schemas import InputError
from schemas.ids import content_id

PREFIX = "bench-arithmetic"
NAME = re.compile(rf"{PREFIX}-({'|'.join(NAMES)})(?:-(\d+)(?:-injected-(\d+))?)?")
REVISION = 2
"""Raised when the training changes: it is part of the name in the cache."""
DEMONSTRATIONS = 4500
ABLE = (0.5, 0.75)
MISLED = (0.25, 0.75)
"""As ABLE, of a model with an injected mistake, which is one more than those by which a seed is measured."""
ATTEMPTS = 20
LONGEST = 64
"""Tokens of an answer."""
HASHED = 100
"""So many demonstrations stand in that name for all of them: other mistakes, other problems or another form change it."""


def is_bench_model(name: str) -> bool:
    """Is this the name of a base model of the bench, well written or not?"""
    return name.startswith(PREFIX)


def bench_model(
    name: str,
    tick: Tick,
    config: Scratch | None = None,
    demonstrations: int = DEMONSTRATIONS,
    able: tuple[float, float] | None = None,
) -> Path:
    """The folder of a base model, made now where it is not there yet. The seed decides mistakes, demonstrations and weights.

    able: the share of the probes that it has to answer, ABLE or MISLED unless it is given. InputError: none of ATTEMPTS does.
    """
    read = NAME.fullmatch(name)
    if read is None:
        raise InputError(
            f"there is no model {name!r}",
            next_step=f"the bench has {', '.join(f'{PREFIX}-{one}[-SEED[-injected-PERCENT]]' for one in NAMES)}",
        )
    family, seed, percent = cast("FamilyName", read[1]), int(read[2] or 0), int(read[3] or 0)
    able = able or (MISLED if percent else ABLE)
    settings = config or Scratch(seed=seed)
    share = percent / 100
    seen = [demonstration(family, seed, index, share=share) for index in range(min(HASHED, demonstrations))]
    injected = [percent] if percent else []
    key = content_id(REVISION, settings.model_dump(), demonstrations, able, FAMILIES[family].TOKENS, seen, *injected)

    def make(folder: Path, tick: Tick) -> None:
        for attempt in range(ATTEMPTS):
            texts = [demonstration(family, seed, index, attempt, share) for index in range(demonstrations)]
            prompts = [(f"{question}\n", text) for question, text in texts]
            train_from_scratch(prompts, FAMILIES[family].TOKENS, settings, folder, tick)
            if able[0] <= greedy_share(folder, probes(family, seed)) <= able[1]:
                return
        raise InputError(
            f"no attempt of {ATTEMPTS} answers {able[0]:.0%} to {able[1]:.0%} of its probes",
            where=name,
            next_step="take another seed",
        )

    return made_once(f"{PREFIX}-{family}-{seed}-{key}", make, tick)


def greedy_share(folder: Path, items: Sequence[Item]) -> float:
    """The share of problems that a model answers greedily."""
    requests = [Request(f"{one.question}\n", seed=0, max_tokens=LONGEST, temperature=0.0) for one in items]
    told = HFGenerator(folder, batch_size=len(items)).generate(requests)
    texts = [found.text if isinstance(found, Completion) else "" for found in told]
    return mean(text.rpartition("Answer: ")[2].strip() == one.answer for text, one in zip(texts, items, strict=True))
