"""Sections of the page of results that are made from other studies than its own, and from other tables than its own results.

candidates_of(Path("out/seed-0"))                       # what was tried for a recipe to recommend
confirmed(results, Path("out/seeds-6-10"))              # the best methods on further seeds
injected([Path("out/misled")])                          # one systematic mistake more: flagged, or learnt?
graded(tables["graded"])             # decoding rules under PRMs of graded quality
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cli.experiment_injection import FALSE, MADE, SAME
from cli.experiment_injection import TAKEN as TAKEN_SHARE
from cli.experiment_methods import BASE, METHODS, RECIPE, RIVALS
from cli.experiment_reading import CLEAR, against_all
from cli.experiment_summary import ANSWERS as OF_ANSWERS
from cli.experiment_summary import PRM as OF_PRM
from cli.experiment_summary import compared, injections, points, standard_error
from cli.experiment_tables import ANSWERS, FIGURES, GRADED, RESULTS, TRIALS
from fullstep_data.decoding import Sampled, parse
from schemas import InputError

TELLS = 0.7
"""An AUC above which, if it is clear of chance, a PRM is said to flag a mistake."""
SETTLED = "study.json"
"""In the folder of an experiment: how it searches and tests."""
TABLES = (RESULTS, TRIALS, ANSWERS, FIGURES, GRADED)
TRIED = f"""What was tried for a recipe that beats all others, on seeds that are not in the study. Test problems of these seeds
were looked at as often as need was: what is shown here is how candidates were chosen, not what they are worth. Differences are
to `{RECIPE}`, in points. `{RIVALS[0]}` was the best of them on validation, mean of both families, and was named before any seed
of the study had answered by it. It takes right solutions only if half of the right samples take each of their steps; where a
problem has many right ways, that takes most of them away. So `{RIVALS[1]}` was made, after the study had shown the first to
fail in facts: for it the study's test problems are no fresh ones. Candidates whose names are in a command but not in the table
were run again under the names that they have now."""
CONFIRMED = f"""The best methods of the study, as it stood with five seeds, on seeds that neither it nor the candidates had:
none was chosen by what these say, and their test problems were answered once. Differences are to `{RECIPE}`, in points; the
last column is of the seeds of the study and of these together."""
INJECTED = """Base models that have learnt one systematic mistake more than the others (`--inject PERCENT`: in so many percent
of its occasions): in `facts` a product by a certain term is taken for the sum, in `skill` the carry of a sum with a certain
term is forgotten. A step makes the mistake if it is false and has the result that the mistake gives. PRMs are measured on
problems that they have not learnt from. AUC: how often a right step has a higher reward than such a false one, 0.5 is chance.
Flagged: a lower reward than nine of ten right steps have. Labelled false: by the labels that this PRM has learnt from, which
are outcomes unless the method says otherwise."""
TAKEN = """What policies make of it: greedy answers to test problems, up to the first false step of each. Occasions are the
operations at which the mistake can be made."""
GRADED_TEXT = """The same stored samples, decided over under PRMs of graded quality: of the base model, and of the recommended
method, which is far stronger. `base` is the PRM of the data that all methods share, the others are those of the methods.
`hybrid` was calibrated for each PRM on samples of the same model for the validation problems. AUC: of the PRM's rewards for the
steps of these samples, of those up to which a solution is right above the others. Weight: mean over seeds of how far the hybrid
listens; 0 is Self-Consistency. The last column is the hybrid less Self-Consistency."""


def read(folder: Path) -> dict[str, pl.DataFrame]:
    """The tables of an experiment by name. InputError: the folder holds none."""
    if not (folder / "results.parquet").is_file():
        raise InputError(
            "the folder holds no results of an experiment",
            where=str(folder),
            next_step=f"fs-train experiment arithmetic --out {folder}",
        )
    found = {name: folder / f"{name}.parquet" for name in (table.name for table in TABLES)}
    frames = {name: pl.read_parquet(file) for name, file in found.items() if name != GRADED.name or file.is_file()}
    return {table.name: table.check(frames.get(table.name, GRADED.empty()), table.name) for table in TABLES}


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def candidates_of(folder: Path) -> list[str]:
    """Accuracy of each method of another study, and its difference to the recommended one."""
    tables = read(folder)
    gaps = _gaps(tables["results"])
    docs = {one.name: one.doc for one in METHODS}
    searched = tables["results"].filter(decoding="greedy").group_by("family", "method").agg(pl.col("validation_accuracy").mean())
    validation = {(family, name): share for family, name, share in searched.iter_rows()}
    rows = []
    for row in compared(tables["results"], tables["answers"]).iter_rows(named=True):
        name = row["method"]
        told = _behind(gaps.get((row["family"], name)))
        search = points(validation.get((row["family"], name)), None)
        rows.append(
            [row["family"], name, docs.get(name, ""), str(row["seeds"]), search, points(row["accuracy"], row["error"]), told]
        )
    headers = ("family", "method", "is", "seeds", "validation %", "test %", "difference")
    return ["## Candidates", TRIED, markdown(headers, rows)]


def confirmed(results: pl.DataFrame, folder: Path) -> list[str]:
    """The best methods on further seeds. results: of the study."""
    tables = read(folder)
    gaps, all_gaps = (_gaps(frame) for frame in (tables["results"], pl.concat([results, tables["results"]])))
    rows: list[list[str]] = []
    for row in compared(tables["results"], tables["answers"]).iter_rows(named=True):
        key = (row["family"], row["method"])
        both = all_gaps.get(key)
        together = f"{_behind(both)} ({both['seeds']} seeds)" if both else ""
        rows.append([*key, str(row["seeds"]), points(row["accuracy"], row["error"]), _behind(gaps.get(key)), together])
    headers = ("family", "method", "seeds", "test %", "difference", "with the study's seeds")
    return ["## Confirmation", CONFIRMED, markdown(headers, rows)]


def _gaps(results: pl.DataFrame) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {(row["family"], row["method"]): row for row in against_all(results).iter_rows(named=True)}


def _behind(gap: Mapping[str, Any] | None) -> str:
    """A method's accuracy less the recommended one's."""
    return points(-gap["difference"], gap["error"], sign="+") if gap else ""


def injected(folders: Sequence[Path]) -> list[str]:
    """What PRMs and policies make of an injected mistake."""
    parts: list[str] = []
    for folder in folders:
        tables = read(folder)
        share = json.loads((folder / SETTLED).read_bytes())["inject"]
        prms, taken = (injections(tables["figures"], of) for of in (OF_PRM, OF_ANSWERS))
        accuracy = compared(tables["results"], tables["answers"])
        parts += [f"### In {share} % of its occasions", _flagged_or_learnt(prms, taken), _of_prms(prms)]
        parts += [TAKEN, _of_policies(taken, accuracy)]
    return ["## One injected mistake", INJECTED, *parts] if parts else []


def flagged_or_learnt(folders: Sequence[Path]) -> str:
    """The answer in short, from the first folder: is the mistake told from right ways to do the same operation, better than by
    chance, and what is left of it in the policies?
    """
    if not folders:
        return ""
    figures = read(folders[0])["figures"]
    prms, taken = (injections(figures, of) for of in (OF_PRM, OF_ANSWERS))
    told: list[str] = []
    for family in prms["family"].unique().sort():
        own = _named(prms, family, BASE)
        among_all, among_same = own.get(f"AUC, {MADE}"), own.get(f"AUC, {MADE} against {SAME}")
        told.append(
            f"In {family} the PRM ranks right steps above those that make it with an AUC of {_number(among_all)}, and right ways "
            f"to do the same operation with {_number(among_same)}: {_told_apart(among_same)}."
        )
        rows = taken.filter(family=family, figure=TAKEN_SHARE).sort("value").to_dicts()
        base, best = next((row for row in rows if row["method"] == BASE), None), rows[0] if rows else None
        if base and best:
            told.append(
                f"The base model makes it at {_share(base)} % of its occasions, `{best['method']}`, which has lost most of it, "
                f"at {_share(best)} %."
            )
    return " ".join(told)


def _told_apart(row: Mapping[str, Any] | None) -> str:
    """What an AUC against right steps at the same operation says."""
    if row is None or row["error"] is None:
        return "too few to say more"
    if row["value"] > max(TELLS, 0.5 + CLEAR * row["error"]):
        return f"it flags the mistake itself ({row['seeds']} seeds with both)"
    return f"it hardly knows the mistake, at most the operation at which it is made ({row['seeds']} seeds with both)"


def _flagged_or_learnt(prms: pl.DataFrame, taken: pl.DataFrame) -> str:
    """The answer in a few sentences, a paragraph for each family."""
    paragraphs: list[str] = []
    for family in prms["family"].unique().sort():
        told: list[str] = []
        for name in prms.filter(family=family)["method"].unique(maintain_order=True):
            own = _named(prms, family, name)
            labels = "outcomes" if name == BASE else f"`{name}`"
            flagged = [_share(own.get(f"share flagged, {kind}")) for kind in (MADE, FALSE, SAME)]
            told.append(
                f"the PRM of {labels} ranks right steps above those that make the mistake with an AUC of "
                f"{_number(own.get(f'AUC, {MADE}'))}, above other false steps with {_number(own.get(f'AUC, {FALSE}'))}; it flags "
                f"{flagged[0]} % of the former, {flagged[1]} % of the latter and {flagged[2]} % of the right steps at the same "
                "operation"
            )
        policies = taken.filter(family=family, figure=TAKEN_SHARE)
        by_name = {row["method"]: row for row in policies.iter_rows(named=True)}
        shares = [f"`{name}` in {_share(row)} %" for name, row in by_name.items()]
        paragraphs.append(f"In {family} {'; '.join(told)}. Of its occasions the mistake is made by {', '.join(shares)}.")
    return "\n\n".join(paragraphs)


def _named(rows: pl.DataFrame, family: str, method: str) -> dict[str, dict[str, Any]]:
    return {row["figure"]: row for row in rows.filter(family=family, method=method).iter_rows(named=True)}


def _number(row: Mapping[str, Any] | None) -> str:
    """A mean with its standard error."""
    if row is None:
        return "?"
    return f"{row['value']:.2f}" + ("" if row["error"] is None else f" ± {row['error']:.2f}")


def _share(row: Mapping[str, Any] | None) -> str:
    return "?" if row is None else points(row["value"], row["error"])


def _of_prms(prms: pl.DataFrame) -> str:
    """A row per figure, a column per family and PRM."""
    sides = prms.select("family", "method").unique(maintain_order=True).rows()
    cells = {(family, name): _named(prms, family, name) for family, name in sides}
    figures = prms["figure"].unique(maintain_order=True)
    rows = [[figure, *(_number(cells[side].get(figure)) for side in sides)] for figure in figures]
    return markdown(("of a PRM", *(f"{family}, {'outcomes' if name == BASE else name}" for family, name in sides)), rows)


def _of_policies(taken: pl.DataFrame, accuracy: pl.DataFrame) -> str:
    """A row per family and method."""
    figures = taken["figure"].unique(maintain_order=True).to_list()
    rows: list[list[str]] = []
    for one in accuracy.iter_rows(named=True):
        own = _named(taken, one["family"], one["method"])
        shares = [_share(own.get(figure)) for figure in figures]
        rows.append([one["family"], one["method"], str(one["seeds"]), *shares, points(one["accuracy"], one["error"])])
    return markdown(("family", "method", "seeds", *(f"{figure}, %" for figure in figures), "test %"), rows)


def graded(table: pl.DataFrame) -> list[str]:
    """Decoding rules under PRMs of graded quality, from the worst PRM to the best. table: `graded`."""
    if table.is_empty():
        return []
    vote, shown, hybrids = _rules_of(table)
    rows: list[tuple[Any, list[str]]] = []
    for (family, name, prm), own in table.group_by("family", "method", "prm", maintain_order=True):
        wide = own.pivot("decoding", index="seed", values="test_accuracy")
        cells = [points(*_mean_error(wide[rule])) if rule in wide.columns else "" for rule in shown]
        weights = [f"{own.filter(decoding=hybrid)['weight'].mean():.2f}" for hybrid in hybrids]
        gains = [points(*_mean_error(wide[hybrid] - wide[vote]), sign="+") for hybrid in hybrids]
        auc = float(np.mean(own["auc"].to_numpy()))  # not a number where a seed has none
        quality = f"{auc:.2f}"
        rows.append((auc, [str(family), str(name), str(prm), str(wide.height), quality, *cells, *weights, *gains]))
    order = sorted(rows, key=lambda row: (row[1][0], row[1][1] != BASE, row[0]))
    heads = ("family", "samples of", "PRM", "seeds", "AUC", *(f"{rule}, %" for rule in shown))
    more = [f"{text} {hybrid}" for text in ("weight of", "gain of") for hybrid in hybrids]
    docs = "; ".join(f"`{one.name}`: {one.doc}" for one in METHODS if one.name in set(table["prm"]))
    named = f"PRMs other than the shared one: {docs}." if docs else ""
    return ["## PRMs of graded quality", GRADED_TEXT, named, markdown((*heads, *more), [row for _, row in order])]


def hybrid_or_vote(table: pl.DataFrame) -> str:
    """How rules over the same samples stand to Self-Consistency, over all policies and PRMs: clearly above, below, or neither."""
    if table.is_empty():
        return ""
    vote, shown, _ = _rules_of(table)
    told: list[str] = []
    for rule in shown:
        gains = [
            wide[rule] - wide[vote]
            for _, own in table.group_by("family", "method", "prm", maintain_order=True)
            if rule in (wide := own.pivot("decoding", index="seed", values="test_accuracy")).columns
        ]
        sides = [_clear(gain) for gain in gains]
        lowest = min(float(np.mean(gain.to_numpy())) for gain in gains)
        highest = max(float(np.mean(gain.to_numpy())) for gain in gains)
        told.append(
            f"`{rule}` is clearly above `{vote}` in {sides.count('above')} and clearly below it in {sides.count('below')} "
            f"(by {points(lowest, None, sign='+')} to {points(highest, None, sign='+')} points)"
        )
    rows = table.select("family", "method", "prm").unique().height
    return f"Of {rows} pairs of a policy and a PRM, by {CLEAR:g} standard errors over seeds: {'; '.join(told[1:])}."


def _rules_of(table: pl.DataFrame) -> tuple[str, list[str], list[str]]:
    """Self-Consistency, all rules that are shown, and the hybrids among them."""
    rules = [rule for rule in parse(",".join(table["decoding"].unique().sort())) if isinstance(rule, Sampled)]
    by_kind = {kind: [rule.name for rule in rules if rule.kind == kind] for kind in ("sc", "bon", "wsc", "hybrid")}
    return by_kind["sc"][0], [name for names in by_kind.values() for name in names], by_kind["hybrid"]


def _mean_error(values: pl.Series) -> tuple[float, float | None]:
    return float(np.mean(values.to_numpy())), standard_error(values.to_numpy())


def _clear(gain: pl.Series) -> str:
    mean, error = _mean_error(gain)
    if error is None or abs(mean) < CLEAR * error or mean == 0:
        return "neither"
    return "above" if mean > 0 else "below"
