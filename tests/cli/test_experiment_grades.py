"""PRMs of graded quality over the same samples: what is decided once, and a small world from end to end."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from cli import experiment_grades
from cli.experiment_grades import grade, quality
from cli.experiment_methods import method
from cli.experiment_world import World
from tests.cli.test_experiment_world import world

FITTED = SimpleNamespace(score="mean", weight=0.5)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose samples are decided over by three rules: sc@2 is right twice of four times, the others once."""
    answers = [("sc@2", True), ("sc@2", True), ("hybrid-mean@2", True), ("sc@1", True)]
    predictions = pl.DataFrame(
        [{"model": "base", "decoding": rule, "correct": correct} for rule, correct in answers]
        + [{"model": "base", "decoding": rule, "correct": False} for rule in ("sc@2", "sc@2", "hybrid-mean@2", "sc@1")]
    )
    frames = {"predictions": predictions, "solutions": pl.DataFrame(), "step_scores": pl.DataFrame()}
    asked: list[Any] = []

    def decided(*given: Any) -> SimpleNamespace:
        asked.append(given[1:])
        return SimpleNamespace(frame=frames.__getitem__)

    monkeypatch.setattr(experiment_grades, "decided", decided)
    monkeypatch.setattr(experiment_grades, "prm_of", lambda world, name: Path(name))
    monkeypatch.setattr(experiment_grades, "validation", lambda *given: SimpleNamespace(frame=frames.__getitem__))
    monkeypatch.setattr(experiment_grades, "quality", lambda *given: 0.75)
    monkeypatch.setattr(experiment_grades, "calibrate", lambda *given: FITTED)
    monkeypatch.setattr(experiment_grades.Store, "open", lambda place: SimpleNamespace(version=lambda: "tested"))
    (tmp_path / "base").mkdir()
    made = world(tmp_path)
    made.asked = asked  # type: ignore[attr-defined]  # for the tests here
    return made


def test_each_prm_decides_once_over_the_same_samples(here: World) -> None:
    """The shared PRM and one more, over validation samples, then, calibrated, over those of the test; only full sizes count."""
    grade(here, ("full-step-mc2",), None)
    found = pl.read_parquet(here.folder / "base" / "graded.parquet")
    assert set(found["auc"]) == {0.75}
    assert found.select("prm", "decoding", "weight", "test_correct", "test_n").rows() == [
        (prm, *row) for prm in ("base", "full-step-mc2") for row in (("sc@2", None, 2, 4), ("hybrid-mean@2", 0.5, 1, 2))
    ]
    asked = here.asked  # type: ignore[attr-defined]  # as above
    assert [given[0] for given in asked] == [Path(name) for name in ("base", "base", "full-step-mc2", "full-step-mc2")]
    assert asked[1][2:] == ("tested", ("sc@2", "hybrid-mean@2"), (FITTED,))
    grade(here, ("full-step-mc2",), None)
    assert len(asked) == 4
    grade(here, ("full-step-mc4",), None)
    assert len(asked) == 6
    assert set(pl.read_parquet(here.folder / "base" / "graded.parquet")["prm"]) == {"base", "full-step-mc2", "full-step-mc4"}


def test_the_quality_of_a_prm_is_that_of_prefixes(tmp_path: Path) -> None:
    """47+2 is worked rightly, then wrongly: rewards 0.9 and 0.4 of right prefixes, 0.5 and 0.1 of wrong ones: 3 of 4 in order."""
    frames = {
        "problems": pl.DataFrame({"problem_id": ["p"], "question": ["47 (1)+2"]}),
        "solutions": pl.DataFrame(
            {
                "solution_id": ["a", "b"],
                "problem_id": ["p", "p"],
                "text": ["(1) 47+2=49\nAnswer: 49", "(1) 47+2=48\nAnswer: 48"],
            }
        ),
    }
    scores = pl.DataFrame({"solution_id": ["a", "a", "b", "b"], "step_index": [1, 0, 0, 1], "reward": [0.4, 0.9, 0.5, 0.1]})
    samples: Any = SimpleNamespace(frame=frames.__getitem__)
    assert quality(world(tmp_path), samples, scores) == 0.75
    assert quality(world(tmp_path), samples, scores.filter(solution_id="a")) is None


@pytest.mark.slow
def test_a_small_world_from_end_to_end(tmp_path: Path) -> None:
    """Self-Consistency is the same under every PRM, and what the base model's own test says; the hybrid has a weight."""
    here = world(tmp_path, "facts", 0)
    here.do(None)
    grade(here, ("full-step-mc2",), None)
    found = pl.read_parquet(tmp_path / "base" / "graded.parquet")
    tested = dict(pl.read_parquet(tmp_path / "base" / "results.parquet").select("decoding", "test_accuracy").iter_rows())
    votes = found.filter(decoding="sc@2")
    assert votes["test_accuracy"].to_list() == [tested["sc@2"]] * 2
    assert votes["prm"].to_list() == ["base", "full-step-mc2"]
    assert found.filter(decoding="hybrid-mean@2")["weight"].null_count() == 0
    assert found["auc"].null_count() == 0
    assert here.dataset(method("full-step-mc2")).model("prm") != here.dataset(None).model("prm")
