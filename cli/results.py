"""docs/results.md out of the tables of an experiment: `python -m cli.results DIR > docs/results.md`. Nothing in it is typed.

    python -m cli.results out/study --figure docs/figures/arithmetic.png --candidates out/seed-0 > docs/results.md

--candidates: a study of other seeds, in which it was tried what to recommend; --confirmation: one of the best methods on further
seeds; --injected: one with --inject. Needs the extra `report`.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cli.experiment_coverage import errors, selections, told_apart
from cli.experiment_methods import BASE, METHODS, RECIPE
from cli.experiment_reading import (
    KNOWING,
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
from cli.experiment_summary import by_rule, cells, compared, mean_figures, points, prm_by_method
from cli.results_studies import (
    candidates_of,
    confirmed,
    flagged_or_learnt,
    graded,
    hybrid_or_vote,
    injected,
    markdown,
    read,
)
from fullstep_data.store.disk import replace

CALLS = "calls"
"""In the folder of an experiment: a file per call, with command, versions and machine."""
WIDTH, STEP = 420, 20
"""Pixels: of a panel, and of a method in it."""
MADE = """Made from the tables of `fs-train experiment` by `python -m cli.results`; nothing here is typed by hand. The bench and
its two families of problems are described in `fullstep_data/arithmetic/`, the methods in `cli/experiment_methods.py`. Commands,
seeds and machine stand at the end."""
ORDER = """In the order in which they were first typed. A call goes on where another has stopped, and what is finished is not made
again; CPU-seconds are those of all calls of one command."""
READ = """Accuracy: greedy, on test problems, by the policy whose learning rate was best on other problems (validation). They are
answered once, when the search ends; a folder keeps its search, so no method had a longer one than another. Mean ± standard
error over seeds, each a whole pipeline of its own: problems, taught mistakes, base model, samples, PRM, trainings. p seeds:
paired t-test over seeds; p problems: exact McNemar test of fixed against broken answers of all seeds together. Neither is
corrected for the number of methods. drawn: completions in all, per training problem: of every round, for rollouts and for a PRM
of its own."""
PALE = "Accuracy above, differences to the yardstick below, with standard errors; pale: methods that fewer seeds have."
NAMED = f"""`{RECIPE}` was chosen on seed 0, which is not in this study, for an earlier study of the same seeds and test
problems, whose folder is lost; its figures had been seen before this one was made. There the highest of five learning rates,
0.002, was the best of none of 159 searches, so it is left out. Here is the accuracy of `{RECIPE}` less that of the others, and
how many standard errors that is."""
LENGTHS = """Share of right answers, over the seeds that a method has: methods with fewer seeds have other problems here."""
CHOSEN = """How many solutions a selection chooses per training problem, and which share of them holds a false step though the
answer is right. A selection is named as in the table `pairs`; labels are outcomes unless it says otherwise. A task is an
operation with its values, as 34+6. Where problems have fewer right solutions than are taken, every selection takes the same."""
WRONG = """Share of false steps among those that meet a task that no chosen solution of the shared data shows, that one shows,
that more show; then of the first errors of answers how many are at a task shown never or once, which share of all steps meets
such tasks, and how many first errors are the right operation with a wrong result."""
AHEAD = ("family", "method", "seeds", "difference", "in standard errors")
MOVED = (
    """How far training moved the log-prob of a solution from the reference's, at its end: of chosen and of rejected solutions."""
)
HEADERS = (
    "method",
    "seeds",
    "test %",
    "difference",
    "p seeds",
    "fixed",
    "broken",
    "p problems",
    "learning rates",
    "drawn",
    "CPU s",
)


@dataclass(frozen=True)
class Others:
    """Folders of other studies that the page tells of: of candidates, of the best on further seeds, with an injected mistake."""

    candidates: Path | None = None
    confirmation: Path | None = None
    injected: tuple[Path, ...] = ()

    @property
    def told(self) -> list[tuple[str, Path]]:
        """What their commands are told under, and the folders."""
        found = [("Of the candidates:", self.candidates), ("Of the confirmation:", self.confirmation)]
        found += [("With an injected mistake:", folder) for folder in self.injected]
        return [(lead, folder) for lead, folder in found if folder]


def page(folder: Path, figure: str, others: Others = Others()) -> str:
    """The whole page as Markdown. figure: the picture's place, as seen from the page."""
    tables = read(folder)
    found = compared(tables["results"], tables["answers"])
    selected, apart, false_steps = selections(folder), told_apart(folder), errors(folder)
    ahead = against_all(tables["results"])
    means = mean_figures(tables["figures"])
    parts = ["# Results", MADE, "## In short"]
    parts += [
        _led("The recommended recipe.", verdict(ahead), rivals(tables["results"])),
        _led("The truth about Full-Step-DPO.", truth(found, means)),
        _led("What good rewards are good for.", rewards(tables["results"], tables["figures"])),
        _led("What bounds all of them.", bounds(means)),
        limits(selected, apart, false_steps, tables["results"]),
        _led("One systematic mistake, injected: flagged or learnt?", flagged_or_learnt(others.injected)),
        _led("Decoding under weak and strong PRMs.", hybrid_or_vote(tables["graded"])),
        f"![greedy accuracy by method]({figure})",
        PALE,
        "## How to read the tables",
        READ,
        base_band(tables["results"]),
    ]
    for family in found["family"].unique().sort():
        own = found.filter(family=family)
        rows = [[row["method"], *cells(row)] for row in own.iter_rows(named=True)]
        parts += [f"## Methods, family {family}", _reading(own), markdown(HEADERS, rows)]
    if not ahead.is_empty():
        parts += ["## The recommended method against the others", NAMED, markdown(AHEAD, _ahead(ahead))]
    parts += candidates_of(others.candidates) if others.candidates else []
    parts += confirmed(tables["results"], others.confirmation) if others.confirmation else []
    parts += _rules(tables["results"])
    parts += graded(tables["graded"])
    parts += injected(others.injected)
    parts += _explained(tables)
    parts += _coverage(selected, false_steps)
    parts += [
        "## Searches",
        at_the_edge(tables["trials"], tables["results"]),
        "Greedy accuracy on validation by learning rate, mean over seeds.",
        _searches(tables["trials"]),
    ]
    parts += ["## What the methods are", markdown(("method", "is", "changes in the recipe"), _methods(found))]
    parts += ["## Commands and machine", ORDER, *map(_call, _calls(folder))]
    for lead, place in others.told:
        parts += [lead, *map(_call, _calls(place))]
    return "\n\n".join(part for part in parts if part) + "\n"


def _led(lead: str, *told: str) -> str:
    """A paragraph under a bold lead; nothing where there is nothing to tell."""
    text = " ".join(filter(None, told))
    return text and f"**{lead}** {text}"


def _calls(folder: Path) -> list[dict[str, Any]]:
    """The calls in order; one that was taken up again counts once, with what all of them cost."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted((folder / CALLS).glob("*.json")):
        call = json.loads(file.read_text(encoding="utf-8"))
        before = found.setdefault(call["command"], call | {"cpu_seconds": 0})
        before["cpu_seconds"] += call["cpu_seconds"]
    return list(found.values())


def _call(call: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in call["versions"].items())
    told = f"{call['machine']}; {versions}; {call['cpu_seconds']:,.0f} CPU-seconds; {call['date']}."
    return f"```bash\n{call['command']}\n```\n\n{told}"


def _reading(own: pl.DataFrame) -> str:
    """The best method that does not know the truth, and what its difference is to, in a sentence that the numbers write."""
    whole = own.filter(pl.col("seeds") == own["seeds"].max(), ~pl.col("method").is_in(KNOWING))
    ranked = whole.sort("accuracy", descending=True).to_dicts()
    best, second = ranked[0], ranked[1] if len(ranked) > 1 else None
    told = f"Best of those that do not know the truth: `{best['method']}` with {points(best['accuracy'], best['error'])} %"
    if second:
        told += f", then `{second['method']}` with {points(second['accuracy'], second['error'])} %"
    return f"{told}. Differences are to `{best['against']}`, in points."


def _ahead(ahead: pl.DataFrame) -> list[list[str]]:
    return [
        [
            row["family"],
            row["method"],
            str(row["seeds"]),
            points(row["difference"], row["error"], sign="+"),
            "" if row["ratio"] is None else f"{row['ratio']:.1f}",
        ]
        for row in ahead.iter_rows(named=True)
    ]


def _coverage(selected: pl.DataFrame, false_steps: pl.DataFrame) -> list[str]:
    """What selections choose, and where answers first go wrong."""
    if selected.is_empty():
        return []
    choices = [
        [*row[:2], str(row[2]), f"{row[3]:.2f}", points(row[4], None), points(row[5], None), f"{row[6]:.0f}"]
        for row in selected.iter_rows()
    ]
    columns = ("never", "once", "often", "rare", "few", "result")
    wrong = [
        [*row[:2], *(points(share, None) for share in row[2:])] for row in false_steps.select("family", "method", *columns).rows()
    ]
    heads = (
        "false at tasks shown never, %",
        "once",
        "more often",
        "first errors at never or once, %",
        "steps there, %",
        "errors of the result, %",
    )
    return [
        "## What is chosen",
        CHOSEN,
        markdown(
            ("family", "selection", "seeds", "chosen per problem", "problems with one, %", "false, %", "tasks shown"), choices
        ),
        "## Where answers go wrong",
        WRONG,
        markdown(("family", "method", *heads), wrong),
    ]


def _rules(results: pl.DataFrame) -> list[str]:
    """Decoding rules, where several were asked for: of the base model and the recommended method."""
    rules = by_rule(results)
    if rules["decoding"].n_unique() < 2:
        return []
    rows = [
        [one["family"], one["method"], one["decoding"], str(one["seeds"]), points(one["accuracy"], one["error"])]
        for one in rules.to_dicts()
    ]
    return ["## Decoding rules", markdown(("family", "method", "rule", "seeds", "test %"), rows)]


def _explained(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    figures = tables["figures"]
    if figures.is_empty():
        return []
    parts = ["## What the data say", _numbers(mean_figures(figures), "mean over seeds")]
    others = prm_by_method(figures)
    if not others.is_empty():
        parts += ["PRMs that learnt from other labels or problems:", _numbers(others, "family", "method")]
    changed = moved(tables["trials"], tables["results"])
    if not changed.is_empty():
        parts += [MOVED, _numbers(changed, "family", "method")]
    lengths = by_length(tables["answers"])
    if lengths.is_empty():
        return parts
    names = [f"{name} operations" for name in lengths.columns[2:]]
    rows = [[*row[:2], *(points(share, None) for share in row[2:])] for row in lengths.rows()]
    return [*parts, "## By the length of problems", LENGTHS, markdown(("family", "method", *names), rows)]


def _numbers(frame: pl.DataFrame, *names: str) -> str:
    """A frame whose first columns are texts, headed by `names`, and the rest numbers."""
    texts = len(names)
    rows = [[*row[:texts], *("" if value is None else f"{value:.3g}" for value in row[texts:])] for row in frame.rows()]
    return markdown((*names, *frame.columns[texts:]), rows)


def _searches(trials: pl.DataFrame) -> str:
    order = {one.name: place for place, one in enumerate(METHODS)}
    by_rate = trials.sort("learning_rate").pivot(
        "learning_rate", index=["family", "method"], values="validation_accuracy", aggregate_function="mean", maintain_order=True
    )
    rows = sorted(by_rate.rows(), key=lambda row: (row[0], order.get(row[1], len(order))))
    texts = [[*row[:2], *(points(value, None) for value in row[2:])] for row in rows]
    return markdown(("family", "method", *by_rate.columns[2:]), texts)


def _methods(found: pl.DataFrame) -> list[list[str]]:
    known = set(found["method"])
    rows = [[BASE, "before any training", ""]] if BASE in known else []
    return rows + [
        [one.name, one.doc, "; ".join(f"`{change}`" for change in one.changes)] for one in METHODS if one.name in known
    ]


def specification(found: pl.DataFrame) -> dict[str, Any]:
    """The picture as Vega-Lite: a column per family; above the accuracy of each method, below its difference to the yardstick,
    with standard errors. Methods that fewer seeds have are pale.
    """
    import altair as alt

    from fullstep_data.report.charts import PALETTES, style

    palette = PALETTES["light"]
    columns: list[Any] = []
    for (family,), own in found.group_by("family", maintain_order=True):
        against = own["against"][0]
        accuracy = _panel(_drawn(own, "accuracy", "error"), "test problems right, %", palette["right"])
        trained = own.filter(pl.col("method") != BASE)
        ahead = _panel(
            _drawn(trained, "difference", "difference_error"), f"points more than {against}, same seeds", palette["right"]
        )
        columns.append(alt.vconcat(accuracy.properties(title=str(family)), ahead))
    look = {**style("light"), "background": palette["paper"], "padding": 20}
    return {**alt.hconcat(*columns).to_dict(), "config": look}


def _drawn(own: pl.DataFrame, mean: str, error: str) -> pl.DataFrame:
    """method, value, low, high in percent, whole: do all seeds have it?"""
    spread = pl.col(error).fill_null(0.0)
    return own.select(
        "method",
        value=100 * pl.col(mean),
        low=100 * (pl.col(mean) - spread),
        high=100 * (pl.col(mean) + spread),
        whole=pl.col("seeds") == pl.col("seeds").max(),
    )


def _panel(rows: pl.DataFrame, title: str, colour: str) -> Any:
    import altair as alt

    y = alt.Y("method:N", sort=rows["method"].to_list(), title=None)
    shade = alt.Opacity("whole:N", scale=alt.Scale(domain=[True, False], range=[1.0, 0.35]), legend=None)
    point = alt.Chart(rows).mark_point(filled=True, size=60, color=colour)
    x = alt.X("value:Q", title=title, scale=alt.Scale(zero=False))
    bars = alt.Chart(rows).mark_rule(color=colour).encode(x=alt.X("low:Q", title=title), x2="high:Q", y=y, opacity=shade)
    return alt.layer(bars, point.encode(x=x, y=y, opacity=shade)).properties(width=WIDTH, height=STEP * rows.height)


def write_figure(found: pl.DataFrame, path: Path) -> None:
    """Draw it into a PNG file."""
    from vl_convert import vegalite_to_png

    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, vegalite_to_png(specification(found), scale=2))


def main() -> None:
    """Write the figure, and the page to standard output."""
    parser = argparse.ArgumentParser(description="The page of an experiment, out of its tables.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--figure", type=Path, help="where to draw it, in a folder beside the page; else DIR/results.png")
    parser.add_argument("--candidates", type=Path)
    parser.add_argument("--confirmation", type=Path)
    parser.add_argument("--injected", type=Path, action="append", default=[])
    options = parser.parse_args()
    tables = read(options.folder)
    figure = options.figure or options.folder / "results.png"
    write_figure(compared(tables["results"], tables["answers"]), figure)
    shown = f"{figure.parent.name}/{figure.name}" if options.figure else str(figure)
    others = Others(options.candidates, options.confirmation, tuple(options.injected))
    sys.stdout.write(page(options.folder, shown, others))


if __name__ == "__main__":
    main()
