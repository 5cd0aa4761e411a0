"""What an experiment says in sentences and tables that its numbers write: the recommended method against all others, the truth
about Full-Step-DPO here, and what explains it.

    against_all(results)        # one row per family and method: how far the recommended one is ahead
    truth(compared(…), mean_figures(…))
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from cli.experiment_methods import BASE, METHODS, RECIPE, RIVALS
from cli.experiment_summary import in_order, points, standard_error

CLEAR = 2.0
"""So many standard errors make a difference that counts."""
BOUNDS = (
    "samples right",
    "problems with a right sample",
    "right solutions with a false step",
    "weight of a rejected solution on false steps, gamma 0",
)
"""What `bounds` is made of."""
PRM_AUC = "PRM AUC, prefix-correct"
PLAIN, ORACLE, SHARED = "sft-long", "sft-true", "mean-top4"
"""The methods whose difference is that of the selection alone, and the selection that methods share unless they say otherwise."""
KNOWING = [one.name for one in METHODS if one.knows_truth]
FALSE_WEIGHT = "weight of a rejected solution on false steps, gamma {}"
COMPARISONS = (
    ("dpo-voted", "dpo", "DPO on solutions selected by votes"),
    ("full-step-voted", "dpo-voted", "with the votes as rewards of steps too, gamma 0.5,"),
    ("full-step-voted-gamma-5", "dpo-voted", "with gamma 5"),
    ("full-step-vote", "full-step", "Full-Step-DPO by a PRM that has learnt from votes"),
)
"""What takes good rewards apart: method, the one it is compared with, and what it is."""
PRMS = (("full-step-vote", "votes"), (BASE, "outcomes"), ("full-step-mc8", "eight rollouts a step"))
HABIT = "PRM AUC, mistakes made {}"
SPREAD = "largest to smallest weight in a {} solution, gamma 0.5"


def against_all(results: pl.DataFrame) -> pl.DataFrame:
    """family, method, seeds, difference, error, ratio: the recommended method's accuracy less each other's, over the seeds that
    both have; the closest first. ratio: in standard errors, null without any.
    """
    greedy = results.filter(decoding="greedy")
    ours = greedy.filter(method=RECIPE).select("family", "seed", own="test_accuracy")
    rows: list[dict[str, Any]] = []
    both = greedy.filter(pl.col("method") != RECIPE).join(ours, on=("family", "seed"))
    for (family, name), frame in both.group_by("family", "method", maintain_order=True):
        ahead = (frame["own"] - frame["test_accuracy"]).to_numpy()
        error = standard_error(ahead)
        ratio = float(ahead.mean()) / error if error else None
        rows.append(
            {
                "family": family,
                "method": name,
                "seeds": len(ahead),
                "difference": float(ahead.mean()),
                "error": error,
                "ratio": ratio,
            }
        )
    schema = {"family": pl.String, "method": pl.String, "seeds": pl.Int64} | dict.fromkeys(
        ("difference", "error", "ratio"), pl.Float64
    )
    return pl.DataFrame(rows, schema=schema).sort("family", "difference", "method")


def verdict(ahead: pl.DataFrame) -> str:
    """Does the recommended method beat all others that have as many seeds clearly, in every family? Those that know the truth
    stand apart: they say what better rewards and a better selection could bring.
    """
    if ahead.is_empty():
        return f"`{RECIPE}` was not run."
    told: list[str] = []
    ahead = ahead.filter(pl.col("seeds") == pl.col("seeds").max().over("family"), ~pl.col("method").is_in(KNOWING))
    for (family,), own in ahead.group_by("family", maintain_order=True):
        behind = own.filter(pl.col("ratio").is_null() | (pl.col("ratio") < CLEAR))
        closest = own.row(0, named=True)
        gap = f"{points(closest['difference'], closest['error'], sign='+')} points to `{closest['method']}`"
        if behind.is_empty():
            told.append(f"in {family} by at least {own['ratio'].min():.1f} standard errors (smallest difference: {gap})")
        else:
            told.append(
                f"in {family} {len(own) - len(behind)} of {len(own)}, but not "
                f"{', '.join(f'`{name}`' for name in behind['method'])} (smallest difference: {gap})"
            )
    clear = ahead.filter(pl.col("ratio").is_null() | (pl.col("ratio") < CLEAR)).is_empty()
    others = "every other method that does not know the truth"
    head = f"beats {others}" if clear else f"does not beat {others} by {CLEAR:g} standard errors:"
    return f"`{RECIPE}` {head} {'; '.join(told)}."


def truth(found: pl.DataFrame, figures: pl.DataFrame) -> str:
    """The truth about Full-Step-DPO at this scale, a paragraph for each family."""
    paragraphs: list[str] = []
    named = {row["figure"]: row for row in figures.iter_rows(named=True)}
    for (family,), own in found.group_by("family", maintain_order=True):
        by_name = {row["method"]: row for row in own.iter_rows(named=True)}
        if "full-step" not in by_name:
            continue
        told = [f"In {family} Full-Step-DPO (gamma 0.5) {_stands(by_name['full-step'])}."]
        spreads = [named.get(SPREAD.format(side), {}).get(family) for side in ("chosen", "rejected")]
        if all(spread is not None for spread in spreads):
            told.append(
                f"The largest weight of a step is {spreads[0]:.2f} times the smallest in a chosen solution and "
                f"{spreads[1]:.2f} times in a rejected one; the AUC of the PRM for steps against the truth is "
                f"{_figure(named, PRM_AUC, family)} (for mistakes that the base model makes nearly always: "
                f"{_figure(named, HABIT.format('nearly always'), family)}). So the gradient goes where DPO's goes: false steps "
                f"have {_percent(named, FALSE_WEIGHT.format('0.5'), family)} of the weight of a rejected solution, with equal "
                f"weights {_percent(named, FALSE_WEIGHT.format('0'), family)}."
            )
        for name, what in (
            ("full-step-true", "With true step rewards, and solutions selected by them, it"),
            ("sft", "SFT on the chosen"),
            (RECIPE, f"The recommended `{RECIPE}`"),
        ):
            if name in by_name:
                told.append(f"{what} {_stands(by_name[name])}.")
        paragraphs.append(" ".join(told))
    return "\n\n".join(paragraphs)


def bounds(figures: pl.DataFrame) -> str:
    """What the data allow at most, by family."""
    told: list[str] = []
    named = {row["figure"]: row for row in figures.iter_rows(named=True)}
    for family in figures.columns[1:]:
        values = [float(value) for name in BOUNDS if (value := named.get(name, {}).get(family)) is not None]
        if len(values) < len(BOUNDS):
            continue
        right, solved, lucky, blamed = values
        told.append(
            f"In {family} {100 * right:.1f} % of the samples are right, and {100 * solved:.1f} % of the training problems have "
            f"a right one. Of the right solutions {100 * lucky:.1f} % hold a false step; of a rejected solution "
            f"{100 * blamed:.1f} % of the steps are false."
        )
    return " ".join(told)


def limits(selected: pl.DataFrame, apart: pl.DataFrame, false_steps: pl.DataFrame, results: pl.DataFrame) -> str:
    """What of that bounds the methods, a paragraph for each family: what the shared selection chooses and could be told by, where
    answers of the PLAIN method go wrong, and what choosing none but true solutions is worth. selected, apart, false_steps: see
    experiment_coverage.
    """
    paragraphs: list[str] = []
    greedy = results.filter(decoding="greedy")
    for choice in selected.filter(selection=SHARED).iter_rows(named=True):
        family = choice["family"]
        told = (
            f"In {family} {100 * choice['false']:.1f} % of the chosen solutions hold a false step, though their answer is right."
        )
        for row in apart.filter(family=family).iter_rows(named=True):
            told += (
                f" Of the right solutions of all problems the PRM's mean ranks those without one above the others with an AUC of "
                f"{row['prm']:.2f}; how usual their steps are among the right samples, with {row['usual']:.2f}."
            )
        for row in false_steps.filter(family=family, method=PLAIN).drop_nulls(("never", "rare")).iter_rows(named=True):
            told += (
                f" `{PLAIN}` takes a false step at {100 * row['never']:.1f} % of the operations that no chosen solution shows, "
                f"at {100 * row['often']:.1f} % of those that two or more show. Of its first errors {100 * row['rare']:.0f} % "
                f"are at operations shown never or once, which are {100 * row['few']:.0f} % of all."
            )
        true = _gap(greedy.filter(family=family), ORACLE, PLAIN)
        paragraphs.append(f"{told} {true}".strip())
    return "\n\n".join(paragraphs)


def rewards(results: pl.DataFrame, figures: pl.DataFrame) -> str:
    """What good rewards are good for, selection or weights, a paragraph for each family: by COMPARISONS, and the AUC of PRMS."""
    paragraphs: list[str] = []
    for (family,), own in results.filter(decoding="greedy").group_by("family", maintain_order=True):
        told = [
            f"{what} (`{name}`) {_ahead(both)} points to `{other}`"
            for name, other, what in COMPARISONS
            if not (both := _paired(own, name, other)).is_empty()
        ]
        if not told:
            continue
        known = figures.filter(family=family, figure=PRM_AUC).drop_nulls("value")
        means = {name: known.filter(method=name)["value"].mean() for name, _ in PRMS}
        aucs = [f"{means[name]:.2f} if of {labels}" for name, labels in PRMS if means[name] is not None]
        paragraphs.append(f"In {family}: {'; '.join(told)}." + (f" The AUC of a PRM: {', '.join(aucs)}." if aucs else ""))
    return "\n\n".join(paragraphs)


def rivals(results: pl.DataFrame) -> str:
    """How the RIVALS of the recommended method stand to it, a sentence for each."""
    told: list[str] = []
    for name in RIVALS:
        found = [
            f"in {family} {_ahead(both)} points to it ({both.height} seeds)"
            for (family,), own in results.filter(decoding="greedy").group_by("family", maintain_order=True)
            if not (both := _paired(own, name, RECIPE)).is_empty()
        ]
        told += [f"`{name}`, which was to take the place of `{RECIPE}`, answers {', '.join(found)}."] if found else []
    return " ".join(told)


def _paired(greedy: pl.DataFrame, name: str, other: str) -> pl.DataFrame:
    """own, ahead: accuracy of a method, and what it is ahead of another, by seed."""
    both = greedy.filter(method=name).join(greedy.filter(method=other), on="seed", suffix="_other")
    return both.select(own="test_accuracy", ahead=pl.col("test_accuracy") - pl.col("test_accuracy_other"))


def _ahead(both: pl.DataFrame) -> str:
    own, ahead = (both[name].to_numpy() for name in ("own", "ahead"))
    difference = points(float(ahead.mean()), standard_error(ahead), sign="+")
    return f"{points(float(own.mean()), standard_error(own))} %, {difference}"


def _gap(greedy: pl.DataFrame, name: str, other: str) -> str:
    both = _paired(greedy, name, other)
    if both.is_empty():
        return ""
    return (
        f"The same learning from chosen solutions without a false step (`{name}`) answers {_ahead(both)} points to `{other}` "
        f"({both.height} seeds): what a perfect selection would add."
    )


def _figure(named: Mapping[str, Mapping[str, Any]], name: str, family: str) -> str:
    value = named.get(name, {}).get(family)
    return "unknown" if value is None else f"{value:.2f}"


def _percent(named: Mapping[str, Mapping[str, Any]], name: str, family: str) -> str:
    value = named.get(name, {}).get(family)
    return "unknown" if value is None else f"{100 * value:.1f} %"


def _stands(row: Mapping[str, Any]) -> str:
    """How a method stands to what it is compared with."""
    difference = points(row["difference"], row["difference_error"], sign="+")
    return f"answers {points(row['accuracy'], row['error'])} %, {difference} points to `{row['against']}`"


def by_length(answers: pl.DataFrame) -> pl.DataFrame:
    """family, method, and for each number of operations the share of right answers, mean over seeds."""
    shares = (
        answers.filter(pl.col("operations").is_not_null())
        .group_by("family", "seed", "method", "operations")
        .agg(pl.col("correct").mean())
    )
    wide = shares.sort("operations").pivot(
        "operations", index=["family", "method"], values="correct", aggregate_function="mean", maintain_order=True
    )
    return in_order(wide)


def moved(trials: pl.DataFrame, results: pl.DataFrame) -> pl.DataFrame:
    """family, method, chosen, rejected: how far the chosen training moved log-probs from the reference, mean over seeds."""
    best = results.filter(decoding="greedy").select("family", "seed", "method", "learning_rate")
    kept = trials.join(best, on=("family", "seed", "method", "learning_rate"))
    found = kept.group_by("family", "method", maintain_order=True).agg(
        chosen=pl.col("chosen_change").mean(), rejected=pl.col("rejected_change").mean()
    )
    return in_order(found)


def at_the_edge(trials: pl.DataFrame, results: pl.DataFrame) -> str:
    """Of how many searches the best learning rate was the first or the last that was tried."""
    grid = trials.group_by("family", "seed", "method").agg(
        low=pl.col("learning_rate").min(), high=pl.col("learning_rate").max(), tried=pl.len()
    )
    best = results.filter(decoding="greedy").select("family", "seed", "method", "learning_rate")
    searched = best.join(grid.filter(pl.col("tried") > 1), on=("family", "seed", "method"))
    low, high = (searched.filter(pl.col("learning_rate") == pl.col(end)) for end in ("low", "high"))
    told = f"Of {searched.height} searches {low.height} ended at the lowest learning rate and {high.height} at the highest"
    names = ", ".join(sorted({*low["method"], *high["method"]})) or "none"
    return f"{told} ({names}): a wider search may do better there."


def base_band(results: pl.DataFrame) -> str:
    """Between what and what the base models answer greedily."""
    base = results.filter(method=BASE, decoding="greedy")
    parts = [
        f"{family} {100 * min(own['test_accuracy']):.1f} to {100 * max(own['test_accuracy']):.1f} %"
        for (family,), own in base.group_by("family", maintain_order=True)
    ]
    return f"Base models answer greedily, from the worst seed to the best: {', '.join(parts)}." if parts else ""
