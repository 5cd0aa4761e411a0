"""What `fs-train compare` does: two sets of answers to the same problems → differences, paired tests, the worst regressions.

compare("out/eval-a", "out/eval-b", Sides())                      # every rule that both have
compare("out/tiny-run", None, Sides())                            # before and after of one training
compare("out/eval", None, Sides(rules=("greedy", "sc@8")))        # two rules of one evaluation
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from rich.console import RenderableType
from rich.text import Text

from cli.eval_summary import comparison_cells
from cli.render import cell, counted, plain_table, section, show
from fullstep_data.accuracy import paired, per_problem, regressions
from fullstep_data.decoding import GREEDY
from fullstep_data.store import open_version
from schemas import InputError

TEXT_CHARACTERS = 600
_AT = re.compile(r"(?P<family>[a-z-]+)@(?P<n>\d+)")


@dataclass(frozen=True)
class Sides:
    """Which answers of each run are compared, where the runs alone do not say: names of models and of rules, first and second."""

    models: tuple[str, str] | None = None
    rules: tuple[str, str] | None = None


def compare(first: str, second: str | None, sides: Sides, shown: int = 3) -> None:
    """Compare runs (`DIR[@VERSION]`; second None: the first itself) and print what differs. shown: regressions told as text."""
    one, two = _answers(first), _answers(second or first)
    models = sides.models or _models(first, one, second, two, sides.rules is not None)
    one, two = (_of_model(frame, model, place) for frame, model, place in zip((one, two), models, (first, second), strict=True))
    pairs = [sides.rules] if sides.rules else [(rule, rule) for rule in _common(one, two, first, second or first)]
    _require_rules(pairs, one, two)
    table = plain_table(
        "rule", "first", "second", "difference", "95 % interval", "fixed", "broken", "p",
        right=("first", "second", "difference", "fixed", "broken", "p"),
    )  # fmt: skip
    for rule, other in pairs:
        table.add_row(*_row(one.filter(decoding=rule), two.filter(decoding=other), rule, other))
    left, right = one.filter(decoding=pairs[0][0]), two.filter(decoding=pairs[0][1])
    names = [Text(f"first: {first}, {models[0]}"), Text(f"second: {second or first}, {models[1]}")]
    told = "difference: second minus first, in points, paired bootstrap; p: exact McNemar test, of one comparison"
    blocks = [section("Comparison", *names, table, *_beside(left, right), Text(told, style="dim"))]
    show([*blocks, *_regressions(left, right, " and ".join(dict.fromkeys(pairs[0])), shown)])


def _answers(place: str) -> pl.DataFrame:
    """The predictions of a run. InputError: it has none."""
    version = open_version(place)
    found = version.frame("predictions")
    if found.is_empty():
        raise InputError(
            "the run holds no predictions, so there is nothing to compare",
            where=f"{place}, version {version.number}",
            next_step="see why each problem was left out: fs-data sql DIR 'FROM rejects'",
        )
    return found


def _models(first: str, one: pl.DataFrame, second: str | None, two: pl.DataFrame, by_rules: bool) -> tuple[str, str]:
    """The one model of each run; of one run with two models, the first and the second of them."""
    names = [frame["model"].unique(maintain_order=True).to_list() for frame in (one, two)]
    if second is None and not by_rules and len(names[0]) == 2:
        in_order = sorted(names[0], key=lambda name: {"before": 0, "after": 1}.get(name, 2))
        return in_order[0], in_order[1]
    several = [(place, found) for place, found in zip((first, second or first), names, strict=True) if len(found) > 1]
    if several:
        raise InputError(
            "a run holds the answers of several models, and nothing says which are meant",
            where=several[0][0],
            count=len(several[0][1]),
            examples=several[0][1],
            next_step=f"name the first and the second: --models {names[0][-1]},{names[1][-1]}",
        )
    if second is None and not by_rules:
        raise InputError(
            "one run with the answers of one model: nothing to compare it with",
            where=first,
            next_step="name a second run, or two rules of this one: --rules greedy,sc@8",
        )
    return names[0][0], names[1][0]


def _of_model(frame: pl.DataFrame, model: str, place: str | None) -> pl.DataFrame:
    found = frame.filter(model=model)
    if found.is_empty():
        known = frame["model"].unique(maintain_order=True).to_list()
        raise InputError(
            f"there are no answers of the model {model!r}", where=place or "--models", next_step=f"its models: {', '.join(known)}"
        )
    return found


def _common(one: pl.DataFrame, two: pl.DataFrame, first: str, second: str) -> list[str]:
    """The rules that both runs have, greedy first; of a rule over samples the one over the most."""
    rules = [frame["decoding"].unique().to_list() for frame in (one, two)]
    both = set(rules[0]) & set(rules[1])
    if not both:
        raise InputError(
            "the runs share no decoding rule",
            where=f"{first} and {second}",
            examples=[", ".join(sorted(names)) for names in rules],
            next_step="evaluate one of them with a rule of the other, or name one rule of each: --rules greedy,sc@8",
        )
    largest: dict[str, int] = {}
    for match in filter(None, map(_AT.fullmatch, both)):
        largest[match["family"]] = max(largest.get(match["family"], 0), int(match["n"]))
    kept = [rule for rule in both if not (match := _AT.fullmatch(rule)) or int(match["n"]) == largest[match["family"]]]
    return sorted(kept, key=lambda rule: (rule != GREEDY, rule))


def _require_rules(pairs: Sequence[tuple[str, str]], one: pl.DataFrame, two: pl.DataFrame) -> None:
    for rule, other in pairs:
        for name, frame in ((rule, one), (other, two)):
            known = sorted(frame["decoding"].unique().to_list())
            if name not in known:
                raise InputError(
                    f"there are no answers by the rule {name!r}", where="--rules", next_step=f"its rules: {', '.join(known)}"
                )
        if not set(one.filter(decoding=rule)["problem_id"]) & set(two.filter(decoding=other)["problem_id"]):
            raise InputError(
                "the runs answered no problem in common, so no difference can be measured",
                where="--rules" if rule != other else rule,
                next_step="evaluate both models on the same sets",
            )


def _row(left: pl.DataFrame, right: pl.DataFrame, rule: str, other: str) -> list[str]:
    both = per_problem(left).join(per_problem(right), on="problem_id", suffix="_second")
    shares = [f"{share:.1%}" for share in both.select(pl.col("correct", "correct_second").mean()).row(0)]
    name = rule if rule == other else f"{rule} → {other}"
    return [name, *shares, *comparison_cells(paired(left, right))]


def _beside(left: pl.DataFrame, right: pl.DataFrame) -> list[Text]:
    """How many problems only one side has."""
    ids = [set(frame["problem_id"]) for frame in (left, right)]
    told = [f"{counted(len(ids[0] & ids[1]), 'problem')} that both answered"]
    for name, only in (("first", ids[0] - ids[1]), ("second", ids[1] - ids[0])):
        if only:
            told.append(f"{len(only):,} that only the {name} answered are left out")
    return [Text("; ".join(told))]


def _regressions(left: pl.DataFrame, right: pl.DataFrame, rule: str, shown: int) -> list[RenderableType]:
    """The problems that the second lost, as text."""
    lost = regressions(left, right)
    if lost.is_empty() or not shown:
        return []
    texts: list[RenderableType] = []
    for row in lost.head(shown).iter_rows(named=True):
        sure = "" if row["score_second"] is None else f", sure by {row['score_second']:.2f}"
        texts += [
            Text(row["question"], style="bold"),
            Text(f"gold {row['gold']}; first {row['answer']}; second {row['answer_second'] or 'no answer'}{sure}"),
            Text(cell(row["text_second"], TEXT_CHARACTERS), style="dim"),
            Text(""),
        ]
    return [section(f"Right in the first, wrong in the second ({rule}): {min(shown, lost.height)} of {lost.height:,}", *texts)]
