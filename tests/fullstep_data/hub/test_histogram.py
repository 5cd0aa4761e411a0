import io

from PIL import Image

from fullstep_data.hub.histogram import BINS, picture


def test_bars_stand_where_the_counts_are():
    empty = [0] * BINS
    image = Image.open(io.BytesIO(picture({True: [0] * (BINS - 1) + [4], False: empty}))).convert("RGB")
    width, height = image.size
    blue = [(x, y) for x in range(width) for y in range(height // 2) if image.getpixel((x, y)) == (47, 117, 181)]
    xs = {x for x, y in blue if y < height // 4}  # the high bar, above the line that empty bins leave
    assert min(xs) > width * 0.9 - 20  # the last bin is at the right
    assert len({y for _, y in blue}) > 60


def test_the_same_counts_are_the_same_bytes():
    counts = {True: list(range(BINS)), None: [1] * BINS}
    assert picture(counts) == picture(dict(counts))
