"""progress: libraries keep quiet, and are as loud as before afterwards."""

import contextlib
from pathlib import Path

import pytest
import torch
from transformers.utils import logging as hf_logging

from fullstep_train import models
from fullstep_train.progress import quiet


def test_loading_is_silent(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    models.load_causal(tiny, torch.float32)
    models.load_token_classifier(tiny, torch.float32, num_labels=2)
    models.load_tokenizer(tiny)
    assert capfd.readouterr() == ("", "")


def test_what_was_set_before_is_set_again() -> None:
    before = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    with contextlib.suppress(KeyboardInterrupt), quiet():
        assert hf_logging.get_verbosity() == hf_logging.ERROR
        assert not hf_logging.is_progress_bar_enabled()
        raise KeyboardInterrupt
    assert (hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()) == before
