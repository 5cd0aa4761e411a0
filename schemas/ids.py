"""Ids and seeds: hashes of content, so the same input has the same id and the same samples on every machine.

content_id("What is 2 + 2?")                    ->  "3a1c…"  (20 hexadecimal digits, 80 bits)
sample_seed(problem_id, sample_index, run_seed) ->  an integer in [0, 2**63); rollout_seed: the same for a prefix
"""

import hashlib
import json
from itertools import chain, repeat
from json.encoder import encode_basestring
from typing import Any

import numpy as np
import polars as pl
import polars_hash

ID_DIGITS = 20


def content_id(*content: Any) -> str:
    """The id of some content: the first 80 bits of SHA-256 over its canonical JSON (a clash among 1e8 ids: odds 4e-9)."""
    return _digest(content)[:ID_DIGITS]


def content_ids(*content: str | pl.Series) -> pl.Series:
    """`content_id` of many rows at once, at a fraction of the cost. A text stands in all rows, a column gives each its own."""
    opening = (pl.lit('","' if place else '["') for place in range(len(content)))
    texts = (pl.lit(one) for one in content)
    rows = pl.concat_str([*chain.from_iterable(zip(opening, texts, strict=True)), pl.lit('"]')])
    lines = pl.select(content=rows)
    if not _plain(lines["content"], quotes=2 * len(content)):
        columns = (repeat(one) if isinstance(one, str) else one.to_list() for one in content)
        return pl.Series([content_id(*row) for row in zip(*columns, strict=False)], dtype=pl.String)  # repeat has no end
    return lines.select(polars_hash.col("content").chash.sha2_256().str.head(ID_DIGITS)).to_series()


def sample_seed(problem_id: str, sample_index: int, run_seed: int) -> int:
    """The seed of one sample. It depends on nothing else, so restarts and top-ups never repeat or lose a sample."""
    return int(_digest(("seed", problem_id, sample_index, run_seed))[:16], 16) >> 1


def rollout_seed(problem_id: str, prefix_key: str, rollout_index: int, run_seed: int) -> int:
    """The seed of one rollout: the same after a restart, when more are asked for, and whichever policy asks."""
    return int(_digest(("rollout", problem_id, prefix_key, rollout_index, run_seed))[:16], 16) >> 1


def stable_fraction(*content: Any) -> float:
    """A number in [0, 1) fixed by the content: used for splits and for breaking ties, stable when the data grow."""
    return int(_digest(("fraction", *content))[:13], 16) / 16**13


def _plain(lines: pl.Series, quotes: int) -> bool:
    """Does JSON write the texts in these lines as they are? No: a quote more than those around them, a backslash, a control
    character; or what is no ASCII, which may hold such.
    """
    text = np.frombuffer(str(lines.str.join().item()).encode(), np.uint8)
    within = not text.size or (text.min() >= 32 and text.max() < 128)
    return within and not (text == ord("\\")).any() and np.count_nonzero(text == ord('"')) == quotes * len(lines)


def _digest(content: tuple[Any, ...]) -> str:
    try:  # most contents are texts alone; json.dumps, which takes three times as long, gives the same
        text = f"[{','.join(map(encode_basestring, content))}]"
    except TypeError:
        text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
