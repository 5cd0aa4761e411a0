"""Step rewards by label as a picture, for the card: for each label the share of its steps in each bin of the reward, 0 to 1.

picture({True: [0, 3, …], False: [5, 1, …]})    ->  the bytes of a PNG file

Drawn by Pillow, which is always there: a card has its picture whether or not the extra `report` is installed, so that pushing
from two machines publishes the same. Blue stands for right and orange for wrong, as in the report.
"""

import io
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

BINS = 20
COLOURS = {True: (31, 111, 180), False: (207, 106, 20), None: (138, 147, 155)}
_NAMES = {True: "label 1", False: "label 0", None: "no label"}
_PAPER, _INK, _MUTED, _RULE = (251, 251, 249), (29, 36, 41), (91, 102, 111), (226, 229, 225)
# In pixels, enough for fine screens.
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _FOOT = 1280, 640, 100, 40, 110, 110
_FONT = ImageFont.load_default(size=24)


def picture(counts: Mapping[bool | None, Sequence[int]]) -> bytes:
    """A PNG. counts: by label, steps in each of BINS equal bins of the reward."""
    image = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    shares = {label: [count / max(sum(bins), 1) for count in bins] for label, bins in counts.items()}
    top = max((share for bins in shares.values() for share in bins), default=0) or 1.0
    _axes(ImageDraw.Draw(image), top)
    for label, bins in shares.items():
        outline = [(_x(0), _y(0, top))]
        for place, share in enumerate(bins):
            outline += [(_x(place / BINS), _y(share, top)), (_x((place + 1) / BINS), _y(share, top))]
        outline.append((_x(1), _y(0, top)))
        wash = Image.new("RGBA", image.size)
        ImageDraw.Draw(wash).polygon(outline, fill=(*COLOURS[label], 40))
        image.paste(wash, mask=wash)
        ImageDraw.Draw(image).line(outline, fill=COLOURS[label], width=4, joint="curve")
    _legend(ImageDraw.Draw(image), counts)
    sink = io.BytesIO()
    image.save(sink, "PNG", optimize=True)
    return sink.getvalue()


def _x(reward: float) -> int:
    return round(_LEFT + reward * (_WIDTH - _LEFT - _RIGHT))


def _y(share: float, top: float) -> int:
    return round(_HEIGHT - _FOOT - share / top * (_HEIGHT - _TOP - _FOOT))


def _axes(draw: ImageDraw.ImageDraw, top: float) -> None:
    for quarter in range(5):
        share = top * quarter / 4
        draw.line((_x(0), _y(share, top), _x(1), _y(share, top)), fill=_RULE, width=2)
        draw.text((_LEFT - 12, _y(share, top)), f"{share:.0%}", _MUTED, _FONT, anchor="rm")
    for tenth in range(11):
        draw.text((_x(tenth / 10), _HEIGHT - _FOOT + 12), f"{tenth / 10:.1f}", _MUTED, _FONT, anchor="mt")
    draw.text((_x(0.5), _HEIGHT - 30), "reward of a step", _MUTED, _FONT, anchor="mb")
    draw.text((_LEFT, _TOP - 16), "share of the label's steps", _MUTED, _FONT, anchor="lb")


def _legend(draw: ImageDraw.ImageDraw, counts: Mapping[bool | None, Sequence[int]]) -> None:
    left = float(_LEFT)
    for label, bins in counts.items():
        draw.rectangle((left, 24, left + 30, 54), COLOURS[label])
        text = f"{_NAMES[label]}: {sum(bins):,} steps"
        draw.text((left + 42, 39), text, _INK, _FONT, anchor="lm")
        left += 90 + draw.textlength(text, _FONT)
