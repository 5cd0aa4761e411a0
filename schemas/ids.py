"""Ids and seeds: hashes of content, so the same input has the same id and the same samples on every machine.

content_id("What is 2 + 2?")                    ->  "3a1c…"  (20 hexadecimal digits, 80 bits)
sample_seed(problem_id, sample_index, run_seed) ->  an integer in [0, 2**63); rollout_seed: the same for a prefix
"""

import hashlib
import json
from collections.abc import Sequence
from itertools import repeat
from json.encoder import encode_basestring
from typing import Any

ID_DIGITS = 20


def content_id(*content: Any) -> str:
    """The id of some content: the first 80 bits of SHA-256 over its canonical JSON (a clash among 1e8 ids: odds 4e-9)."""
    return _digest(content)[:ID_DIGITS]


def content_ids(*content: str | Sequence[str]) -> list[str]:
    """`content_id` of many rows at once, at half the cost. A text stands in every row; of a sequence each row has its own."""
    if all(map(_plain, content)):
        columns = [repeat(one) if isinstance(one, str) else one for one in content]
        rows = map('","'.join, zip(*columns, strict=False))  # repeat has no end
        return [hashlib.sha256(f'["{row}"]'.encode()).hexdigest()[:ID_DIGITS] for row in rows]
    quoted = [repeat(encode_basestring(one)) if isinstance(one, str) else map(encode_basestring, one) for one in content]
    texts = (f"[{','.join(row)}]".encode("utf-8", "surrogatepass") for row in zip(*quoted, strict=False))
    return [hashlib.sha256(text).hexdigest()[:ID_DIGITS] for text in texts]


def sample_seed(problem_id: str, sample_index: int, run_seed: int) -> int:
    """The seed of one sample. It depends on nothing else, so restarts and top-ups never repeat or lose a sample."""
    return int(_digest(("seed", problem_id, sample_index, run_seed))[:16], 16) >> 1


def rollout_seed(problem_id: str, prefix_key: str, rollout_index: int, run_seed: int) -> int:
    """The seed of one rollout: the same after a restart, when more are asked for, and whichever policy asks."""
    return int(_digest(("rollout", problem_id, prefix_key, rollout_index, run_seed))[:16], 16) >> 1


def stable_fraction(*content: Any) -> float:
    """A number in [0, 1) fixed by the content: used for splits and for breaking ties, stable when the data grow."""
    return int(_digest(("fraction", *content))[:13], 16) / 16**13


def _plain(content: str | Sequence[str]) -> bool:
    """Does JSON write these texts as they are? Found in one call for all of them."""
    text = content if isinstance(content, str) else "".join(content)
    return text.isascii() and len(encode_basestring(text)) == len(text) + 2


def _digest(content: tuple[Any, ...]) -> str:
    try:  # most contents are texts alone; json.dumps, which takes three times as long, gives the same
        text = f"[{','.join(map(encode_basestring, content))}]"
    except TypeError:
        text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
