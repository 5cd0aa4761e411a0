"""The training curve as a picture: every panel that the log has figures for, refused before the training where it cannot be."""

import struct
from pathlib import Path

import pytest

from cli.plot import HEIGHT, PANELS, WIDTH, reliability_specification, require_plot, specification, write_plot, write_reliability
from schemas import InputError
from tests.cli.commands import done, invoke

CURVE = [
    {"step": k, "loss": 0.7 - 0.1 * k, "rewards/chosen": 0.1 * k, "rewards/rejected": -0.1 * k, "rewards/accuracies": 0.5}
    for k in range(1, 4)
]


def test_a_panel_for_each_figure_that_was_logged():
    """No log-ratio in this curve, so one panel less."""
    panels = specification(CURVE)["vconcat"]
    titles = [panel["encoding"]["y"]["title"] for panel in panels]
    assert titles == [title for title in PANELS if not title.startswith("log-ratio")]
    data = specification(CURVE)["datasets"][panels[1]["data"]["name"]]
    assert [(row["figure"], row["value"]) for row in data if row["step"] == 2] == [("chosen", 0.2), ("rejected", -0.2)]


def test_the_picture_is_a_png(tmp_path: Path):
    write_plot(CURVE, tmp_path / "curve.png")
    picture = (tmp_path / "curve.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", picture[16:24])
    assert width > 2 * WIDTH
    assert height > 3 * 2 * HEIGHT
    assert len(picture) > 10_000  # an empty one shrinks to next to nothing


def test_reliability_is_measured_against_the_diagonal(tmp_path: Path):
    bins = [
        {"low": 0.2, "high": 0.3, "steps": 4, "reward_mean": 0.25, "share": 0.5},
        {"low": 0.9, "high": 1.0, "steps": 2, "reward_mean": 0.95, "share": 1.0},
    ]
    made = reliability_specification(bins)
    diagonal, measured = made["vconcat"][0]["layer"]
    assert [tuple(row.values()) for row in made["datasets"][diagonal["data"]["name"]]] == [(0.0,), (1.0,)]
    rows = made["datasets"][measured["data"]["name"]]
    assert [(row["reward_mean"], row["share"], row["steps"]) for row in rows] == [(0.25, 0.5, 4), (0.95, 1.0, 2)]
    titles = [{axis: layer["encoding"][axis]["title"] for axis in "xy"} for layer in (diagonal, measured)]
    assert titles == [{"x": "mean reward of the bin", "y": "share of right steps"}] * 2  # a layer without would take them away
    assert made["vconcat"][1]["mark"]["orient"] == "vertical"  # else a strip at its height, not a bar up to it
    write_reliability(bins, tmp_path / "reliability.png")
    assert (tmp_path / "reliability.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("name", ["curve.svg", "absent/curve.png", "folder.png"])
def test_where_it_cannot_be_it_is_refused(tmp_path: Path, name: str):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match="plot"):
        require_plot(tmp_path / name)


def test_missing_packages_are_named_with_their_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cli.plot.find_spec", lambda name: None)
    with pytest.raises(InputError, match="not installed") as told:
        require_plot(tmp_path / "curve.png")
    assert told.value.next_step == 'pip install "fullstep[report]"'


def test_a_run_ends_with_its_picture(place: Path):
    refused = invoke("fs-train run tiny --data out/tiny --out out/new --plot curve.svg", place)
    assert refused.exit_code == 2
    assert not (place / "out/new").exists()
    assert "curve.png" in done("fs-train run tiny --data out/tiny --out out/tiny-run --plot curve.png", place).stdout
    for picture in (place / "curve.png", place / "out/tiny-run/training.png"):  # the latter of the run without --plot
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_without_the_packages_a_run_ends_without_it(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cli.plot.find_spec", lambda name: None)
    (place / "out/tiny-run/training.png").unlink()
    assert "fullstep[report]" in done("fs-train run tiny --data out/tiny --out out/tiny-run", place).stdout
    assert not (place / "out/tiny-run/training.png").exists()
