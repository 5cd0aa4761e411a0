"""Ctrl-C at the worst moment: within a Polars query, which raises KeyboardInterrupt by itself, and Python then another."""

import os
import signal
import threading

import polars as pl


def interrupted_query() -> None:
    """A query that would take minutes; the signal comes after a fifth of a second."""
    numbers = pl.LazyFrame({"a": range(1_000_000)})
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    numbers.join(numbers.select(b="a"), how="cross").select((pl.col("a") * pl.col("b")).sum()).collect()
    raise AssertionError("nobody heard the signal")
