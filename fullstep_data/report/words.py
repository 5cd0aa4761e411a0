"""What a report says in words: its first sentences, what it lacks, and the title and caption of every chart.

lead(found)                      # "63,536 solutions of 7,942 problems; 55.4 % are right."
notes({"problems": 48}, found)   # "There is no table `solutions`: …"
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

LACKING = {
    "problems": "there is nothing to leaf through",
    "solutions": "no solutions, answers or verdicts to show",
    "steps": "solutions are shown whole, and nothing is said of steps",
    "step_labels": "rewards cannot be compared with labels",
    "step_scores": "no rewards of steps and no scores of solutions",
    "pairs": "no pairs, margins or pairs per problem",
}


@dataclass(frozen=True)
class Figure:
    """A chart on the page. section: where it stands. caption: how to read it. needs: tables without which there is no chart."""

    name: str
    section: str
    title: str
    caption: str
    needs: str
    drawn: bool = False


FIGURES = (
    Figure(
        name="rewards",
        section="rewards",
        title="Rewards by label",
        caption="Each outline is a share of its own label. The further apart they stand, the more the PRM tells.",
        needs="step_scores",
    ),
    Figure(
        name="positions",
        section="rewards",
        title="Rewards by position",
        caption="Mean reward of the first, second, … step, in right and in wrong solutions. The band: the middle 80 %.",
        needs="step_scores and solutions",
    ),
    Figure(
        name="scores",
        section="solutions",
        title="Scores of right and wrong solutions",
        caption="It takes right and wrong solutions with scores to compare them.",
        needs="step_scores and solutions",
    ),
    Figure(
        name="right_share",
        section="solutions",
        title="How often problems are solved",
        caption="Only problems with right and wrong solutions can give pairs.",
        needs="solutions",
    ),
    Figure(
        name="diversity",
        section="solutions",
        title="Different answers to a problem",
        caption="As written, so 0.5 and 1/2 are two. One answer only: the samples of that problem all say the same.",
        needs="solutions",
    ),
    Figure(
        name="margins",
        section="pairs",
        title="Margins of pairs",
        caption="Pairs below 0 prefer a solution that the PRM likes less.",
        needs="pairs",
    ),
    Figure(
        name="pairs_per_problem",
        section="pairs",
        title="Pairs of a problem",
        caption="Of the problems that were sampled. Those without pairs are at 0; the overview counts why.",
        needs="pairs and solutions",
    ),
    Figure(
        name="rewards_changed",
        section="changes",
        title="Rewards of all steps, before and after",
        caption="Each outline is a share of its own version's steps.",
        needs="step_scores",
    ),
    Figure(
        name="drift",
        section="changes",
        title="Drift of the same steps",
        caption="Steps that both versions have: how far each reward moved. All at 0: the same PRM.",
        needs="step_scores in both versions",
    ),
)


def figures(frames: Mapping[str, pl.DataFrame]) -> list[Figure]:
    """The charts in the order of the page, with what the frames say put into their captions. A chart needs its frame; where that
    has no rows, it is not drawn.
    """
    said = {"scores": _scores(frames["auc"]["auc"].item()), "margins": _margins(frames["totals"]["in_order"].item())}
    return [
        replace(figure, drawn=not frames[figure.name].is_empty(), caption=said.get(figure.name) or figure.caption)
        for figure in FIGURES
        if figure.name in frames
    ]


def lead(found: Mapping[str, pl.DataFrame]) -> list[str]:
    """The dataset in a few sentences."""
    total = found["totals"].row(0, named=True)
    held = f", {total['held_out']:,} of them held out for evaluation" if total["held_out"] else ""
    said = [f"{counted(total['problems'], 'problem')}{held}."]
    if total["solutions"]:
        share = total["right_ones"] / total["solutions"]
        said.append(f"{counted(total['solutions'], 'solution')} to {total['sampled']:,} of them, {percent(share)} right.")
    if total["pairs"]:
        order = percent(total["in_order"])
        said.append(
            f"{counted(total['pairs'], 'pair')} on {counted(total['paired'], 'problem')}; "
            f"the right solution scores higher in {order} of them."
        )
    if total["rejected"]:
        said.append(f"{counted(total['rejected'], 'record')} {'was' if total['rejected'] == 1 else 'were'} dropped on the way.")
    return said


def notes(rows: Mapping[str, int], found: Mapping[str, pl.DataFrame]) -> list[str]:
    """What this version lacks, and what the charts leave out of it."""
    said: list[str] = []
    for table, lack in LACKING.items():
        if table not in rows:
            said.append(f"There is no table {table} in this version: {lack}. A build that runs to its end writes it.")
        elif rows[table] == 0:
            said.append(f"The table {table} has no rows: {lack}.")
    total: dict[str, Any] = found["totals"].row(0, named=True)
    for noun, table in (("scorers", "step_scores"), ("labellers", "step_labels")):
        if total[noun] > 1:
            said.append(f"{table} holds rows of {total[noun]} {noun}; the charts show the one with the most rows.")
    return said


# Key path in the recipe, what it says to a reader.
_SETTINGS = (
    ("samples.engine.kind", "sampled by"),
    ("samples.samples", "samples of a problem"),
    ("samples.temperature", "temperature"),
    ("steps.splitter", "steps cut at"),
    ("step_labels.kind", "labels"),
    ("step_labels.n", "rollouts of a step"),
    ("pairs.score", "score of a solution, of step rewards"),
    ("pairs.top", "best and worst of a problem paired"),
)


def settings(recipe: object) -> list[tuple[str, str]]:
    """The keys of the recipe that explain the charts, as (what, value); those that it lacks are left out."""
    found: list[tuple[str, str]] = []
    for path, meaning in _SETTINGS:
        value: Any = recipe
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None:
            found.append((meaning, str(value)))
    return found


def counted(count: int, noun: str) -> str:
    """`1 pair`, `1,200 pairs`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def percent(share: float) -> str:
    """A share in words that never round a part to none or to all of it."""
    if 0 < share < 0.001:
        return "less than 0.1\u00a0%"
    if 0.999 < share < 1:
        return "more than 99.9\u00a0%"
    return f"{share * 100:.1f}".removesuffix(".0") + "\u00a0%"


def _scores(auc: float | None) -> str:
    if auc is None:
        return ""
    return f"A right solution scores higher than a wrong one in {percent(auc)} of all such couples (AUC {auc:.3f})."


def _margins(in_order: float | None) -> str:
    if in_order is None:
        return ""
    share = f"They are {percent(1 - in_order)} of all" if in_order < 1 else "There are none"
    return f"Pairs at 0 or below prefer a solution that the PRM does not like more. {share}."
