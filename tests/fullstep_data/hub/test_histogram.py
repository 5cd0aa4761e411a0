import io

import pytest
from PIL import Image

from fullstep_data.hub.histogram import BINS, COLOURS, picture


def test_the_outline_stands_where_the_counts_are():
    empty = [0] * BINS
    # All of label 1 in the last bin (right end, full height), all of label 0 in the first: each share is 100 %.
    image = Image.open(io.BytesIO(picture({True: [*empty[1:], 4], False: [7, *empty[1:]]}))).convert("RGB")
    width, height = image.size
    high = range(height // 5, height // 2)  # below the legend, above the line that empty bins leave
    for label, wanted in ((True, range(int(width * 0.9), width)), (False, range(int(width * 0.15)))):
        xs = {x for x in range(width) for y in high if image.getpixel((x, y)) == COLOURS[label]}
        assert xs
        assert xs <= set(wanted), (label, min(xs), max(xs))


@pytest.mark.parametrize("counts", [{}, {None: [0] * BINS}])
def test_nothing_to_draw_is_an_empty_picture(counts):
    assert Image.open(io.BytesIO(picture(counts))).format == "PNG"


def test_the_same_counts_are_the_same_bytes():
    counts = {True: list(range(BINS)), None: [1] * BINS}
    assert picture(counts) == picture(dict(counts))
