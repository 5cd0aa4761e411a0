"""Sections out of other studies and other tables, on numbers that are worked out by hand."""

import json
from pathlib import Path

import polars as pl
import pytest

from cli.experiment_injection import OF_ANSWERS, OF_PRM
from cli.experiment_methods import RECIPE
from cli.experiment_summary import ANSWERS, PRM
from cli.experiment_tables import FIGURES, GRADED
from cli.results import Others, page
from cli.results_studies import SETTLED, confirmed, flagged_or_learnt, graded, hybrid_or_vote, injected, read
from schemas import InputError
from tests.cli.test_experiment_summary import tables


def study(folder: Path, found: dict[str, pl.DataFrame]) -> Path:
    folder.mkdir()
    for name, frame in found.items():
        frame.write_parquet(folder / f"{name}.parquet")
    return folder


def renamed(frame: pl.DataFrame, seeds: int) -> pl.DataFrame:
    """full-step as the recommended method, seeds later ones."""
    later = pl.col("seed") + pl.lit(seeds, pl.Int32)
    return frame.with_columns(later.alias("seed"), method=pl.col("method").replace({"full-step": RECIPE}))


def test_the_best_on_further_seeds_and_together(tmp_path: Path) -> None:
    """dpo is right in 2 of 4 on both seeds, the recommended in 3 of 4: -25 points, on two seeds and on four."""
    found = tables()
    further = study(tmp_path / "further", {name: renamed(frame, 6) for name, frame in found.items() if "method" in frame.columns})
    text = "\n".join(confirmed(renamed(found["results"], 0), further))
    assert "## Confirmation" in text
    assert "| facts | dpo | 2 | 50.0 ± 0.0 | -25.0 ± 0.0 | -25.0 ± 0.0 (4 seeds) |" in text
    assert f"| facts | {RECIPE} | 2 | 75.0 ± 0.0 |  |  |" in text


def test_is_an_injected_mistake_flagged_or_learnt(tmp_path: Path) -> None:
    """Two seeds: AUC 0.5 and 0.7 of the shared PRM; the base model makes the mistake always, dpo half of the times."""
    rows = [
        {"family": "facts", "seed": seed, "method": "base", "figure": f"{PRM}{name}", "value": 0.5 + 0.2 * seed}
        for seed in (0, 1)
        for name in OF_PRM
    ]
    rows += [
        {"family": "facts", "seed": seed, "method": name, "figure": f"{ANSWERS}{figure}", "value": value}
        for seed in (0, 1)
        for name, value in (("base", 1.0), ("dpo", 0.5))
        for figure in OF_ANSWERS
    ]
    folder = study(tmp_path / "misled", tables() | {"figures": FIGURES.frame(rows)})
    (folder / SETTLED).write_text(json.dumps({"inject": 90}), encoding="utf-8")
    text = "\n".join(injected([folder]))
    for words in (
        "### In 90 % of its occasions",
        "In facts the PRM of outcomes ranks right steps above those that make the mistake with an AUC of 0.60 ± 0.10",
        "it flags 60.0 ± 10.0 % of the former",
        "made by `base` in 100.0 ± 0.0 %, `dpo` in 50.0 ± 0.0 %.",
        "| of a PRM | facts, outcomes |",
        "| AUC, steps that make it | 0.60 ± 0.10 |",
        "| facts | dpo | 2 | 50.0 ± 0.0 | 50.0 ± 0.0 | 50.0 ± 0.0 | 50.0 ± 0.0 |",
        "| facts | full-step | 2 | ? | ? | ? | 75.0 ± 0.0 |",
    ):
        assert words in text
    assert injected([]) == []
    short = flagged_or_learnt([folder])
    assert "right ways to do the same operation with 0.60 ± 0.10: it hardly knows the mistake, at most the operation" in short
    assert (
        "The base model makes it at 100.0 ± 0.0 % of its occasions, `dpo`, which has lost most of it, at 50.0 ± 0.0 %." in short
    )
    assert flagged_or_learnt([]) == ""
    sure = [row | {"value": 0.9 + row["value"] / 100} for row in rows]
    FIGURES.frame(sure).write_parquet(folder / "figures.parquet")
    assert "0.91 ± 0.00: it flags the mistake itself (2 seeds with both)." in flagged_or_learnt([folder])


def test_rules_under_prms_of_graded_quality() -> None:
    """Under the better PRM, which stands below, the hybrid gains 25 and 50 points; under the other it is Self-Consistency."""
    shares = {"full-step-mc8": (0.75, 0.25, 0.8), "base": (0.5, 0.5, 0.6)}
    rows = [
        {
            "family": "facts",
            "seed": seed,
            "method": "base",
            "prm": prm,
            "auc": auc,
            "decoding": rule,
            "weight": weight,
            "test_n": 4,
        }
        | {"test_correct": round(4 * share), "test_accuracy": share}
        for seed in (0, 1)
        for prm, (hybrid, weight, auc) in shares.items()
        for rule, weight, share in (("sc@8", None, 0.5), ("bon-min@8", None, 0.25), ("hybrid-min@8", weight, hybrid))
    ]
    rows[8] |= {"test_correct": 4, "test_accuracy": 1.0}
    heading, _, said, table = graded(GRADED.frame(rows))
    short = hybrid_or_vote(GRADED.frame(rows))
    assert short.startswith(
        "Of 2 pairs of a policy and a PRM, by 2 standard errors over seeds: `bon-min@8` is clearly above `sc@8` in 0"
    )
    assert "`bon-min@8` is clearly above `sc@8` in 0 and clearly below it in 2 (by -25.0 to -25.0 points)" in short
    assert "`hybrid-min@8` is clearly above `sc@8` in 1 and clearly below it in 0 (by +0.0 to +37.5 points)" in short
    assert hybrid_or_vote(GRADED.empty()) == ""
    assert heading == "## PRMs of graded quality"
    assert table.splitlines()[0].endswith(
        "| sc@8, % | bon-min@8, % | hybrid-min@8, % | weight of hybrid-min@8 | gain of hybrid-min@8 |"
    )
    assert table.splitlines()[2:] == [
        "| facts | base | base | 2 | 0.60 | 50.0 ± 0.0 | 25.0 ± 0.0 | 50.0 ± 0.0 | 0.50 | +0.0 ± 0.0 |",
        "| facts | base | full-step-mc8 | 2 | 0.80 | 50.0 ± 0.0 | 25.0 ± 0.0 | 87.5 ± 12.5 | 0.25 | +37.5 ± 12.5 |",
    ]
    assert "`full-step-mc8`: Full-Step-DPO, labels of 8 rollouts." in said
    assert graded(GRADED.empty()) == []


def test_the_page_tells_of_the_others_that_are_named(tmp_path: Path) -> None:
    folder = study(tmp_path / "study", tables())
    plain = page(folder, "figure.png")
    for heading in ("## Candidates", "## Confirmation", "## One injected mistake", "## PRMs of graded quality"):
        assert heading not in plain
    (folder / SETTLED).write_text(json.dumps({"inject": 50}), encoding="utf-8")
    text = page(folder, "figure.png", Others(candidates=folder, confirmation=folder, injected=(folder,)))
    for words in ("## Candidates", "## Confirmation", "### In 50 %", "Of the confirmation:", "With an injected mistake:"):
        assert words in text


def test_a_folder_of_before_graded_prms_can_be_read(tmp_path: Path) -> None:
    assert read(study(tmp_path / "older", tables()))["graded"].is_empty()
    with pytest.raises(InputError, match="no results of an experiment"):
        read(tmp_path)
