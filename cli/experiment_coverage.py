"""What bounds a study of the bench: do test problems ask for operations that no chosen solution shows?

    by_unseen(unseen(folder), answers)      # family, method, and the share of right answers with 0, 1, 2, 3 or more of them

A task is an operation with its values, as 34+6; those of a problem are the ones of its right solution.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import polars as pl

from cli.experiment_methods import BASE
from cli.experiment_reading import in_order
from fullstep_data.arithmetic import FamilyName, tasks, tasks_in
from fullstep_data.store import Store

MANY = 3
"""So many or more count as one."""
UNSEEN: dict[str, pl.DataType] = {
    "family": pl.String(),
    "seed": pl.Int32(),
    "problem_id": pl.String(),
    "unseen": pl.Int64(),
}


def unseen(folder: Path) -> pl.DataFrame:
    """Columns UNSEEN, a row per test problem of every seed that is begun: how many of its tasks no chosen solution of the shared
    data shows, at most MANY.
    """
    frames = [pl.DataFrame(schema=UNSEEN)]
    for tested in sorted(folder.glob(f"*/seed-*/{BASE}/results.parquet")):
        world = tested.parent.parent
        data = Store.open(world / "data").version(1)
        chosen = data.frame("solutions").join(data.frame("pairs"), left_on="solution_id", right_on="chosen_id", how="semi")
        asked = Store.open(tested.parent / "test").version().frame("predictions").filter(decoding="greedy")
        family = cast("FamilyName", world.parent.name)
        counts = counted(family, chosen["text"].to_list(), asked["question"].to_list())
        who = {"family": family, "seed": int(world.name.removeprefix("seed-"))}
        frames.append(
            pl.DataFrame(
                [who | {"problem_id": key, "unseen": count} for key, count in zip(asked["problem_id"], counts, strict=True)],
                schema=UNSEEN,
            )
        )
    return pl.concat(frames)


def counted(family: FamilyName, chosen: Sequence[str], questions: Sequence[str]) -> list[int]:
    """[questions] how many tasks of its right solution no chosen solution shows, at most MANY."""
    shown = {task for text in chosen for task in tasks_in(text)}
    return [min(MANY, sum(task not in shown for task in tasks(family, question))) for question in questions]


def by_unseen(rows: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """family, method, and for each number of unseen tasks the share of right answers, over the problems of all seeds."""
    both = answers.join(rows, on=("family", "seed", "problem_id"))
    shares = both.group_by("family", "method", "unseen").agg(pl.col("correct").mean())
    return in_order(shares.sort("unseen").pivot("unseen", index=["family", "method"], values="correct", maintain_order=True))


def of_problems(rows: pl.DataFrame) -> pl.DataFrame:
    """family, and for each number of unseen tasks the share of the test problems that have so many."""
    counts = rows.group_by("family", "unseen").agg(share=pl.len())
    shares = counts.with_columns(pl.col("share") / pl.col("share").sum().over("family"))
    return shares.sort("family", "unseen").pivot("unseen", index="family", values="share", maintain_order=True)
