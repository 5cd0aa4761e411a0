"""What `fs-train run` shows when it is done: the training curve, and greedy accuracy before and after, with what that can mean.

    show(train_summary(version.frame("predictions"), training(version), eval_options, data, out))

The counting is `fullstep_data.accuracy`'s; only its picture is made here.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cli.figures import figure
from cli.render import counted, next_commands, plain_table, section, sparkline
from cli.terminal_plot import BOTH, terminal_plot
from fullstep_data.accuracy import accuracy, compare

SIGNIFICANT = 0.05

DPO_LOSS = "-log sigmoid(rho_w - rho_l)"
FIGURES = {
    "loss": "loss",
    "rewards/margins": "margin, rho_w - rho_l",
    "rewards/accuracies": "share of pairs with rho_w > rho_l",
    "logps/chosen": "log pi of the chosen, nats",
    "logps/rejected": "log pi of the rejected, nats",
    "log_ratio/token": "log pi - log pi_ref per token, nats",
    "kl/token": "KL from the reference per token, estimated, nats",
}
"""What of the trainer's log is drawn. rho = beta * log-ratio of policy and reference (docs: method.md)."""
REWARDS = {"●": "rewards/chosen", "○": "rewards/rejected"}
"""What is plotted, and with which mark."""
SPARKS = 30
"""Characters of a course in the table of figures."""
SHARE = "gradient_share/step_"
"""How the trainer's log names a position's share of the gradient; the last position stands for all later steps."""


@dataclass(frozen=True)
class Training:
    """How a policy was trained. curve: one row of figures per optimiser step; size: its pairs, problems, dropped records;
    warnings: what the trainer saw go wrong, and what to change. weighted: step rewards had a say in it. loss: what the
    loss is.
    """

    curve: Sequence[Mapping[str, float]]
    size: Mapping[str, int]
    warnings: Sequence[str] = ()
    weighted: bool = True
    loss: str = DPO_LOSS


def train_summary(
    predictions: pl.DataFrame, training: Training, picture: Path | None, eval_options: str, data: str, out: str
) -> list[RenderableType]:
    """All blocks. picture: where the training is drawn, None where what draws is not installed. eval_options: of `fs-train eval`,
    to ask another model the same way. data, out: as typed.
    """
    drawn = f"as a picture: {picture}" if picture else 'as a picture too with pip install "fullstep[report]"'
    return [
        section("Training", *training_curve(training), Text(drawn, style="dim")),
        section("Greedy accuracy on held-out problems", accuracy_table(accuracy(predictions)), *reading(predictions)),
        *_next(eval_options if predictions.height else None, data, out, training.weighted),
    ]


def weighs_steps(config: Mapping[str, Any]) -> bool:
    """Whether step rewards weigh steps. config: of a policy, as its manifest has it."""
    return bool(config["objective"]["kind"] == "dpo" and config["weighting"]["gamma"] > 0)


def loss_of(config: Mapping[str, Any]) -> str:
    """The loss that is logged, as a formula."""
    objective = config["objective"]
    if objective["kind"] == "sft":
        return "-log pi of the chosen, per token"
    return DPO_LOSS + (f" + {objective['nll_weight']:g} nll of the chosen" if objective["nll_weight"] else "")


def training_curve(training: Training) -> list[RenderableType]:
    """First and last value of each figure, and its course between; what it was trained on."""
    curve, size = training.curve, training.size
    view = plain_table("figure", "first", "course", "last", right=("first", "last"))
    for name, meaning in FIGURES.items():
        values = [row[name] for row in curve if name in row]
        if not values:
            continue
        told = f"{meaning}, {training.loss}" if name == "loss" else meaning
        view.add_row(told, figure(name, values[0]), sparkline(values, SPARKS), figure(name, values[-1]))
    data = f"{counted(size['pairs'], 'pair')} of {counted(size['problems'], 'problem')}, {size['dropped']:,} dropped"
    steps = Text(f"{counted(len(curve), 'optimiser step')} on {data}", style="dim")
    warnings = [Text(f"warning: {warning}", style="yellow") for warning in training.warnings]
    return [view, *reward_plot(curve), *gradient_shares(curve), steps, *warnings]


def reward_plot(curve: Sequence[Mapping[str, float]]) -> list[RenderableType]:
    """The rewards of chosen and rejected over the run: the chosen should not fall far below 0, whatever the margin does."""
    rows = [row for row in curve if all(name in row for name in REWARDS.values())]
    lines = {mark: [row[name] for row in rows] for mark, name in REWARDS.items()}
    drawn = terminal_plot([int(row["step"]) for row in rows], lines, width=60, height=8)
    title = Text(f"rho of the chosen (●) and of the rejected (○; {BOTH} both), by optimiser step")
    return [title, *(Text(text, no_wrap=True) for text in drawn)] if drawn else []


def gradient_shares(curve: Sequence[Mapping[str, float]]) -> list[RenderableType]:
    """Where the gradient goes: the mean over the run of each step position's share; nothing where there is one position only."""
    shares: dict[str, float] = {}
    for name in sorted({name for row in curve for name in row if name.startswith(SHARE)}):
        shares[name.removeprefix(SHARE)] = sum(row.get(name, 0.0) for row in curve) / len(curve)
    shares = {step: share for step, share in shares.items() if share > 0}
    if len(shares) < 2:
        return []
    return [Text("share of the gradient by step: " + ", ".join(f"{step}: {share:.0%}" for step, share in shares.items()))]


def accuracy_table(accuracies: pl.DataFrame) -> Table:
    """One row per model: share correct and its 95 % interval."""
    view = plain_table("model", "correct", "accuracy", "95 % interval", right=("correct", "accuracy"))
    for row in accuracies.iter_rows(named=True):
        interval = f"{row['low']:.1%} to {row['high']:.1%}"
        view.add_row(row["model"], f"{row['correct']}/{row['n']}", f"{row['accuracy']:.1%}", interval)
    return view


def reading(predictions: pl.DataFrame) -> list[Text]:
    """What the figures mean, and do not mean. Both models answered the same problems, so the paired test decides."""
    models = {row["model"]: row for row in accuracy(predictions).iter_rows(named=True)}
    if not {"before", "after"} <= models.keys():
        return [Text("no held-out problem was answered, so nothing is known of the policy: see problems.held_out in the recipe")]
    change = compare(predictions, "before", "after")
    test = f"exact McNemar test: p = {change.p_value:.2g}"
    lines = [f"of {change.n:,} problems {change.gained:,} were fixed and {change.lost:,} were broken ({test})"]
    overlap = models["after"]["low"] <= models["before"]["high"] and models["before"]["low"] <= models["after"]["high"]
    if change.p_value >= SIGNIFICANT:
        seen = "the intervals overlap: this" if overlap else "this"
        lines.append(f"{seen} run does not show a difference; more held-out problems would show a smaller one")
    else:
        better = "better" if change.gained > change.lost else "worse"
        lines.append(f"on problems like these the policy is {better} than the model it was made from; one run, one seed")
    undecided = sum(row["undecided"] for row in models.values())
    if undecided:
        lines.append(f"{undecided:,} answers could not be graded and count as not correct")
    return [Text(line) for line in lines]


def _next(eval_options: str | None, data: str, out: str, weighted: bool) -> list[RenderableType]:
    """eval_options None: the dataset has no held-out problems, so nothing was answered."""
    data, out = shlex.quote(data), shlex.quote(out)
    question = "SELECT question, gold, model, answer, correct FROM predictions ORDER BY question, model DESC"
    answers = (f'fs-data sql {out} "{question}"', "every answer, before and after")
    rewards = (f"fs-data show {data} step_scores", "the step rewards that weighted the training")
    other = (
        f"fs-train eval --model MODEL --problems {data} {eval_options}",
        "measure another model on the same problems",
    )
    commands = [*([answers] if eval_options else []), *([rewards] if weighted else []), *([other] if eval_options else [])]
    return [next_commands(commands)] if commands else []
