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
from fullstep_data.health import Warned, warnings
from fullstep_data.stats import AGGREGATIONS, POSITIONS, stats

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
    out.print(Text(f"{version.place}, version {version.number}", style="bold"), soft_wrap=True)
    for block in _blocks(found, warned):
        out.print(block)


def _blocks(found: Mapping[str, Any], warned: list[Warned]) -> Iterator[RenderableType]:
    told = [Text.assemble((f"{one.name}: ", "yellow bold"), one.text) for one in warned]
    yield section("Warnings", *(told or [Text("none")]))
    yield section("Tables", _tables(found))
    if found["labels"]:
        yield section("Labels of steps", *_labels(found))
    if found["rewards"]["all"]["steps"]:
        yield section(
            "Rewards by label", *_whose(found), _by_label(found["rewards"]), Text(), _histogram(found["rewards"]["histogram"])
        )
        yield section("Rewards by step position", _by_position(found["rewards"]["by_position"]))
        yield section("Rewards by length of the solution", *_by_length(found["scores"]))
        yield section("Scores of solutions, correct against incorrect", *_scores(found["scores"], found["prm"]))
    else:
        yield section("Rewards", Text("no step of this version has a reward"))
    if found["calibration"]["steps"]:
        yield section("Calibration", *_calibration(found["calibration"]))
    if found["labellers"]:
        yield section("First wrong steps, labeller against labeller", *_labellers(found["labellers"]))
    if found["pairs"]["pairs"]:
        yield section("Pairs", *_pairs(found["pairs"]))
    if found["step_pairs"]["pairs"]:
        yield section("Pairs of next steps (step_pairs)", *_step_pairs(found["step_pairs"]))
    if found["diversity"]["problems"]:
        yield section("Diversity, per problem", Text(_diversity(found["diversity"])), Text(_alike(found)))
    if found["tokens"]:
        yield section("Tokens of solutions", _tokens(found["tokens"]))


def _tables(found: Mapping[str, Any]) -> RenderableType:
    view = plain_table("table", "rows", "rejected", right=("rows",))
    for name, rows in found["tables"].items():
        dropped = [f"{one['rows']:,} {one['table']}: {one['reason']}" for one in found["rejects"] if one["stage"] == name]
        view.add_row(name, f"{rows:,}", Text("; ".join(dropped)))
    return view


def _labels(found: Mapping[str, Any]) -> list[RenderableType]:
    numbers = ("steps", "label 1", "label 0", "open", "share of 1")
    view = plain_table("labeller", "source", *numbers, right=numbers)
    for row in found["labels"]:
        known = row["label_1"] + row["label_0"]
        counts = (f"{row[name]:,}" for name in ("steps", "label_1", "label_0", "open"))
        view.add_row(row["labeller"], row["source"], *counts, f"{row['label_1'] / known:.0%}" if known else "-")
    told: list[RenderableType] = [
        Text(f"{row['labeller']}: {row['steps']:,} open: {row['reason'] or 'no reason given'}") for row in found["open"]
    ]
    told += [
        Text(f"{row['labeller']}: {row['doubted']:,} of {row['right_solutions']:,} right solutions have a step labelled 0")
        for row in found["doubted"]
    ]
    heads = ("step_index", "labelled", "as the outcome says")
    agreement = plain_table("labeller", *heads, right=heads)
    for row in found["agreement"]:
        agreement.add_row(row["labeller"], _position_of(row["position"]), f"{row['steps']:,}", f"{row['agreement']:.0%}")
    return [view, *told, *((Text(), agreement) if found["agreement"] else ())]


def _whose(found: Mapping[str, Any]) -> Iterator[Text]:
    """Which scorer and labeller the figures go by, where there are several."""
    if len(found["scorers"]) > 1:
        yield Text(
            f"here and below: rewards of {found['scorer']}, of {len(found['scorers'])} scorers the one with most", style="dim"
        )
    if len(found["labels"]) > 1:
        yield Text(
            f"here and below: labels of {found['labeller']}, of {len(found['labels'])} labellers the one to say most", style="dim"
        )


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
    heads = ("step_index", "steps", "mean", "p10", "p50", "p90", "mean, label 1", "mean, label 0")
    view = plain_table(*heads, right=heads)
    for row in positions:
        view.add_row(row["position"], f"{row['steps']:,}", *(_number(row[column]) for column in columns[1:]))
    return view


def _by_length(scores: Mapping[str, Any]) -> list[RenderableType]:
    """By the number of steps, and by fifths of the number of characters."""
    views: list[RenderableType] = []
    for unit, rows in (("steps", scores["by_steps"]), ("characters", scores["by_characters"])):
        heads = (unit, "solutions", "mean reward", "correct")
        view = plain_table(*heads, right=heads)
        for row in rows:
            size = _position_of(row["steps"]) if unit == "steps" else f"{row['low']:,} to {row['high']:,}"
            correct = "-" if row["correct"] is None else f"{row['correct']:.0%}"
            view.add_row(size, f"{row['solutions']:,}", _number(row["mean"]), correct)
        views += [Text(), view] if views else [view]
    if scores["length_correlation"] is not None:
        number = f"{scores['length_correlation']:+.2f}"
        views.append(
            Text(f"correlation of score and characters {number}, among equally right solutions of a problem", style="dim")
        )
    return views


def _scores(scores: Mapping[str, Any], prm: Mapping[str, Any] | None) -> list[RenderableType]:
    heads = ("score", "correct", "incorrect", "AUC")
    view = plain_table(*heads, right=heads[1:])
    for name in AGGREGATIONS:
        means = (_number(scores["mean_score"][side][name]) for side in ("correct", "incorrect"))
        view.add_row(f"{name} of the rewards", *means, _number(scores["auc"][name]))
    told = [f"{counted(scores['solutions'], 'solution')} with rewards"]
    if scores["tied"] is not None:
        told.append(f"{scores['tied']:.0%} of different texts have the same mean as another of their problem and verdict (ties)")
    if scores["lowest_is_last"] is not None:
        chance = scores["lowest_is_last_by_chance"]
        told.append(f"in {scores['lowest_is_last']:.0%} the last step has the lowest reward; by chance it would in {chance:.0%}")
    if prm is not None and prm["auc"] is not None:
        told.append(
            "the PRM was trained on most of these problems, so AUC and calibration here flatter it; "
            f"on steps of {counted(prm['problems'], 'problem')} that it was not trained on: AUC {_number(prm['auc'])}"
        )
    return [view, *(Text(line, style="dim") for line in told)]


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
    per = ", ".join(f"{problems:,} with {number}" for number, problems in pairs["per_problem"].items())
    without = pairs["sampled"] - pairs["problems"]
    return [
        Text(f"{counted(pairs['pairs'], 'pair')} on {pairs['problems']:,} of {counted(pairs['sampled'], 'sampled problem')}"),
        Text(f"pairs per problem: {f'{without:,} with 0, ' if without else ''}{per}"),
        *_margins(pairs, "side"),
    ]


def _step_pairs(pairs: Mapping[str, Any]) -> list[RenderableType]:
    at = ", ".join(f"{count:,} at step_index {place}" for place, count in pairs["by_position"].items())
    lines: list[RenderableType] = [Text(f"{counted(pairs['pairs'], 'pair')} on {counted(pairs['problems'], 'problem')}: {at}")]
    if pairs["unscored"]:
        lines.append(Text(f"{pairs['unscored']:,} without rewards"))
    return [*lines, *_margins(pairs, "step")]


def _margins(pairs: Mapping[str, Any], noun: str) -> list[RenderableType]:
    lines = [f"the chosen {noun} is the longer one in {pairs['chosen_longer']:.0%}"]
    if pairs["margin_mean"] is not None:
        low, middle, high = (value + 0.0 for value in pairs["margin_quantiles"])
        margins = f"margin: mean {pairs['margin_mean']:.3f}, p10 {low:.3f}, median {middle:.3f}, p90 {high:.3f}"
        order = f"{pairs['reversed']:,} with the rejected {noun} scoring higher, {pairs['ties']:,} with equal scores"
        lines = [margins, order, *lines]
    return [Text(line) for line in lines]


def _diversity(diversity: Mapping[str, Any]) -> str:
    return (
        f"{counted(diversity['problems'], 'problem')} with {diversity['samples']:.1f} samples on average: "
        f"{diversity['texts']:.1f} different texts, {diversity['answers']:.1f} different answers; "
        f"{diversity['mixed']:.0%} have both right and wrong solutions"
    )


def _alike(found: Mapping[str, Any]) -> str:
    """Problems by their solutions' outcomes, and solutions with a twin."""
    equal, outcomes = found["equal_solutions"], ", ".join(f"{count:,} {name}" for name, count in found["outcomes"].items())
    return f"problems by their solutions: {outcomes}; {equal['equal']:,} of {counted(equal['solutions'], 'solution')} have a twin"


def _tokens(rows: list[dict[str, Any]]) -> RenderableType:
    columns = ("solutions", "mean", "p10", "p50", "p90", "max")
    view = plain_table("", *columns, right=columns)
    for row in rows:
        name = {True: "correct", False: "incorrect", None: "undecided"}[row["correct"]]
        view.add_row(name, *(f"{row[column]:,.0f}" for column in columns))
    return view


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _position_of(number: int) -> str:
    return f"{number}{'+' if number == POSITIONS else ''}"
