"""What else one would select pairs with: a raw read by pyarrow, pandas, `datasets`. The sides of `selection` that are not ours.

made = with_pandas(version, work, {})        # writes parts with the pairs into `work`
made().height                                # and gives their rows
"""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from fullstep_data.store import Version
from schemas import TABLES
from schemas.ids import content_id
from tests.benchmarks.made import PAIRS

COLUMNS = {read.table: list(read.columns) for read in PAIRS.reads}
TOP = 4
POLICY = f"mean-top{TOP}"
Selected = Callable[[], pl.DataFrame] | None
"""Gives the rows of `pairs` that a side made."""


def raw(version: Version, work: Path, told: dict[str, Any]) -> Selected:
    """pyarrow reads the columns that selection needs."""
    import pyarrow.parquet as pq

    for table, columns in COLUMNS.items():
        for path in version.files(table):
            pq.read_table(path, columns=columns, use_threads=False)


def with_pandas(version: Version, work: Path, told: dict[str, Any]) -> Selected:
    """As one writes it down: group, merge, sort, head, merge. Equal scores are not put in order: there are hardly any."""
    for files in zip(*(version.files(table) for table in COLUMNS), strict=True):
        _part_with_pandas(files, work / files[0].name)
    return lambda: pl.read_parquet(work / "*.parquet")


def _part_with_pandas(files: Sequence[Path], target: Path) -> None:
    import numpy as np
    import pandas as pd

    asked, solved, scored = (
        pd.read_parquet(path, columns=columns) for path, columns in zip(files, COLUMNS.values(), strict=True)
    )
    score = scored.assign(reward=scored["reward"].astype("float64")).groupby("solution_id", sort=False)["reward"].mean()
    solved = solved[solved["problem_id"].isin(asked.loc[asked["split"] == "train", "problem_id"])]
    solved = solved.sort_values(["sample_index", "solution_id"]).drop_duplicates(["problem_id", "text"])
    fit = solved[solved["correct"].notna()].merge(score.rename("score"), left_on="solution_id", right_index=True)
    fit["correct"] = fit["correct"].astype(bool)
    fit["place"] = np.where(fit["correct"], -fit["score"], fit["score"])
    best = fit.sort_values("place").groupby(["problem_id", "correct"], sort=False).head(TOP)
    best = best.assign(rank=best.groupby(["problem_id", "correct"], sort=False).cumcount())
    sides = [
        best[best["correct"] == correct][["problem_id", "solution_id", "score", "rank"]].set_axis(
            ["problem_id", f"{name}_id", f"{name}_score", f"{name}_rank"], axis=1
        )
        for correct, name in ((True, "chosen"), (False, "rejected"))
    ]
    pairs = sides[0].merge(sides[1], on="problem_id").sort_values(["problem_id", "chosen_rank", "rejected_rank"])
    ids = zip(pairs["chosen_id"], pairs["rejected_id"], strict=True)
    pairs["pair_id"] = [content_id("pair", chosen, rejected, POLICY) for chosen, rejected in ids]
    pairs["margin"] = pairs["chosen_score"] - pairs["rejected_score"]
    pairs["policy"], pairs["scorer"] = POLICY, scored["scorer"].iloc[0]
    pairs.to_parquet(target, compression="zstd", index=False)


def with_datasets(version: Version, work: Path, told: dict[str, Any]) -> Selected:
    """Every pass over rows is a batched `map`; what it gathers stands in dicts, since datasets have neither groups nor joins."""
    import datasets

    datasets.disable_progress_bars()

    def loaded(table: str) -> Any:
        files = [str(path) for path in version.files(table)]
        return datasets.Dataset.from_parquet(files, columns=COLUMNS[table], cache_dir=str(work / "cache"))

    rewards: dict[str, list[float]] = {}
    groups: dict[str, list[tuple[int, str, str, bool | None]]] = {}

    def gather(batch: dict[str, list[Any]]) -> None:
        for solution, reward in zip(batch["solution_id"], batch["reward"], strict=True):
            rewards.setdefault(solution, []).append(reward)

    def group(batch: dict[str, list[Any]]) -> None:
        rows = zip(*(batch[name] for name in ("problem_id", "sample_index", "solution_id", "text", "correct")), strict=True)
        for problem, *rest in rows:
            groups.setdefault(problem, []).append(tuple(rest))

    def select(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        found: list[dict[str, Any]] = []
        for problem in batch["problem_id"]:
            fit: dict[bool, list[tuple[float, str]]] = {True: [], False: []}
            texts: set[str] = set()
            for _, solution, text, correct in sorted(groups.get(problem, [])):
                if text not in texts and correct is not None and solution in rewards:
                    fit[correct].append((sum(rewards[solution]) / len(rewards[solution]), solution))
                texts.add(text)
            chosen, rejected = sorted(fit[True], reverse=True)[:TOP], sorted(fit[False])[:TOP]
            for (high, c), (low, r) in itertools.product(chosen, rejected):
                ranks = {"chosen_rank": chosen.index((high, c)), "rejected_rank": rejected.index((low, r))}
                ids = {"pair_id": content_id("pair", c, r, POLICY), "problem_id": problem, "chosen_id": c, "rejected_id": r}
                scores = {"chosen_score": high, "rejected_score": low, "margin": high - low}
                found.append({**ids, **scores, **ranks, "policy": POLICY, "scorer": scorer})
        return {name: [row[name] for row in found] for name in TABLES["pairs"].polars_schema.names()}

    scores = loaded("step_scores")
    scorer = scores[0]["scorer"]
    scores.map(gather, batched=True, batch_size=10_000)
    loaded("solutions").map(group, batched=True, batch_size=10_000)
    problems = loaded("problems").filter(lambda batch: [split == "train" for split in batch["split"]], batched=True)
    made = problems.map(select, batched=True, remove_columns=problems.column_names)
    made.to_parquet(work / "pairs.parquet")
    return lambda: pl.read_parquet(work / "pairs.parquet")
