"""What an evaluation shows: accuracy and cost of each rule, curves over the number of samples, and whether rules differ.

    show(eval_summary(version.frame("predictions"), version.frame("rejects"), ("greedy", "sc@8"), 0.5, (), out))

The counting is `fullstep_data.accuracy`'s; only its picture is made here.
"""

import shlex
from collections.abc import Sequence

import polars as pl
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cli.render import next_commands, plain_table, section, sparkline
from fullstep_data.accuracy import Comparison, accuracy, costs, paired, pass_at_k, process_errors
from fullstep_data.config import Calibration
from fullstep_data.decoding import SAMPLE, Sampled, curve, parse

ALL = "all sets"


def eval_summary(
    predictions: pl.DataFrame,
    rejects: pl.DataFrame,
    decode: Sequence[str],
    threshold: float,
    calibrations: Sequence[Calibration],
    out: str | None,
) -> list[RenderableType]:
    """All blocks. decode: the rules that were asked for, by name. threshold: a step reward below it doubts a right answer."""
    rules = [rule for rule in parse(",".join(decode)) if predictions["decoding"].eq(rule.name).any()]
    named = predictions.filter(pl.col("decoding").is_in([rule.name for rule in rules]))
    notes = [Text(f"{count:,} left out: {reason}") for reason, count in rejects["reason"].value_counts(sort=True).iter_rows()]
    undecided = int(named["correct"].is_null().sum())
    if undecided:
        notes.append(Text(f"{undecided:,} answers could not be graded and count as not correct"))
    title = "Greedy accuracy" if decode == ("greedy",) else "Accuracy"
    blocks = [section(title, rule_table(named, [rule.name for rule in rules], threshold), *notes)]
    sampled = [rule for rule in rules if isinstance(rule, Sampled)]
    if sampled and max(rule.n for rule in sampled) > 1:
        blocks.append(section("By number of samples", *curves(predictions, sampled)))
    if len(rules) > 1:
        blocks.append(section(f"Against {rules[0].name}, by problem", *differences(named, [rule.name for rule in rules])))
    if calibrations:
        blocks.append(section("Calibration of hybrid", *map(told, calibrations)))
    return [*blocks, *_next(out)]


def rule_table(predictions: pl.DataFrame, names: Sequence[str], threshold: float) -> Table:
    """One row per set and rule (and per rule over all sets, where there are several): correct, accuracy, interval, cost.

    names: of the rules, in the order in which they are shown.
    """
    several = predictions["source"].n_unique() > 1
    frame = pl.concat([predictions, predictions.with_columns(source=pl.lit(ALL))]) if several else predictions
    by = ("source", "decoding")
    rows = accuracy(frame, by).join(costs(frame, by), on=by, maintain_order="left")
    order = {name: place for place, name in enumerate(names)}
    rows = rows.sort(pl.col("source") == ALL, "source", pl.col("decoding").replace_strict(order))
    doubts = {(row["source"], row["decoding"]): row for row in process_errors(frame, threshold, by).iter_rows(named=True)}
    right = ("correct", "accuracy", "tokens", "sampled", "doubted")
    view = plain_table(
        "set", "rule", "correct", "accuracy", "95 % interval", "tokens", "sampled", *(["doubted"] if doubts else []), right=right
    )
    for row in rows.iter_rows(named=True):
        cells = [
            row["source"],
            row["decoding"],
            f"{row['correct']}/{row['n']}",
            f"{row['accuracy']:.1%}",
            f"{row['low']:.1%} to {row['high']:.1%}",
            *("" if row[name] is None else f"{row[name]:,.0f}" for name in ("tokens", "sampled_tokens")),
        ]
        doubt = doubts.get((row["source"], row["decoding"]))
        view.add_row(*cells, *([f"{doubt['doubted']}/{doubt['n']}" if doubt else ""] if doubts else []))
    means = "tokens: of the answer; sampled: of all that was sampled for it; both per question"
    view.caption = f"{means}; doubted: right answers with a step reward below {threshold:g}" if doubts else means
    view.caption_justify = "left"
    return view


def curves(predictions: pl.DataFrame, rules: Sequence[Sampled]) -> list[RenderableType]:
    """Accuracy of each rule at 1, 2, 4 … samples, and pass@k: the chance that some of k samples is right."""
    passed = pass_at_k(predictions.filter(decoding=SAMPLE))
    numbers = sorted({at_n.n for rule in rules for at_n in curve(rule)} | set(passed["k"].to_list()))
    known = {row["decoding"]: row["accuracy"] for row in accuracy(predictions).iter_rows(named=True)}
    view = plain_table("rule", *map(str, numbers), "", right=tuple(map(str, numbers)))
    families = {rule.family: rule for rule in sorted(rules, key=lambda rule: rule.n)}
    for family in dict.fromkeys(rule.family for rule in rules):
        shares = {at_n.n: known.get(at_n.name) for at_n in curve(families[family])}
        view.add_row(*_curve(family, [shares.get(n) for n in numbers]))
    shares = dict(passed.select("k", "pass_at_k").iter_rows())
    view.add_row(*_curve("pass@k", [shares.get(n) for n in numbers]))
    first = passed.row(0, named=True)
    told = f"one sample is right {first['pass_at_k']:.1%} of the time ({first['low']:.1%} to {first['high']:.1%})"
    return [view, Text(told, style="dim")]


def differences(predictions: pl.DataFrame, names: Sequence[str]) -> list[RenderableType]:
    """Each rule against the first: paired bootstrap interval of the difference, and McNemar's exact test."""
    view = plain_table(
        "rule", "difference", "95 % interval", "fixed", "broken", "p", right=("difference", "fixed", "broken", "p")
    )
    first = predictions.filter(decoding=names[0])
    for name in names[1:]:
        found = paired(first, predictions.filter(decoding=name))
        view.add_row(name, *comparison_cells(found))
    return [view, Text("p: exact McNemar test, of one comparison; the best of many is by chance better than it is", style="dim")]


def comparison_cells(found: Comparison) -> tuple[str, ...]:
    """Difference and interval in percentage points, fixed, broken and p; an interval of too few problems is said to be none."""
    known = found.low > float("-inf")
    interval = f"{100 * found.low:+.1f} to {100 * found.high:+.1f}" if known else "too few problems"
    return f"{100 * found.difference:+.1f}", interval, str(found.gained), str(found.lost), f"{found.p_value:.2g}"


def told(calibration: Calibration) -> Text:
    """What a calibration found, in a sentence."""
    head = f"{calibration.score}: fitted on {calibration.problems:,} problems, {calibration.base:.1%} of samples right; "
    if not calibration.weight:
        return Text(f"{head}no weight was surely better than Self-Consistency there, so hybrid votes as sc does")
    gain = f"{100 * calibration.gain:+.1f} points over sc out of fold, standard error {100 * calibration.error:.1f}"
    return Text(f"{head}weight {calibration.weight:g} ({gain})")


def _curve(name: str, shares: Sequence[float | None]) -> list[str]:
    drawn = sparkline([share for share in shares if share is not None])
    return [name, *("" if share is None else f"{share:.1%}" for share in shares), drawn]


def _next(out: str | None) -> list[Text]:
    if out is None:
        return [Text("\nnothing is kept: --out DIR keeps the answers, to go on, compare and query", style="dim")]
    place = shlex.quote(out)
    query = "SELECT decoding, avg(CAST(correct AS INTEGER)) AS accuracy FROM predictions GROUP BY decoding ORDER BY decoding"
    return [
        next_commands(
            (
                (f"fs-data show {out} predictions", "predictions are kept: columns and rows"),
                (f'fs-data sql {place} "{query}"', "everything is SQL"),
                (f"fs-train compare {place} OTHER", "the same questions in another evaluation or run"),
            )
        )
    ]
