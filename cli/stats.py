"""What `fs-data stats` prints: the figures of a version, and first what they warn of.

show_stats("out/tiny", as_json=False)
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from cli.render import bar, console, counted, plain_table, section
from cli.sql import opened, plain
from fullstep_data.stats import AGGREGATIONS, Warned, stats, warnings

LABELS = {"true": "label 1", "false": "label 0", "open": "no label"}


def show_stats(dataset: str, as_json: bool) -> None:
    """Print the figures as blocks, or as one JSON object."""
    version, parts = opened(dataset, None)
    found = stats(version, parts)
    warned = warnings(found)
    if as_json:
        click.echo(json.dumps(plain({"warnings": [asdict(one) for one in warned], **found}), ensure_ascii=False, indent=1))
        return
    out = console()
    out.print(Text(f"{version.path}, version {version.number}", style="bold"), soft_wrap=True)
    for block in _blocks(found, warned):
        out.print(block)


def _blocks(found: Mapping[str, Any], warned: list[Warned]) -> Iterator[RenderableType]:
    told = [Text.assemble((f"{one.name}: ", "yellow bold"), one.text) for one in warned]
    yield section("Warnings", *(told or [Text("none")]))
    yield section("Tables", _tables(found))
    if found["rewards"]["all"]["steps"]:
        yield section("Rewards by label", _by_label(found["rewards"]), _histogram(found["rewards"]["histogram"]))
        yield section("Rewards by step position", _by_position(found["rewards"]["by_position"]))
        yield section("Rewards by number of steps", _by_steps(found["scores"]["by_steps"]))
        yield section("Scores of solutions, correct against incorrect", *_scores(found["scores"]))
    else:
        yield section("Rewards", Text("no step of this version has a reward"))
    if found["calibration"]["steps"]:
        yield section("Calibration", *_calibration(found["calibration"]))
    if found["labellers"]:
        yield section("First wrong steps, labeller against labeller", *_labellers(found["labellers"]))
    if found["pairs"]["pairs"]:
        yield section("Pairs", *_pairs(found["pairs"]))
    if found["diversity"]["problems"]:
        yield section("Diversity, per problem", Text(_diversity(found["diversity"])))
    if found["tokens"]:
        yield section("Tokens of solutions", _tokens(found["tokens"]))


def _tables(found: Mapping[str, Any]) -> RenderableType:
    view = plain_table("table", "rows", "rejected", right=("rows",))
    for name, rows in found["tables"].items():
        dropped = [f"{one['rows']:,} {one['table']}: {one['reason']}" for one in found["rejects"] if one["stage"] == name]
        view.add_row(name, f"{rows:,}", Text("; ".join(dropped)))
    return view


def _by_label(rewards: Mapping[str, Any]) -> RenderableType:
    columns = ("steps", "mean", "p10", "p50", "p90")
    view = plain_table("", *columns, right=columns)
    for name, row in {"all steps": rewards["all"], **{LABELS[key]: rewards["by_label"][key] for key in LABELS}}.items():
        if row["steps"]:
            view.add_row(name, f"{row['steps']:,}", *(_number(row[column]) for column in columns[1:]))
    return view


def _histogram(histogram: Mapping[str, list[int]]) -> RenderableType:
    """Shares within each label, so a rare label is as visible as a common one."""
    shown = [key for key in LABELS if sum(histogram[key])]
    view = plain_table("reward", *(LABELS[key] for key in shown))
    for tenth in range(10):
        bars = (bar(histogram[key][tenth] / sum(histogram[key])) for key in shown)
        view.add_row(f"{tenth / 10:.1f}-{(tenth + 1) / 10:.1f}", *bars)
    return view


def _by_position(positions: list[dict[str, Any]]) -> RenderableType:
    columns = ("steps", "mean", "p10", "p50", "p90", "mean_true", "mean_false")
    heads = ("step", "steps", "mean", "p10", "p50", "p90", "mean, label 1", "mean, label 0")
    view = plain_table(*heads, right=heads)
    for row in positions:
        view.add_row(row["position"], f"{row['steps']:,}", *(_number(row[column]) for column in columns[1:]))
    return view


def _by_steps(rows: list[dict[str, Any]]) -> RenderableType:
    heads = ("steps", "solutions", "mean reward", "correct")
    view = plain_table(*heads, right=heads)
    for row in rows:
        steps = f"{row['steps']}{'+' if row['steps'] == 10 else ''}"
        view.add_row(
            steps, f"{row['solutions']:,}", _number(row["mean"]), "-" if row["correct"] is None else f"{row['correct']:.0%}"
        )
    return view


def _scores(scores: Mapping[str, Any]) -> list[RenderableType]:
    heads = ("score", "correct", "incorrect", "AUC")
    view = plain_table(*heads, right=heads[1:])
    for name in AGGREGATIONS:
        means = (_number(scores["mean_score"][side][name]) for side in ("correct", "incorrect"))
        view.add_row(f"{name} of rewards", *means, _number(scores["auc"][name]))
    told = [f"{counted(scores['solutions'], 'solution')} with rewards"]
    if scores["tied"] is not None:
        told.append(f"{scores['tied']:.0%} have the same mean as another of their problem and verdict (ties)")
    if scores["lowest_is_last"] is not None:
        told.append(f"in {scores['lowest_is_last']:.0%} the last step has the lowest reward")
    if scores["length_correlation"] is not None:
        told.append(f"correlation of score and length within problems {scores['length_correlation']:+.2f}")
    return [view, Text("; ".join(told), style="dim")]


def _calibration(calibration: Mapping[str, Any]) -> list[RenderableType]:
    heads = ("reward from", "steps", "mean reward", "share labelled 1")
    view = plain_table(*heads, right=heads)
    for row in calibration["bins"]:
        view.add_row(f"{row['low']:.1f}", f"{row['steps']:,}", _number(row["mean_reward"]), _number(row["share_true"]))
    told = f"expected calibration error {calibration['ece']:.3f}, Brier score {calibration['brier']:.3f}"
    return [view, Text(told, style="dim")]


def _labellers(rows: list[dict[str, Any]]) -> list[Text]:
    told: list[Text] = []
    for row in rows:
        share = "" if row["agreement"] is None else f" ({row['agreement']:.0%} of the {row['decided']:,} in which both know it)"
        kept = f"the same in {row['kept']:,} of {counted(row['solutions'], 'solution')}{share}"
        told.append(Text(f"{row['labeller']} | {row['other']}: {kept}"))
    return told


def _pairs(pairs: Mapping[str, Any]) -> list[RenderableType]:
    low, middle, high = (value + 0.0 for value in pairs["margin_quantiles"])
    per = ", ".join(f"{problems:,} with {number}" for number, problems in pairs["per_problem"].items())
    return [
        Text(f"{counted(pairs['pairs'], 'pair')} on {counted(pairs['problems'], 'problem')}: {per}"),
        Text(f"margin: mean {pairs['margin_mean']:.3f}, p10 {low:.3f}, median {middle:.3f}, p90 {high:.3f}"),
        Text(f"{pairs['reversed']:,} with the rejected side scoring higher, {pairs['ties']:,} with equal scores"),
        Text(f"the chosen side is the longer one in {pairs['chosen_longer']:.0%}"),
    ]


def _diversity(diversity: Mapping[str, Any]) -> str:
    return (
        f"{counted(diversity['problems'], 'problem')} with {diversity['samples']:.1f} samples on average: "
        f"{diversity['texts']:.1f} different texts, {diversity['answers']:.1f} different answers; "
        f"{diversity['mixed']:.0%} have both right and wrong solutions"
    )


def _tokens(rows: list[dict[str, Any]]) -> RenderableType:
    columns = ("solutions", "mean", "p10", "p50", "p90", "max")
    view = plain_table("", *columns, right=columns)
    for row in rows:
        name = {True: "correct", False: "incorrect", None: "undecided"}[row["correct"]]
        view.add_row(name, *(f"{row[column]:,.0f}" for column in columns))
    return view


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
