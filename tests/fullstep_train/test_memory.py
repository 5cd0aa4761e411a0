"""memory: what runs out is told with the setting that halves it, and only that."""

import pytest
import torch

from fullstep_train.memory import enough_memory
from schemas import InputError


def test_memory_that_runs_out_is_told_with_the_setting_that_halves_it() -> None:
    with (
        pytest.raises(InputError, match="memory ran out while steps were scored") as told,
        enough_memory("while steps were scored"),
    ):
        torch.empty(2**60, dtype=torch.uint8)
    assert told.value.where == "max_group_tokens"
    assert "halve max_group_tokens" in told.value.next_step


def test_a_gpu_s_memory_too() -> None:
    with pytest.raises(InputError, match="memory ran out in training") as told, enough_memory("in training", ", or buy more"):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore lines")
    assert told.value.examples == ["CUDA out of memory. Tried to allocate 2.00 GiB"]
    assert told.value.next_step.endswith(", or buy more")


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), enough_memory("in training"):
        raise RuntimeError("shapes do not fit")
