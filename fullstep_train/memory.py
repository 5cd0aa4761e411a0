"""What to change where memory runs out: torch names the device, not the setting.

with enough_memory("in training", "policy"):
    ...
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from schemas import InputError

NO_MEMORY = "can't allocate memory"
"""What torch's allocator for the CPU says."""


@contextmanager
def enough_memory(when: str, more: str = "") -> Iterator[None]:
    """InputError where memory runs out inside. when: ends the sentence. more: what else to do there, as the end of a sentence."""
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one
        if not isinstance(error, torch.OutOfMemoryError) and NO_MEMORY not in str(error):
            raise
        raise InputError(
            what=f"memory ran out {when}",
            where="max_group_tokens",
            examples=[str(error).splitlines()[0]],
            next_step=f"halve max_group_tokens, which halves what a pass needs (1 needs the least: one solution at a time){more}",
        ) from error
