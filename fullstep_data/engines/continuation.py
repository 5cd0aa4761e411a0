r"""Going on from a text that was sampled before: which of its token ids a prefix needs, and what came after them.

    cut(decode, "Step 1: 7\nStep 2: 5", ids, stops=[10])        ->  [(6, 10)]: 6 ids hold the first 10 characters
    decoded(decode, request, ids)                               ->  the text that the new ids added, before any stop string

`decode` makes a text of token ids. Engines share this file, so that all of them cut and join alike.
"""

from collections.abc import Callable, Sequence

from fullstep_data.engines.protocol import Request

Decode = Callable[[Sequence[int]], str]

# What a decoder writes for the bytes of half a character.
_HALF = "\ufffd"


def cut(decode: Decode, text: str, token_ids: Sequence[int], stops: Sequence[int]) -> list[tuple[int, int]]:
    """For each stop (in characters of `text`): the fewest ids that hold the text up to it, and how many characters those hold.

    A token that stands across a stop is taken in, so the second number may pass the stop. All ids where they end before it.
    """
    return [_holding(decode, text[:stop], token_ids) for stop in stops]


def held(decode: Decode, token_ids: Sequence[int]) -> int:
    """How many whole characters the ids hold."""
    return len(decode(token_ids).rstrip(_HALF)) if token_ids else 0


def decoded(decode: Decode, request: Request, token_ids: Sequence[int]) -> tuple[str, int | None]:
    """The text that `token_ids` add to the request's prefix, and where in it the first stop string begins (None: nowhere).

    A stop string may begin in the prefix and end after it; the place is then 0.
    """
    start = held(decode, request.prefix)
    whole = decode((*request.prefix, *token_ids))
    places = (whole.find(stop, max(0, start - len(stop) + 1)) for stop in request.stop)
    first = min((place for place in places if place >= 0), default=None)
    return whole[start:], None if first is None else max(0, first - start)


def _holding(decode: Decode, wanted: str, token_ids: Sequence[int]) -> tuple[int, int]:
    low, high = 0, len(token_ids)
    while low < high:  # more ids hold more text, so halving finds the fewest
        middle = (low + high) // 2
        if decode(token_ids[:middle]).startswith(wanted):
            high = middle
        else:
            low = middle + 1
    return low, held(decode, token_ids[:low])
