"""Means, standard errors and both tests, worked out by hand on two seeds of four problems."""

import math
from pathlib import Path

import polars as pl
import pytest

from cli.experiment_summary import (
    ANSWERS as OF_ANSWERS,
)
from cli.experiment_summary import (
    PRM,
    by_rule,
    compared,
    experiment_summary,
    injections,
    mean_figures,
    points,
    prm_by_method,
    standard_error,
)
from cli.experiment_tables import ANSWERS, FIGURES, RESULTS, TRIALS
from cli.render import console
from tests.cli.test_experiment_tables import ROW

RIGHT = {
    ("base", 0): "1000",
    ("base", 1): "1100",
    ("dpo", 0): "1100",
    ("dpo", 1): "1100",
    ("full-step", 0): "1110",
    ("full-step", 1): "0111",
}
"""Which of four problems each method answers rightly, by seed."""


def tables() -> dict[str, pl.DataFrame]:
    results, answers = [], []
    for (name, seed), right in RIGHT.items():
        correct = right.count("1")
        counts = {"test_correct": correct, "test_n": 4, "test_accuracy": correct / 4}
        rate = None if name == "base" else 1e-4
        results.append(ROW | {"method": name, "seed": seed, "learning_rate": rate, **counts})
        answers += [
            {"family": "facts", "seed": seed, "method": name, "problem_id": str(place), "operations": 3, "correct": one == "1"}
            for place, one in enumerate(right)
        ]
    results.append(ROW | {"method": "base", "decoding": "sc@8", "learning_rate": None})
    figure = {"family": "facts", "figure": "PRM AUC"}
    figures = [figure | {"seed": seed, "method": "base", "value": 0.5 + seed / 10} for seed in (0, 1)]
    figures.append(figure | {"seed": 0, "method": "full-step-mc8", "value": 0.75})
    return {
        "results": RESULTS.frame(results),
        "answers": ANSWERS.frame(answers),
        "trials": TRIALS.empty(),
        "figures": FIGURES.frame(figures),
    }


def test_means_and_differences_over_seeds() -> None:
    """full-step: 3/4, 3/4; dpo: 2/4, 2/4; base: 1/4, 2/4. base - dpo: -1/4, 0: mean -1/8, its error (1/4)/sqrt 2/sqrt 2 = 1/8."""
    found = compared(tables()["results"], tables()["answers"])
    assert found["method"].to_list() == ["base", "dpo", "full-step"]
    base, dpo, step = found.to_dicts()
    assert (base["accuracy"], base["difference"], base["difference_error"]) == (0.375, -0.125, pytest.approx(0.125))
    assert (step["accuracy"], step["error"], step["difference"]) == (0.75, 0.0, 0.25)
    assert (dpo["difference"], dpo["fixed"], dpo["broken"]) == (0.0, 0, 0)
    # t = -1 with one degree of freedom: p = 2 * (1/2 - atan(1) / pi) = 1/2
    assert base["p_seeds"] == pytest.approx(1 - 2 * math.atan(1) / math.pi)
    assert step["p_seeds"] is None  # both differences are 1/4: no spread, no test
    assert (step["rates"], base["rates"]) == ("0.0001 0.0001", "")


def test_problems_of_all_seeds_are_paired() -> None:
    """full-step against dpo: seed 0 fixes problem 2; seed 1 fixes 2 and 3, breaks 0. McNemar: 3 of 4, p = 2 * 5/16."""
    step = compared(tables()["results"], tables()["answers"]).row(2, named=True)
    assert (step["fixed"], step["broken"], step["p_problems"]) == (3, 1, pytest.approx(10 / 16))


def test_without_dpo_the_base_model_is_the_yardstick() -> None:
    found = tables()
    frames = (found[name].filter(pl.col("method") != "dpo") for name in ("results", "answers"))
    assert set(compared(*frames)["against"]) == {"base"}


def test_rules_figures_and_points() -> None:
    rules = by_rule(tables()["results"])
    assert rules.select("method", "decoding", "seeds").rows() == [("base", "greedy", 2), ("base", "sc@8", 1)]
    assert prm_by_method(tables()["figures"]).rows() == [("facts", "full-step-mc8", 0.75)]
    assert mean_figures(tables()["figures"]).row(0) == ("PRM AUC", 0.55)
    assert standard_error(tables()["results"]["test_accuracy"].to_numpy()[:1]) is None
    assert (points(0.5, None), points(0.125, 0.01, "+"), points(None, None)) == ("50.0", "+12.5 ± 1.0", "")


def test_the_summary_names_methods_rules_and_figures() -> None:
    screen = console()
    with screen.capture() as shown:
        screen.print(*experiment_summary(tables(), Path("out/study")))
    for word in ("Methods, facts", "full-step", "+25.0 ± 0.0", "sc@8", "PRM AUC", "python -m cli.results out/study"):
        assert word in shown.get()


def test_where_nothing_is_answered_nothing_is_compared() -> None:
    found = tables()
    found["results"] = found["results"].with_columns(test_accuracy=pl.lit(0.0), test_correct=pl.lit(0, pl.Int32))
    screen = console()
    with screen.capture() as shown:
        screen.print(*experiment_summary(found, Path("out/study")))
    assert "nothing is compared" in shown.get()


def test_figures_of_an_injected_mistake_stand_apart() -> None:
    """Means with errors over two seeds, methods in order; the tables of the data do not show them, the summary does."""
    found = tables()
    told = [
        {"family": "facts", "seed": seed, "method": name, "figure": f"{of}made", "value": value}
        for name, of, seed, value in (
            ("dpo", OF_ANSWERS, 0, 0.5),
            ("base", OF_ANSWERS, 0, 0.5),
            ("base", OF_ANSWERS, 1, 1.0),
            ("base", PRM, 0, 0.25),
            ("base", PRM, 1, None),
        )
    ]
    figures = pl.concat([found["figures"], FIGURES.frame(told)])
    rows = injections(figures, OF_ANSWERS).rows()
    assert rows == [("facts", "base", "made", 2, 0.75, pytest.approx(0.25)), ("facts", "dpo", "made", 1, 0.5, None)]
    assert injections(figures, PRM).rows() == [("facts", "base", "made", 1, 0.25, None)]
    assert injections(found["figures"], PRM).is_empty()
    assert mean_figures(figures).rows() == mean_figures(found["figures"]).rows()
    assert prm_by_method(figures).rows() == prm_by_method(found["figures"]).rows()
    screen = console()
    with screen.capture() as shown:
        screen.print(*experiment_summary(found | {"figures": figures}, Path("out/study")))
    for word in ("The injected mistake, PRMs", "The injected mistake, answers", "made", "0.75"):
        assert word in shown.get()
