"""What bounds a study of the bench: what selections choose, and where answers to test problems first go wrong.

    selections(folder)      # family, selection: how many solutions it chooses, and which share of them holds a false step
    told_apart(folder)      # family: how well the PRM, and how usual steps are, tell these from the others
    errors(folder)          # family, method: false steps by how many chosen solutions of the shared data show the operation

A task is an operation with its values, as 34+6. Up to its first false step an answer stands where the right solution does, so the
task that it meets there is the right solution's. Truth is the bench's own, not a label.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import polars as pl
from sklearn.metrics import roc_auc_score

from cli.experiment_methods import BASE
from cli.experiment_summary import in_order
from fullstep_data.arithmetic import NAMES, FamilyName, tasks, tasks_in, verdicts
from fullstep_data.pairs import usualness
from fullstep_data.store import Store, Version

SHOWN = ("never", "once", "often")
"""How many chosen solutions show a task: none, one, more."""
RESULT, OPERATION = "wrong result", "another operation"
"""What a first false step is: the operation that is due, worked out falsely, or not that operation."""


def selections(folder: Path) -> pl.DataFrame:
    """family, selection (column `policy` of `pairs`, with the labels where they are not outcomes), chosen: solutions per training
    problem; problems: share of the training problems with a chosen one; false: share of the chosen with a false step; tasks: how
    many they show. Means over seeds; of each selection the latest version of a seed's shared data.
    """
    rows: list[dict[str, Any]] = []
    for world in _worlds(folder):
        store = Store.open(world / "data")
        made = [version for version in map(store.version, store.numbers()) if version.table("pairs").rows]
        latest = {_selection(version): version for version in made}
        rows += [_of_world(world) | {"selection": name, **_chosen_of(version)} for name, version in latest.items()]
    names = ("chosen", "problems", "false", "tasks")
    schema = {"family": pl.String, "seed": pl.Int64, "selection": pl.String} | dict.fromkeys(names, pl.Float64)
    means = pl.DataFrame(rows, schema=schema).group_by("family", "selection", maintain_order=True)
    return means.agg(pl.len().alias("seeds"), *(pl.col(name).mean() for name in names)).sort("family", "false", "selection")


def told_apart(folder: Path) -> pl.DataFrame:
    """family, prm, usual: AUC with which the mean reward and `usualness` rank, among the distinct right solutions of all training
    problems, those whose every step is true above the others. Means over seeds.
    """
    rows: list[dict[str, Any]] = []
    for world in _worlds(folder):
        version = Store.open(world / "data").version(1)
        solutions = version.frame("solutions")
        rewards = version.frame("step_scores").group_by("solution_id").agg(prm=pl.col("reward").mean())
        right = solutions.filter("correct").unique(("problem_id", "text"), maintain_order=True).join(rewards, on="solution_id")
        right = right.join(usualness(solutions, version.frame("steps")), on="solution_id")
        true = _true(version, right)
        if len(set(true)) == 2:
            rows.append(
                _of_world(world)
                | {"prm": float(roc_auc_score(true, right["prm"])), "usual": float(roc_auc_score(true, right["score"]))}
            )
    names = ("prm", "usual")
    schema = {"family": pl.String, "seed": pl.Int64} | dict.fromkeys(names, pl.Float64)
    means = pl.DataFrame(rows, schema=schema).group_by("family", maintain_order=True)
    return means.agg(*(pl.col(name).mean() for name in names)).sort("family")


def errors(folder: Path) -> pl.DataFrame:
    """family, method, then for each of SHOWN the share of false steps among those that meet such a task; few: the share of
    steps that meet one of the first two; rare: share of first false steps that do; result: share of first false steps that are
    RESULT. Over the greedy answers of all seeds, up to the first false step of each.
    """
    found: dict[tuple[str, str], Counter[tuple[str, bool, str]]] = {}
    for world in _worlds(folder):
        family = cast("FamilyName", world.parent.name)
        shown = Counter(task for text in _chosen(Store.open(world / "data").version(1))["text"] for task in set(tasks_in(text)))
        for tested in sorted(world.glob("*/results.parquet")):
            asked = Store.open(tested.parent / "test").version().frame("predictions").filter(decoding="greedy")
            counts = found.setdefault((family, tested.parent.name), Counter())
            for question, text in asked.select("question", "text").iter_rows():
                counts.update(met(family, question, text, shown))
    rows = [{"family": family, "method": name, **shares(counts)} for (family, name), counts in found.items()]
    texts: dict[str, Any] = dict.fromkeys(("family", "method"), pl.String)
    numbers: dict[str, Any] = dict.fromkeys((*SHOWN, "few", "rare", "result"), pl.Float64)
    return in_order(pl.DataFrame(rows, schema=texts | numbers))


def met(family: FamilyName, question: str, text: str, shown: Mapping[str, int]) -> Iterator[tuple[str, bool, str]]:
    """Of each step of an answer up to the first false one, of those that have a task: which of SHOWN, is it true, and what it is
    if it is false. An answer that goes on past the last operation, or ends before it, errs there without a task.
    """
    due = tasks(family, question)
    steps = text.splitlines(keepends=True)
    for task, step, true in zip(due, steps, verdicts(family, question, steps), strict=False):
        yield SHOWN[min(2, shown.get(task, 0))], true, RESULT if tasks_in(step) == [task] else OPERATION
        if not true:
            return


def shares(counts: Mapping[tuple[str, bool, str], int]) -> dict[str, float | None]:
    """The shares that `errors` tells, of the counts of what `met` says."""
    steps, false, wrong_result = Counter[str](), Counter[str](), 0
    for (shown, true, kind), many in counts.items():
        steps[shown] += many
        false[shown] += many * (not true)
        wrong_result += many * (not true and kind == RESULT)
    rare = [sum(count[kind] for kind in SHOWN[:2]) for count in (steps, false)]
    return {
        **{kind: _share(false[kind], steps[kind]) for kind in SHOWN},
        "few": _share(rare[0], steps.total()),
        "rare": _share(rare[1], false.total()),
        "result": _share(wrong_result, false.total()),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _worlds(folder: Path) -> Sequence[Path]:
    """The folders of seeds that are begun, of a study of the bench: of other problems nobody knows which steps are true."""
    return [
        tested.parent.parent for tested in sorted(folder.glob(f"*/seed-*/{BASE}/results.parquet")) if _of_bench(tested.parent)
    ]


def _of_bench(base: Path) -> bool:
    return base.parent.parent.name in NAMES and (base.parent / "test.jsonl").is_file()


def _of_world(world: Path) -> dict[str, Any]:
    return {"family": world.parent.name, "seed": int(world.name.removeprefix("seed-"))}


def _selection(version: Version) -> str:
    labels = version.manifest.recipe["step_labels"]
    told = "" if labels["kind"] == "outcome" else f", labels {labels['kind']}" + (f" n={labels['n']}" if "n" in labels else "")
    return f"{version.frame('pairs')['policy'][0]}{told}"


def _chosen(version: Version) -> pl.DataFrame:
    return version.frame("solutions").join(version.frame("pairs"), left_on="solution_id", right_on="chosen_id", how="semi")


def _true(version: Version, solutions: pl.DataFrame) -> list[bool]:
    """[solutions] is every step true?"""
    family = cast("FamilyName", version.manifest.recipe["problems"]["source"]["family"])
    questions = dict(version.frame("problems").select("problem_id", "question").iter_rows())
    return [
        all(verdicts(family, questions[problem], text.splitlines(keepends=True)))
        for problem, text in solutions.select("problem_id", "text").iter_rows()
    ]


def _chosen_of(version: Version) -> dict[str, float]:
    problems = version.frame("problems").filter(split="train").height
    chosen = _chosen(version)
    return {
        "chosen": chosen.height / problems,
        "problems": chosen["problem_id"].n_unique() / problems,
        "false": 1 - sum(_true(version, chosen)) / chosen.height,
        "tasks": float(len({task for text in chosen["text"] for task in tasks_in(text)})),
    }
