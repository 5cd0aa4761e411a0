"""The page and the figure come out of tables alone."""

import json
from pathlib import Path

import pytest

from cli.experiment_methods import RECIPE
from cli.experiment_summary import compared
from cli.experiment_tables import TRIALS
from cli.results import CALLS, Others, main, page, specification, write_figure
from cli.results_studies import read
from schemas import InputError
from tests.cli.test_experiment_summary import tables

CALL = {
    "command": "fs-train experiment arithmetic --out out/study",
    "date": "2026-11-25",
    "machine": "Linux x86_64, 2 cores, Python 3.11",
    "versions": {"torch": "2.13"},
}
TRIAL = {"family": "facts", "seed": 0, "method": "dpo", "validation_n": 10, "pairs": 5, "cpu_seconds": 1.0}
TRIAL |= {"chosen_change": -1.5, "rejected_change": -4.0}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    found = tables()
    found["trials"] = TRIALS.frame(
        [TRIAL | {"learning_rate": rate, "validation_accuracy": share} for rate, share in ((1e-4, 0.5), (1e-3, 0.25))]
    )
    for name, frame in found.items():
        frame.write_parquet(tmp_path / f"{name}.parquet")
    (tmp_path / CALLS).mkdir()
    for number, seconds in enumerate((1000, 234)):  # stopped, and taken up again
        (tmp_path / CALLS / f"{number}.json").write_text(json.dumps(CALL | {"cpu_seconds": seconds}), encoding="utf-8")
    return tmp_path


def test_the_page_tells_commands_numbers_and_what_methods_are(study: Path) -> None:
    text = page(study, "figures/arithmetic.png")
    for words in (
        "```bash\nfs-train experiment arithmetic --out out/study\n```",
        "1,234 CPU-seconds; 2026-11-25",
        "![greedy accuracy by method](figures/arithmetic.png)",
        "Best of those that do not know the truth: `full-step` with 75.0 ± 0.0 %, then `dpo` with 50.0 ± 0.0 %",
        "| full-step | 2 | 75.0 ± 0.0 | +25.0 ± 0.0 |",
        "| facts | dpo | 50.0 | 25.0 |",
        "| dpo | DPO on whole solutions | `policy.weighting.gamma=0` |",
        "| PRM AUC | 0.55 |",
        "| facts | full-step-mc8 | 0.75 |",
        "| facts | dpo | -1.5 | -4 |",
        "| family | method | 3 operations |",
        "In facts Full-Step-DPO (gamma 0.5) answers 75.0 ± 0.0 %, +25.0 ± 0.0 points to `dpo`.",
        f"`{RECIPE}` was not run.",
        "Base models answer greedily, from the worst seed to the best: facts 25.0 to 50.0 %.",
        "| facts | base | sc@8 | 1 | 75.0 |",
        "Of 1 searches 1 ended at the lowest learning rate",
    ):
        assert words in text
    assert text.count("```bash") == 1


def test_candidates_of_other_seeds_stand_in_a_table_of_their_own(study: Path) -> None:
    text = page(study, "figures/arithmetic.png", Others(candidates=study))
    assert "## Candidates" in text
    assert "| facts | full-step | Full-Step-DPO, weighting step, gamma 0.5 | 2 | 50.0 | 75.0 ± 0.0 |  |" in text
    assert text.count("```bash") == 2
    assert "## Candidates" not in page(study, "figures/arithmetic.png")


def test_the_figure_has_a_panel_per_family_and_a_point_per_method(study: Path, tmp_path: Path) -> None:
    found = compared(read(study)["results"], read(study)["answers"])
    (column,) = specification(found)["hconcat"]
    above, below = column["vconcat"]
    assert above["title"] == "facts"
    assert above["layer"][1]["encoding"]["y"]["sort"] == ["base", "dpo", "full-step"]
    assert below["layer"][1]["encoding"]["x"]["title"] == "points more than dpo, same seeds"
    write_figure(found, tmp_path / "new" / "figure.png")
    assert (tmp_path / "new" / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no results"):
        read(tmp_path)


def test_the_picture_lies_in_the_folder_unless_a_place_is_named(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["results", str(study)])
    main()
    assert f"![greedy accuracy by method]({study}/results.png)" in capsys.readouterr().out
    assert (study / "results.png").is_file()
    monkeypatch.setattr("sys.argv", ["results", str(study), "--figure", str(tmp_path / "docs/figures/mine.png")])
    main()
    assert "![greedy accuracy by method](figures/mine.png)" in capsys.readouterr().out
    assert (tmp_path / "docs/figures/mine.png").is_file()
