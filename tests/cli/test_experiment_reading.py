"""What an experiment says: each sentence is worked out by hand from a few numbers."""

import polars as pl
import pytest

from cli.experiment_methods import RECIPE, RIVALS
from cli.experiment_reading import (
    BOUNDS,
    against_all,
    at_the_edge,
    base_band,
    bounds,
    by_length,
    limits,
    moved,
    rewards,
    rivals,
    truth,
    verdict,
)
from cli.experiment_summary import compared, mean_figures
from cli.experiment_tables import ANSWERS, FIGURES, RESULTS, TRIALS
from tests.cli.test_experiment_tables import ROW

SHARES = {"base": (0.50, 0.60), "dpo": (0.60, 0.80), "full-step": (0.60, 0.80), RECIPE: (0.90, 0.92)}
"""Test accuracy of each method on two seeds."""


def results(shares: dict[str, tuple[float, float]] = SHARES, family: str = "facts") -> pl.DataFrame:
    rows = [
        ROW | {"family": family, "method": name, "seed": seed, "test_correct": 0, "test_accuracy": share}
        for name, pair in shares.items()
        for seed, share in enumerate(pair)
    ]
    return RESULTS.frame(rows)


def test_the_recommended_method_against_all_others() -> None:
    """To dpo: .3 and .12, mean .21, error (.18 / 2) = .09: 2.3 of them. To base: .4 and .32, mean .36, error .04: 9."""
    ahead = against_all(results())
    assert ahead["method"].to_list() == ["dpo", "full-step", "base"]
    assert ahead["difference"].to_list() == pytest.approx([0.21, 0.21, 0.36])
    assert ahead["error"].to_list() == pytest.approx([0.09, 0.09, 0.04])
    assert ahead["ratio"].to_list() == pytest.approx([0.21 / 0.09, 0.21 / 0.09, 9.0])
    assert verdict(ahead) == (
        f"`{RECIPE}` beats every other method that does not know the truth in facts by at least 2.3 standard errors "
        "(smallest difference: +21.0 ± 9.0 points to `dpo`)."
    )


def test_a_recommended_method_that_is_not_clearly_ahead_is_said_to_be_so() -> None:
    """To a dpo of .5 and .92: .4 and 0, mean .2, error .2: 1 of them."""
    ahead = against_all(pl.concat([results(SHARES | {"dpo": (0.5, 0.92)}), results(family="skill")]))
    told = verdict(ahead)
    assert (
        "does not beat every other method that does not know the truth by 2 standard errors: in facts 2 of 3, but not `dpo`"
        in told
    )
    assert "in skill by at least 2.3" in told
    few = results({"sft": (0.95, 0.0)}).filter(seed=0)
    assert verdict(against_all(pl.concat([results(), few]))).startswith(
        f"`{RECIPE}` beats every other method that does not know the truth in facts by at least"
    )
    assert verdict(against_all(results({"dpo": (0.1, 0.2)}))) == f"`{RECIPE}` was not run."


def test_the_truth_about_full_step_dpo_is_made_of_numbers() -> None:
    names = (
        "largest to smallest weight in a chosen solution, gamma 0.5",
        "largest to smallest weight in a rejected solution, gamma 0.5",
    )
    values = {names[0]: 1.08, names[1]: 1.152, "PRM AUC, prefix-correct": 0.714, "PRM AUC, mistakes made nearly always": 0.5}
    values |= {
        f"weight of a rejected solution on false steps, gamma {gamma}": share for gamma, share in (("0", 0.25), ("0.5", 0.26))
    }
    figures = FIGURES.frame(
        [{"family": "facts", "seed": 0, "method": "base", "figure": name, "value": value} for name, value in values.items()]
    )
    told = truth(compared(results(), ANSWERS.empty()), mean_figures(figures))
    assert told.startswith("In facts Full-Step-DPO (gamma 0.5) answers 70.0 ± 10.0 %, +0.0 ± 0.0 points to `dpo`.")
    assert "1.08 times the smallest in a chosen solution and 1.15 times in a rejected one" in told
    assert "against the truth is 0.71 (for mistakes that the base model makes nearly always: 0.50)." in told
    assert "false steps have 26.0 % of the weight of a rejected solution, with equal weights 25.0 %" in told
    assert f"`{RECIPE}` answers 91.0 ± 1.0 %, +21.0 ± 9.0 points" in told
    assert truth(compared(results({"dpo": (0.1, 0.2)}), ANSWERS.empty()), mean_figures(figures)) == ""


def test_bounds_are_told_where_the_data_define_them() -> None:
    row = {"family": "facts", "seed": 0, "method": "base"}
    figures = [row | {"figure": name, "value": value} for name, value in zip(BOUNDS, (0.5, 0.975, 0.03, 0.25), strict=True)]
    assert bounds(mean_figures(FIGURES.frame(figures))) == (
        "In facts 50.0 % of the samples are right, and 97.5 % of the training problems have a right one. Of the right solutions "
        "3.0 % hold a false step; of a rejected solution 25.0 % of the steps are false."
    )
    assert bounds(mean_figures(FIGURES.frame(figures[:2]))) == ""


def test_what_limits_is_told_of_choice_errors_and_a_perfect_selection() -> None:
    selected = pl.DataFrame({"family": ["facts"] * 2, "selection": ["mean-top4", "min-top4"], "false": [0.125, 0.5]})
    row = {"family": "facts", "method": "sft-long", "never": 0.05, "often": 0.01, "few": 0.2, "rare": 0.75}
    gained = results({"sft-long": (0.5, 0.7), "sft-true": (0.6, 0.7)})
    apart = pl.DataFrame({"family": ["facts"], "prm": [0.5], "usual": [0.875]})
    told = limits(selected, apart, pl.DataFrame([row]), gained)
    assert told == (
        "In facts 12.5 % of the chosen solutions hold a false step, though their answer is right. Of the right solutions of all "
        "problems the PRM's mean ranks those without one above the others with an AUC of 0.50; how usual their steps are among "
        "the right samples, with 0.88. `sft-long` takes a false step at 5.0 % of the operations that no chosen solution shows, "
        "at 1.0 % of those that two or more show. Of its first errors 75 % are at operations shown never or once, which are 20 % "
        "of all. The same learning from chosen solutions without a false step (`sft-true`) answers 65.0 ± 5.0 %, +5.0 ± 5.0 "
        "points to `sft-long` (2 seeds): what a perfect selection would add."
    )
    assert limits(selected, apart, pl.DataFrame([row]), results()).endswith("which are 20 % of all.")
    assert limits(selected.clear(), apart, pl.DataFrame([row]), gained) == ""


def test_what_rewards_are_good_for_is_told_by_pairs_of_methods_and_the_prms() -> None:
    """dpo-voted is .1 and .05 ahead of dpo: .075 ± .025; full-step-voted as much behind dpo-voted."""
    found = results({"dpo": (0.6, 0.8), "dpo-voted": (0.7, 0.85), "full-step-voted": (0.6, 0.8)})
    who = {"family": "facts", "figure": "PRM AUC, prefix-correct"}
    aucs = [("base", 0, 0.5), ("base", 1, 0.7), ("full-step-vote", 0, 0.9)]
    told = rewards(found, FIGURES.frame([who | {"method": name, "seed": seed, "value": auc} for name, seed, auc in aucs]))
    assert told == (
        "In facts: DPO on solutions selected by votes (`dpo-voted`) 77.5 ± 7.5 %, +7.5 ± 2.5 points to `dpo`; with the votes as "
        "rewards of steps too, gamma 0.5, (`full-step-voted`) 70.0 ± 10.0 %, -7.5 ± 2.5 points to `dpo-voted`. "
        "The AUC of a PRM: 0.90 if of votes, 0.60 if of outcomes."
    )
    assert rewards(results(), FIGURES.empty()) == ""


def test_rivals_stand_beside_the_recommended_method() -> None:
    """.95 - .9 and .91 - .92: mean .02, error .03."""
    assert rivals(results(SHARES | {RIVALS[0]: (0.95, 0.91)})) == (
        f"`{RIVALS[0]}`, which was to take the place of `{RECIPE}`, answers in facts 93.0 ± 2.0 %, +2.0 ± 3.0 points to it "
        "(2 seeds)."
    )
    assert rivals(results()) == ""


def test_methods_that_know_the_truth_stand_apart_from_the_verdict() -> None:
    ahead = against_all(results(SHARES | {"sft-true": (0.95, 0.99)}))
    assert "sft-true" in ahead["method"].to_list()
    assert verdict(ahead).startswith(f"`{RECIPE}` beats every other method that does not know the truth in facts")


def test_shares_by_the_length_of_problems() -> None:
    """Seed 0: one of two of three operations; seed 1: none of one. Mean 1/4."""
    row = {"family": "facts", "method": "dpo", "operations": 3}
    answers = [
        row | {"seed": seed, "problem_id": key, "correct": right}
        for seed, key, right in ((0, "a", True), (0, "b", False), (1, "c", False))
    ]
    found = by_length(ANSWERS.frame([*answers, row | {"seed": 0, "problem_id": "d", "operations": 5, "correct": True}]))
    assert found.columns == ["family", "method", "3", "5"]
    assert found.row(0) == ("facts", "dpo", 0.25, 1.0)


def trials() -> pl.DataFrame:
    row = {"family": "facts", "method": "dpo", "validation_accuracy": 0.5, "validation_n": 9, "pairs": 1, "cpu_seconds": 1.0}
    changes = {1e-4: 1.0, 1e-3: -7.0}
    return TRIALS.frame(
        [
            row | {"seed": seed, "learning_rate": rate, "chosen_change": change, "rejected_change": 2 * change}
            for seed in (0, 1)
            for rate, change in changes.items()
        ]
    )


def test_log_probs_are_those_of_the_chosen_training() -> None:
    """ROW's learning rate is 1e-4, whose training moved the chosen by 1; the one at 1e-3 was not chosen."""
    assert moved(trials(), results()).row(0) == ("facts", "dpo", 1.0, 2.0)


def test_searches_that_ended_at_the_edge_are_counted() -> None:
    assert at_the_edge(trials(), results()) == (
        "Of 2 searches 2 ended at the lowest learning rate and 0 at the highest (dpo): a wider search may do better there."
    )


def test_the_band_of_the_base_models() -> None:
    assert base_band(results()) == "Base models answer greedily, from the worst seed to the best: facts 50.0 to 60.0 %."
    assert base_band(RESULTS.empty()) == ""
