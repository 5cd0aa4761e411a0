import struct
import sys
from pathlib import Path

import pytest

from fullstep_data.report.image import WIDTH, rewards_image
from fullstep_data.store import Version
from schemas import InputError
from tests.fullstep_data.report.sums import build, questions


def test_the_picture_is_a_png_of_twice_its_size(version: Version):
    picture = rewards_image(version)
    assert picture is not None
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    # Width and height stand big-endian in the header chunk, after 16 bytes.
    width, height = struct.unpack(">II", picture[16:24])
    assert width == WIDTH * 2
    assert 400 <= height <= 800
    # A picture with nothing on it shrinks to next to nothing.
    assert len(picture) > 10_000


def test_where_nothing_was_scored_there_is_no_picture(tmp_path: Path):
    assert rewards_image(build(tmp_path / "data", questions(4), stages=5)) is None


def test_a_missing_package_is_named_with_its_extra(version: Version, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(InputError, match="vl-convert-python") as told:
        rewards_image(version)
    assert told.value.next_step == 'pip install "fullstep[report]"'
