"""What `fs-data build` shows when it is done: each block is one question to the tables of the new version, and its picture.

    show(build_summary(connection, tables, metrics, recipe, folder))      # connection: of `query.connect`

The questions are those a reader can put with `fs-data sql`; a block is given `ask`, which answers them with frames. How far
labellers agree is counted in little memory (`agreement`), not by the view `label_consensus`, which says the same.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import duckdb
import polars as pl
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cli.render import bar, counted, next_commands, plain_table, section
from fullstep_data.agreement import agreement
from fullstep_data.stats import PRM_FIGURES
from fullstep_data.store.label_health import MAIN_LABELLER

Ask = Callable[[str], pl.DataFrame]

REJECTS = 'SELECT stage, "table", reason, count(*) AS rows FROM rejects GROUP BY ALL ORDER BY rows DESC, reason'

REWARDS = f"""
SELECT least(floor(reward * 10), 9)::INT AS bin, label, count(*) AS steps
FROM step_scores JOIN step_labels USING (solution_id, step_index)
WHERE label IS NOT NULL AND labeller = ({MAIN_LABELLER}) GROUP BY ALL ORDER BY ALL
"""

LABELS = r"""
SELECT labeller, CAST(regexp_extract(labeller, 'n=(\d+)', 1) AS INTEGER) AS n, count(*) AS steps,
       count(*) FILTER (label IS NULL) AS open,
       count(*) FILTER (label) AS labelled_right, count(*) FILTER (NOT label) AS labelled_wrong,
       (SELECT count(*) FROM rollouts) AS rollouts, (SELECT coalesce(sum(tokens), 0) FROM rollouts) AS tokens
FROM step_labels WHERE source IN ('monte-carlo', 'binary-search') GROUP BY labeller
"""

OPEN = """
SELECT reason, count(*) AS steps FROM step_labels
WHERE label IS NULL AND source IN ('monte-carlo', 'binary-search') GROUP BY reason ORDER BY steps DESC, reason
"""

LABELLERS = """
SELECT labeller, bool_and(source = 'consensus') AS joint, count(*) FILTER (label) AS labelled_right,
       count(*) FILTER (NOT label) AS labelled_wrong, count(*) FILTER (label IS NULL) AS open
FROM step_labels GROUP BY labeller ORDER BY labeller
"""

PAIRS = """
SELECT count(*) AS pairs, count(DISTINCT problem_id) AS problems, avg(margin) AS margin,
       count(*) FILTER (margin > 0) AS in_order FROM pairs
"""

WITHOUT_PAIRS = """
SELECT reason, count(*) AS problems FROM rejects WHERE stage = 'pairs' AND "table" = 'problems'
GROUP BY reason ORDER BY problems DESC, reason
"""

WIDEST_PAIR = """
SELECT problem_id, question, problems.answer AS gold, chosen_id, rejected_id, chosen_score, rejected_score
FROM pairs JOIN problems USING (problem_id) WHERE margin IS NOT NULL ORDER BY margin DESC, pair_id LIMIT 1
"""

SCORED_STEPS = """
SELECT text, reward FROM steps LEFT JOIN step_scores USING (solution_id, step_index)
WHERE solution_id = '{solution_id}' ORDER BY step_index
"""

OUTCOMES = "the labels are outcomes: every step carries whether the final answer is right"
POLICIES = {
    "full": "all N of each step, so values are soft labels; what is saved are the last steps, which have no rollout to draw, the "
    "rollout that a solution of the same sampler is itself, and equal prefixes",
    "early-stop": "drawn until the first success, so hard labels are those of all N; soft ones need all N (policy full)",
    "first-error": "drawn up to the first wrong step of a solution, later steps are open; soft labels need all N (policy full)",
    "binary-search": "approximate: the first wrong step is found by halving, as if no rollout succeeded after it; steps that "
    "were not looked at are labelled by inference; soft labels need all N (policy full)",
}
POOLED = "pooled: all solutions through a prefix count as its rollouts, so labels may stand on more than N"

CHANCES = "label 1: a rollout of the step reached the right answer; no proof that the step is correct"


def build_summary(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[str], metrics: Mapping[str, Any], recipe: str, folder: str
) -> list[RenderableType]:
    """All blocks. metrics: the PRM's validation figures, empty where none was trained. recipe: the words that name it on a
    command line, `--set` included. folder: as typed.
    """

    def ask(question: str) -> pl.DataFrame:
        return connection.sql(question).pl()

    blocks: list[RenderableType] = [section("Tables", tables_and_rejects(ask, tables))]
    if "rollouts" in tables:
        blocks.append(section("Monte-Carlo labels", *monte_carlo(ask)))
    if "step_labels" in tables and ask(LABELLERS).height > 1:
        blocks.append(section("Labellers side by side", *labellers(connection)))
    if {"step_scores", "step_labels"} <= set(tables):
        blocks.append(section("Rewards of steps, by label", *reward_histogram(ask)))
    if metrics:
        blocks.append(section("PRM, on problems it was not trained on", *prm_metrics(metrics)))
    if "pairs" in tables:
        blocks.append(section("Pairs", *pairs(ask)))
    trainable = "pairs" in tables and bool(ask(PAIRS)["pairs"].item())
    if trainable and ask(PAIRS)["margin"].item() is not None:
        blocks.append(best_and_worst(ask))
    return [*blocks, _next(recipe, folder, trainable)]


def tables_and_rejects(ask: Ask, tables: Sequence[str]) -> RenderableType:
    """Rows of each table, and what the stage that writes it dropped, by reason; then what other stages dropped."""
    view = plain_table("table", "rows", "rejected", right=("rows",))
    rejected = ask(REJECTS)
    written = [table for table in tables if table != "rejects"]
    for stage in (*written, *(one for one in rejected["stage"].unique().sort() if one not in written)):
        reasons = [
            f"{row['rows']:,} {row['table']}: {row['reason']}"
            for row in rejected.filter(pl.col("stage") == stage).iter_rows(named=True)
        ]
        rows = f"{ask(f'SELECT count(*) FROM {stage}').item():,}" if stage in written else ""
        view.add_row(stage, rows, Text("; ".join(reasons)))
    return view


def reward_histogram(ask: Ask) -> list[RenderableType]:
    """Ten bins of reward; the bars are shares within each label, so a rare label is as visible as a common one."""
    counts = ask(REWARDS)
    totals = {label: int(counts.filter(pl.col("label") == label)["steps"].sum()) for label in (True, False)}
    heads = {True: f"label 1 ({totals[True]:,} steps)", False: f"label 0 ({totals[False]:,} steps)"}
    view = plain_table("reward", heads[True], " ", heads[False], "  ", right=(" ", "  "))
    for index in range(10):
        cells: list[str] = []
        for label in (True, False):
            steps = int(counts.filter((pl.col("bin") == index) & (pl.col("label") == label))["steps"].sum())
            cells += [bar(steps / totals[label] if totals[label] else 0.0), f"{steps:,}" if steps else ""]
        view.add_row(f"{index / 10:.1f}-{(index + 1) / 10:.1f}", *cells)
    sources = set(ask(f"SELECT DISTINCT source FROM step_labels WHERE labeller = ({MAIN_LABELLER})")["source"])
    chances = sources <= {"monte-carlo", "binary-search"}
    told = OUTCOMES if sources <= {"outcome"} else CHANCES if chances else f"the labels: {', '.join(sorted(sources))}"
    told += f"; labeller: {ask(MAIN_LABELLER).item()}" if ask(LABELLERS).height > 1 else ""
    return [view, Text(told, style="dim")]


def monte_carlo(ask: Ask) -> list[Text]:
    """How the labels came out, what they cost, and what was saved."""
    lines: list[Text] = []
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in ask(OPEN).iter_rows())
    for row in ask(LABELS).iter_rows(named=True):
        told = f"{row['labeller']}: {row['labelled_right']:,} steps labelled right, {row['labelled_wrong']:,} wrong"
        lines.append(Text(told + (f", {row['open']:,} open ({reasons})" if reasons else "")))
        whole = row["n"] * row["steps"]
        drawn = f"{counted(row['rollouts'], 'rollout')} ({row['tokens']:,} tokens)"
        lines.append(Text(f"{drawn}, {row['rollouts'] / whole:.0%} of the {whole:,} that N = {row['n']} at every step would be"))
        _, _, policy, *pooled = row["labeller"].split()
        lines.append(Text("; ".join([POLICIES[policy], *([POOLED] if pooled else [])]), style="dim"))
    return lines


def labellers(connection: duckdb.DuckDBPyConnection) -> list[RenderableType]:
    """What each labeller says of the steps, and in how many solutions two of them have the same first wrong step, or none."""
    view = plain_table("labeller", "right", "wrong", "open", right=("right", "wrong", "open"))
    found = connection.sql(LABELLERS).pl()
    for name, _, *counts in found.iter_rows():
        view.add_row(name, *(f"{count:,}" for count in counts))
    told = [
        f"{row['labeller']} and {row['other']} have the same first wrong step, or none, in {row['kept']:,} of "
        f"{counted(row['solutions'], 'solution')}"
        for row in agreement(connection, found.filter(~pl.col("joint"))["labeller"].to_list())
    ]
    return [view, *(Text(line) for line in told)]


def prm_metrics(metrics: Mapping[str, Any]) -> list[RenderableType]:
    """The figures that the trainer left in metrics.json; one that the data do not define is a dash."""
    view = Table(box=None, show_header=False, pad_edge=False)
    view.add_column()
    view.add_column(justify="right")
    for name, meaning in PRM_FIGURES.items():
        value = metrics.get(name)
        view.add_row(meaning, "-" if value is None else f"{value:.3f}")
    size = ", ".join(counted(metrics[f"{noun}s"], noun) for noun in ("problem", "solution", "step"))
    return [view, Text("; ".join((size, *([metrics["undefined"]] if "undefined" in metrics else []))), style="dim")]


def pairs(ask: Ask) -> list[Text]:
    """How many pairs, on how many problems, how far apart; and why other problems have none."""
    found = ask(PAIRS).row(0, named=True)
    if not found["pairs"]:
        lines = ["no pairs, so there is nothing to train on: a pair needs a correct and an incorrect solution of one problem"]
    else:
        lines = [f"{counted(found['pairs'], 'pair')} on {counted(found['problems'], 'problem')}; "]
        if found["margin"] is None:
            lines[0] += "imported without scores"
        else:
            lines[0] += f"mean margin {round(found['margin'], 3) + 0.0:.3f}; "
            lines[0] += f"the chosen scores higher in {found['in_order'] / found['pairs']:.0%}"
    without = ask(WITHOUT_PAIRS)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in without.iter_rows())
    if reasons:
        lines.append(f"{counted(int(without['problems'].sum()), 'problem')} without pairs: {reasons}")
    return [Text(line) for line in lines]


def best_and_worst(ask: Ask) -> RenderableType:
    """The pair with the widest margin, side by side, the reward before each step. There must be one with scores."""
    pair = ask(WIDEST_PAIR).row(0, named=True)
    view = plain_table(f"chosen, score {pair['chosen_score']:.3f}", f"rejected, score {pair['rejected_score']:.3f}")
    for column in view.columns:
        column.ratio = 1
    sides = [ask(SCORED_STEPS.format(solution_id=pair[side])).rows() for side in ("chosen_id", "rejected_id")]
    for index in range(max(map(len, sides))):
        view.add_row(*(_step(side[index]) if index < len(side) else Text("") for side in sides))
    gold = "no gold answer" if pair["gold"] is None else f"gold answer: {pair['gold']}"
    question = Text(f"{pair['question'].strip()}   ({gold})")
    return section("One problem, its best correct and its worst incorrect solution", question, view)


def _step(step: tuple[str, float | None]) -> Text:
    text, reward = step
    mark = "  -- " if reward is None else f"{reward:.2f} "
    style = "" if reward is None else "green" if reward >= 0.5 else "red"
    return Text.assemble((mark, style), text.strip())


def _next(recipe: str, folder: str, trainable: bool) -> Text:
    question = "SELECT label, count(*) AS steps, avg(reward) AS reward FROM rewards GROUP BY label"
    run = shlex.quote(f"{folder.rstrip('/')}-run")
    folder = shlex.quote(folder)
    train = (f"fs-train run {recipe} --data {folder} --out {run}", "train the policy on these pairs and evaluate it")
    answers = "SELECT correct, grade_path, count(*) AS solutions FROM solutions GROUP BY ALL ORDER BY ALL"
    look = (f'fs-data sql {folder} "{answers}"', "how the solutions were graded: pairs need right and wrong ones")
    return next_commands(
        (
            (
                f"fs-data show {folder} {'pairs' if trainable else 'solutions'}",
                "the first rows of a table, and what its columns mean",
            ),
            (f'fs-data sql {folder} "{question}"', "any question, as SQL"),
            train if trainable else look,
        )
    )
