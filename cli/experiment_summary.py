"""What an experiment came to: means with standard errors over seeds, paired tests, and how they look on a terminal.

    compared(tables["results"], tables["answers"])       # one row per family and method
    show(experiment_summary(collect(out), out))

Two tests, for two questions. Over seeds: would another seed (problems, base model, samples, trainings) show it too? A paired
t-test of accuracies. Over problems: do these very policies differ? Fixed and broken answers of all seeds, by McNemar's test.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from scipy.stats import binomtest, ttest_rel

from cli.experiment_methods import BASE, METHODS
from cli.render import next_commands, plain_table, section
from fullstep_data.decoding import Sampled, parse

YARDSTICK = "dpo"
"""What methods are compared with; where it was not run, the base model."""
INJECTED = "injected mistake:"
"""How the names of figures begin that tell of a mistake injected into the base models (`experiment_injection`)."""
PRM, ANSWERS = f"{INJECTED} PRM, ", f"{INJECTED} answers, "
"""The same, of a PRM and of a policy's answers."""
COMPARED: dict[str, Any] = {
    "family": pl.String,
    "method": pl.String,
    "seeds": pl.Int64,
    "accuracy": pl.Float64,
    "error": pl.Float64,
    "against": pl.String,
    "difference": pl.Float64,
    "difference_error": pl.Float64,
    "p_seeds": pl.Float64,
    "fixed": pl.Int64,
    "broken": pl.Int64,
    "p_problems": pl.Float64,
    "rates": pl.String,
    "completions": pl.Float64,
    "cpu_seconds": pl.Float64,
}


def compared(results: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """Columns COMPARED, methods in their order. accuracy: mean over seeds of greedy accuracy on test; error: its standard error.

    difference: to `against`, over the seeds that both have; p_seeds null for fewer than two seeds. rates: chosen, by seed.
    """
    greedy = results.filter(decoding="greedy").sort("seed")
    order = {name: place for place, name in enumerate((BASE, *(one.name for one in METHODS)))}
    rows: list[dict[str, Any]] = []
    for family in greedy["family"].unique().sort():
        of_family = greedy.filter(family=family)
        names = sorted(of_family["method"].unique(), key=lambda name: order.get(name, len(order)))
        against = YARDSTICK if YARDSTICK in names else BASE
        for name in names:
            own = of_family.filter(method=name)
            rows.append(
                {
                    "family": family,
                    "method": name,
                    "seeds": own.height,
                    "accuracy": own["test_accuracy"].mean(),
                    "error": standard_error(own["test_accuracy"].to_numpy()),
                    "against": against,
                    **_difference(of_family.filter(method=against), own),
                    **_by_problem(answers.filter(family=family, method=against), answers.filter(family=family, method=name)),
                    "rates": " ".join(f"{rate:g}" for rate in own["learning_rate"].drop_nulls()),
                    "completions": own["completions"].mean(),
                    "cpu_seconds": own["cpu_seconds"].mean(),
                }
            )
    return pl.DataFrame(rows, schema=COMPARED)


def standard_error(values: np.ndarray) -> float | None:
    """Of the mean; None for fewer than two values."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def _difference(first: pl.DataFrame, second: pl.DataFrame) -> dict[str, float | None]:
    both = first.join(second, on="seed", suffix="_second")
    change = (both["test_accuracy_second"] - both["test_accuracy"]).to_numpy()
    error = standard_error(change)
    p_value = float(ttest_rel(both["test_accuracy_second"], both["test_accuracy"]).pvalue) if error else None
    return {"difference": float(change.mean()) if len(change) else None, "difference_error": error, "p_seeds": p_value}


def _by_problem(first: pl.DataFrame, second: pl.DataFrame) -> dict[str, float | int]:
    both = first.join(second, on=("seed", "problem_id"), suffix="_second")
    fixed = both.filter(pl.col("correct_second") & ~pl.col("correct")).height
    broken = both.filter(pl.col("correct") & ~pl.col("correct_second")).height
    p_value = float(binomtest(fixed, fixed + broken, 0.5).pvalue) if fixed + broken else 1.0
    return {"fixed": fixed, "broken": broken, "p_problems": p_value}


def by_rule(results: pl.DataFrame) -> pl.DataFrame:
    """family, method, decoding, seeds, accuracy, error: methods tested under several rules, each rule with most samples."""
    results = results.filter(~pl.col("decoding").is_in(_of_fewer_samples(results["decoding"].unique())))
    several = results.group_by("method").agg(pl.col("decoding").n_unique()).filter(pl.col("decoding") > 1)["method"].to_list()
    rows = [
        {
            "family": family,
            "method": name,
            "decoding": decoding,
            "seeds": own.height,
            "accuracy": own["test_accuracy"].mean(),
            "error": standard_error(own["test_accuracy"].to_numpy()),
        }
        for (family, name, decoding), own in results.filter(pl.col("method").is_in(several)).group_by(
            "family", "method", "decoding", maintain_order=True
        )
    ]
    texts = dict.fromkeys(("family", "method", "decoding"), pl.String)
    schema = texts | {"seeds": pl.Int64, "accuracy": pl.Float64, "error": pl.Float64}
    return pl.DataFrame(rows, schema=schema)


def _of_fewer_samples(names: pl.Series) -> list[str]:
    """The rules that look at fewer samples than another of their kind does."""
    sampled = [rule for rule in parse(",".join(names)) if isinstance(rule, Sampled)]
    return [rule.name for rule in sampled if rule.n < max(other.n for other in sampled if other.family == rule.family)]


def mean_figures(figures: pl.DataFrame) -> pl.DataFrame:
    """figure, and for each family the mean over seeds: of the data that all methods share."""
    return figures.filter(pl.col("method") == BASE, ~pl.col("figure").str.starts_with(INJECTED)).pivot(
        "family", index="figure", values="value", aggregate_function="mean", sort_columns=True, maintain_order=True
    )


def prm_by_method(figures: pl.DataFrame) -> pl.DataFrame:
    """family, method, and the mean over seeds of what the PRM is worth of methods that have one of their own."""
    return figures.filter(pl.col("method") != BASE, ~pl.col("figure").str.starts_with(INJECTED)).pivot(
        "figure", index=["family", "method"], values="value", aggregate_function="mean", maintain_order=True
    )


def injections(figures: pl.DataFrame, of: str) -> pl.DataFrame:
    """family, method, figure (its name without `of`, PRM or ANSWERS), seeds, value, error: means over seeds, methods in order."""
    own = figures.filter(pl.col("figure").str.starts_with(of)).drop_nulls("value")
    rows = [
        {
            "family": family,
            "method": name,
            "figure": str(figure).removeprefix(of),
            "seeds": frame.height,
            "value": frame["value"].mean(),
            "error": standard_error(frame["value"].to_numpy()),
        }
        for (family, name, figure), frame in own.group_by("family", "method", "figure", maintain_order=True)
    ]
    texts: dict[str, Any] = dict.fromkeys(("family", "method", "figure"), pl.String)
    return in_order(pl.DataFrame(rows, schema=texts | {"seeds": pl.Int64, "value": pl.Float64, "error": pl.Float64}))


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows by family, and methods as METHODS has them. frame: with the columns family and method."""
    order = {name: place for place, name in enumerate((BASE, *(one.name for one in METHODS)))}
    place = pl.col("method").replace_strict(order, default=len(order), return_dtype=pl.Int64)
    return frame.sort("family", place, maintain_order=True)


def experiment_summary(tables: Mapping[str, pl.DataFrame], out: Path) -> list[RenderableType]:
    """All blocks: methods by family, decoding rules, figures of the data, what to do next."""
    found = compared(tables["results"], tables["answers"])
    blocks: list[RenderableType] = []
    for family in found["family"].unique().sort():
        own = found.filter(family=family)
        note = f"greedy accuracy on test problems, mean ± standard error over seeds; differences to {own['against'][0]}"
        if own["accuracy"].max() == 0:
            note = "no method answers a single test problem, so nothing is compared: take a stronger model or easier problems"
        blocks.append(section(f"Methods, {family}", method_table(own), Text(note, style="dim")))
    rules = by_rule(tables["results"])
    if rules["decoding"].n_unique() > 1:
        blocks.append(section("By decoding rule", _rules(rules)))
    if not tables["figures"].is_empty():
        blocks.append(section("The data, means over seeds", _figures(mean_figures(tables["figures"]))))
        others = prm_by_method(tables["figures"])
        if not others.is_empty():
            blocks.append(section("PRMs of other labels or problems", _others(others)))
    for told, of in (("PRMs", PRM), ("answers", ANSWERS)):
        if not (rows := injections(tables["figures"], of)).is_empty():
            blocks.append(section(f"The injected mistake, {told}", _injected(rows)))
    place = shlex.quote(str(out))
    page = (f"python -m cli.results {place} > results.md", "the same as a page, with the figure")
    return [*blocks, next_commands((page, (f"open {place}/results.png", "accuracy by method")))]


def method_table(rows: pl.DataFrame) -> Table:
    """One row per method of a family."""
    right = ("seeds", "test", "difference", "p seeds", "fixed", "broken", "p problems", "drawn", "CPU s")
    view = plain_table("method", *right[:7], "learning rates", *right[7:], right=right)
    view.columns[0].no_wrap = True
    for row in rows.iter_rows(named=True):
        view.add_row(row["method"], *cells(row))
    return view


def cells(row: Mapping[str, Any]) -> list[str]:
    """A row of `compared` as text, without family and method."""
    itself = row["method"] == row["against"]
    return [
        str(row["seeds"]),
        points(row["accuracy"], row["error"]),
        "" if itself else points(row["difference"], row["difference_error"], sign="+"),
        "" if itself or row["p_seeds"] is None else f"{row['p_seeds']:.2g}",
        *(("", "", "") if itself else (str(row["fixed"]), str(row["broken"]), f"{row['p_problems']:.2g}")),
        row["rates"],
        f"{row['completions']:.1f}",
        f"{row['cpu_seconds']:.0f}",
    ]


def points(share: float | None, error: float | None, sign: str = "") -> str:
    """A share in percent, with its standard error where there is one."""
    if share is None:
        return ""
    return f"{100 * share:{sign}.1f}" + ("" if error is None else f" ± {100 * error:.1f}")


def _rules(rules: pl.DataFrame) -> Table:
    view = plain_table("family", "method", "rule", "seeds", "test", right=("seeds", "test"))
    for row in rules.iter_rows(named=True):
        view.add_row(row["family"], row["method"], row["decoding"], str(row["seeds"]), points(row["accuracy"], row["error"]))
    return view


def _others(frame: pl.DataFrame) -> Table:
    """A row per figure, a column per method: figures have long names."""
    named = [f"{method}, {family}" for family, method in frame.select("family", "method").iter_rows()]
    view = plain_table("figure", *named, right=named)
    for name in frame.columns[2:]:
        view.add_row(name, *("" if value is None else f"{value:.3g}" for value in frame[name]))
    return view


def _figures(frame: pl.DataFrame) -> Table:
    families = frame.columns[1:]
    view = plain_table("figure", *families, right=families)
    for name, *values in frame.iter_rows():
        view.add_row(name, *("" if value is None else f"{value:.3g}" for value in values))
    return view


def _injected(rows: pl.DataFrame) -> Table:
    """A row per family and figure, a column per method."""
    methods = list(dict.fromkeys(rows["method"]))
    view = plain_table("family", "figure", *methods, right=methods)
    for (family, figure), own in rows.group_by("family", "figure", maintain_order=True):
        values = dict(own.select("method", "value").iter_rows())
        view.add_row(str(family), str(figure), *("" if name not in values else f"{values[name]:.3g}" for name in methods))
    return view
