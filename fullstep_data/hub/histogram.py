"""Step rewards by label as a picture, for the card: two rows of bars over the rewards 0 to 1.

picture({True: [0, 3, …], False: [5, 1, …]})    ->  the bytes of a PNG file
"""

import io
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

BINS = 20
_WIDTH, _HEIGHT, _LEFT, _FOOT = 26, 110, 20, 40
_COLOURS = {True: (47, 117, 181), False: (201, 87, 60), None: (120, 120, 120)}
_NAMES = {True: "steps labelled 1", False: "steps labelled 0", None: "steps without a label"}


def picture(counts: Mapping[bool | None, Sequence[int]]) -> bytes:
    """A PNG. counts: by label, steps in each of BINS equal bins of the reward."""
    panel = _HEIGHT + _FOOT
    image = Image.new("RGB", (2 * _LEFT + BINS * _WIDTH, len(counts) * panel + 10), "white")
    draw = ImageDraw.Draw(image)
    for row, (label, bins) in enumerate(counts.items()):
        base, most = row * panel + 20 + _HEIGHT - 20, max(*bins, 1)
        for place, count in enumerate(bins):
            left = _LEFT + place * _WIDTH
            draw.rectangle((left + 1, base - round((_HEIGHT - 25) * count / most), left + _WIDTH - 2, base), _COLOURS[label])
        draw.text((_LEFT, row * panel + 4), f"{_NAMES[label]}: {sum(bins):,}; the highest bar is {max(bins):,}", "black")
        for tick in range(0, BINS + 1, BINS // 4):
            draw.text((_LEFT + tick * _WIDTH - 8, base + 4), f"{tick / BINS:.2f}", "black")
        draw.text((_LEFT + BINS * _WIDTH // 2 - 16, base + 18), "reward", "black")
    sink = io.BytesIO()
    image.save(sink, "PNG", optimize=True)
    return sink.getvalue()
