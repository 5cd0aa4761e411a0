"""How long work says how far it is: `tick(done, total)`, called often, from the caller's thread; who looks on at a training;
and that libraries keep quiet.

    train_prm(..., watch=Watch(bar.update))     # a tick that raises (Ctrl-C) stops the work at the last checkpoint
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from transformers.utils import logging as hf_logging


class Tick(Protocol):
    """Called with how much is done, in units of which there are `total`."""

    def __call__(self, done: int, total: int) -> None: ...


def no_tick(done: int, total: int) -> None:
    """The tick of work that nobody watches."""


Figures = Callable[[Mapping[str, float]], None]
"""Called with the figures of each optimiser step: a row of training.json."""


def no_figures(row: Mapping[str, float]) -> None:
    """The figures of a training that nobody watches."""


@dataclass(frozen=True)
class Watch:
    """Who looks on at a training; no part of its result depends on it.

    trackers: names that transformers' `report_to` knows (`trackers.require_trackers`); where they write is told to each by its
    own environment variables.
    """

    tick: Tick = no_tick
    figures: Figures = no_figures
    trackers: tuple[str, ...] = ()


UNWATCHED = Watch()


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no log lines of transformers inside; what was set before is set again after."""
    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()
