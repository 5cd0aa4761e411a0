"""Pair selection, statistics and report of a large dataset: how much CPU and memory, against what a reader would do else?

    python -m tests.benchmarks.selection [--quick] [--memory] [--data FOLDER]

The dataset is made here (`made`): 20M steps in all tables, and 1M, 20M and 100M steps of ids and rewards alone (100M: the parts
of 20M five times, for no part is looked at together with another). Each measurement is a fresh process, in random order; counted
is the user CPU of the work, on one thread, after the same work on 20,000 steps: imports and first calls are not in it. `fullstep`
is the stage `pairs` as a build runs it: parts read and verified, pairs and rejects checked and written. `raw` reads the columns
that it needs by pyarrow, part by part, and does nothing with them. `pandas` (part by part too) and `datasets` (datasets.map, on
1M steps) make the same table and write it, without rejects and checks; that the tables are the same is checked.

vs_raw: CPU of fullstep over raw. vs_pandas, vs_datasets: their CPU over fullstep's. peak_gb: fullstep's peak resident memory.
growth_1m_20m_100m: CPU for a step over that of the first, ids and rewards alone; growth_peak_gb: peak memory of each.
stats_20m, labellers_20m, report_20m: user CPU in s and peak memory in GB (the process's own: mapped parts can be let go; seen ten
times a second) of what `fs-data stats` does with one labeller and with three, and of `fs-data report`, page and charts included.
They run in a control group of LIMIT bytes (`memory_limit`), their dataset not in the page cache before, so that all they hold
counts; null: it failed, perhaps because the kernel killed it. limited_by: whose limit it was; null: no group could be made, and
the figures only say what was taken.
overhead_ms_per_part: what the runner takes for a part of 16 problems besides the stage function.
--quick: 1M steps in place of 20M, and 250k, 500k and 1M ids and rewards. --memory: stats and report alone. --data: take the
datasets from there, make what is missing, and leave them. The last line is one JSON object.
"""

import argparse
import hashlib
import itertools
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from fullstep_data.report.page import page
from fullstep_data.runner import QuietReporter, run
from fullstep_data.stage import Outcome
from fullstep_data.stats import stats
from fullstep_data.store import Store, Version, open_version
from schemas import TABLES
from schemas.ids import content_id
from tests.benchmarks.made import PAIRS, PROBLEMS_PER_PART, judged, make, recipe, repeat
from tests.benchmarks.memory_limit import Group, limited

COLUMNS = {read.table: list(read.columns) for read in PAIRS.reads}
TOP = 4
POLICY = f"mean-top{TOP}"
SEED = 2502
WARM = 20_000
"""Steps of the dataset on which every side is warmed up."""
LIMIT = 10**9
"""Bytes that stats and report may take."""
MILLION = 1_000_000
Selected = Callable[[], pl.DataFrame] | None
"""Gives the rows of `pairs` that a side made."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1M steps: ends within minutes")
    parser.add_argument("--memory", action="store_true", help="stats and report alone")
    parser.add_argument("--data", type=Path, help="where the datasets are, or are made and left")
    parser.add_argument("--repeats", type=int, help="processes per side (default 3, with --quick 1)")
    parser.add_argument("--side", choices=tuple(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--dataset", help=argparse.SUPPRESS)
    parser.add_argument("--warm", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        measure(arguments.side, open_version(arguments.warm), open_version(arguments.dataset), arguments.work)
        return
    with tempfile.TemporaryDirectory() as folder:
        data, repeats = arguments.data or Path(folder), arguments.repeats or (1 if arguments.quick else 3)
        result = under_limit(Path(folder), data, MILLION if arguments.quick else 20 * MILLION)
        if not arguments.memory:
            result = compare(Path(folder), data, arguments.quick, repeats) | result
        print(json.dumps({name: rounded(value) for name, value in result.items()}))


def under_limit(work: Path, data: Path, steps: int) -> dict[str, Any]:
    """Statistics and report of so many steps, with no more memory than LIMIT."""
    full, warm = there(data, steps), there(data, WARM)
    result: dict[str, Any] = {"limited_by": None, "steps": rows(full)}
    for side, dataset in (("stats", full), ("report", full), ("labellers", there(data, steps, judges=True))):
        with limited(LIMIT) as group:
            forget(dataset)
            one = measured("stats" if side == "labellers" else side, dataset, warm, work, group)
            print(f"{side:9} {dataset.name:14} {one} {seen(group)}", flush=True)
            result["limited_by"] = group and f"{LIMIT / 1e9:g} GB, control group v{group.version}"
        result[f"{side}_20m"] = None if one["cpu"] is None else [one["cpu"], one["own_gb"]]
    return result


def seen(group: Group | None) -> str:
    """What the kernel says of a group."""
    if group is None:
        return "without a limit"
    return f"the group held at most {(group.most() or 0) / 1e9:.3f} GB with page cache; {group.killed()} killed"


def forget(dataset: Path) -> None:
    """Lets the dataset go from the page cache: what was read before would be counted to nobody."""
    os.sync()
    for path in dataset.rglob("*.parquet"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def compare(work: Path, data: Path, quick: bool, repeats: int) -> dict[str, Any]:
    """Makes the datasets and measures every side of selection."""
    steps = MILLION if quick else 20 * MILLION
    full, small, warm = there(data, steps), there(data, MILLION), there(data, WARM)
    fine = there(data, WARM * 10, per_part=16)
    grown = [
        there(data, count, numeric=True) for count in ((250_000, 500_000, MILLION) if quick else (MILLION, steps, 5 * steps))
    ]
    runs = [(side, full) for side in ("raw", "fullstep", "pandas") for _ in range(repeats)]
    runs += [("datasets", small), ("fullstep", small), ("overhead", fine)]
    runs += [("fullstep", one) for one in grown for _ in range(repeats)]
    random.Random(SEED).shuffle(runs)
    found: dict[tuple[str, Path], list[dict[str, Any]]] = {}
    for side, dataset in runs:
        found.setdefault((side, dataset), []).append(measured(side, dataset, warm, work))
        print(f"{side:9} {dataset.name:14} {found[side, dataset][-1]}", flush=True)

    def cpu(side: str, dataset: Path) -> float:
        return statistics.median(one["cpu"] for one in found[side, dataset])

    rates = [cpu("fullstep", one) / rows(one) for one in grown]
    return {
        "vs_raw": cpu("fullstep", full) / cpu("raw", full),
        "vs_pandas": cpu("pandas", full) / cpu("fullstep", full),
        "vs_datasets": cpu("datasets", small) / cpu("fullstep", small),
        "peak_gb": max(one["peak_gb"] for one in found["fullstep", full]),
        "growth_1m_20m_100m": [rate / rates[0] for rate in rates],
        "growth_peak_gb": [max(one["peak_gb"] for one in found["fullstep", each]) for each in grown],
        "overhead_ms_per_part": found["overhead", fine][0].get("overhead_ms"),
        "same_pairs": len({one["pairs"] for side in ("fullstep", "pandas") for one in found[side, full]}) == 1
        and found["datasets", small][0]["pairs"] == found["fullstep", small][0]["pairs"],
        "repeats": repeats,
    }


def there(data: Path, steps: int, numeric: bool = False, per_part: int = PROBLEMS_PER_PART, judges: bool = False) -> Path:
    """The folder of a dataset, made where it is not there yet."""
    kinds = {"numeric": numeric, "judged": judges, f"by-{per_part}": per_part != PROBLEMS_PER_PART}
    folder = data / "-".join((f"{steps // 1000}k", *(kind for kind, wanted in kinds.items() if wanted)))
    if not (folder / "versions" / "000001.json").exists():
        started = time.perf_counter()
        if numeric and steps == 100_000_000:
            repeat(there(data, steps // 5, numeric), folder, times=5)
        elif judges:
            judged(there(data, steps), folder)
        else:
            make(folder, steps, numeric, per_part)
        print(f"made {folder.name} in {time.perf_counter() - started:.0f} s", flush=True)
    return folder


def rows(dataset: Path) -> int:
    return open_version(str(dataset)).tables["step_scores"].rows


def rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def measured(side: str, dataset: Path, warm: Path, work: Path, group: Group | None = None) -> dict[str, Any]:
    """One measurement in a process of its own; without figures where it failed. group: in which it runs."""
    command = [sys.executable, "-m", "tests.benchmarks.selection", "--side", side, "--dataset", str(dataset), "--warm", str(warm)]
    single = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "ARROW_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(dir=work) as folder:
        command = [*command, "--work", folder]
        command = group.entered(command) if group else command
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=os.environ | single)
    if done.returncode:
        return {"cpu": None, "peak_gb": None, "own_gb": None, "pairs": None}
    return json.loads(done.stdout.splitlines()[-1])


def measure(side: str, warm: Version, version: Version, work: Path) -> None:
    """Does the work of a side and prints its figures as a line of JSON."""
    told: dict[str, Any] = {}
    for folder in ("warm", "work"):
        (work / folder).mkdir()
    SIDES[side](warm, work / "warm", {})
    with Peak() as peak:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        selected = SIDES[side](version, work / "work", told)
        told["cpu"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_utime - before, 2)
    told["peak_gb"] = round(memory("VmHWM") / 1e6, 3)
    told["own_gb"] = round(peak.own / 1e6, 3)
    told["pairs"] = None if selected is None else checksum(selected())
    print(json.dumps(told))


class Peak(threading.Thread):
    """Looks ten times a second how much memory is the process's own. own: the most seen, in kB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.own = 0
        self._ended = threading.Event()

    def __enter__(self) -> "Peak":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(0.1):
            self.own = max(self.own, memory("RssAnon"))


def memory(name: str) -> int:
    """kB of this process, by a line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def checksum(rows: pl.DataFrame) -> str:
    """Of pairs with their scores to nine digits, in the order of their ids."""
    known = rows.select(pl.col(TABLES["pairs"].polars_schema.names())).with_columns(pl.selectors.float().round(9)).sort("pair_id")
    return hashlib.sha256(known.cast({pl.selectors.integer(): pl.Int32}).write_csv().encode()).hexdigest()


# Sides


def with_fullstep(version: Version, work: Path, told: dict[str, Any]) -> Selected:
    """The stage as a build runs it."""
    made = run((PAIRS,), recipe(), Store.create(work / "pairs"), {}, QuietReporter(), upstream=version)
    return lambda: made.frame("pairs")


def raw(version: Version, work: Path, told: dict[str, Any]) -> Selected:
    """pyarrow reads the columns that selection needs."""
    import pyarrow.parquet as pq

    for table, columns in COLUMNS.items():
        for path in version.files(table):
            pq.ParquetFile(path).read(columns=columns, use_threads=False)


def with_pandas(version: Version, work: Path, told: dict[str, Any]) -> Selected:
    """As one writes it down: group, merge, sort, head, merge. Equal scores are not put in order: there are hardly any."""
    import numpy as np
    import pandas as pd

    for files in zip(*(version.files(table) for table in COLUMNS), strict=True):
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
        pairs.to_parquet(work / files[0].name, compression="zstd", index=False)
    return lambda: pl.read_parquet(work / "*.parquet")


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


def with_stats(version: Version, work: Path, told: dict[str, Any]) -> Selected:
    stats(version)


def with_report(version: Version, work: Path, told: dict[str, Any]) -> Selected:
    (work / "report.html").write_text(page(version))


def overhead(version: Version, work: Path, told: dict[str, Any]) -> Selected:
    """A hundred parts of 16 problems: what the runner takes besides the stage function."""
    inside = 0.0

    def counted(*arguments: Any) -> Outcome:
        nonlocal inside
        before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        outcome = PAIRS.run(*arguments)
        inside += resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
        return outcome

    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    stage = replace(PAIRS, run=counted)
    made = run((stage,), recipe(), Store.create(work / "pairs"), {}, QuietReporter(), upstream=version)
    whole = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
    told["overhead_ms"] = round(1000 * (whole - inside) / len(made.tables["pairs"].parts), 2)
    told["stage_ms"] = round(1000 * inside / len(made.tables["pairs"].parts), 2)


SIDES: dict[str, Callable[[Version, Path, dict[str, Any]], Selected]] = {
    "raw": raw,
    "fullstep": with_fullstep,
    "pandas": with_pandas,
    "datasets": with_datasets,
    "stats": with_stats,
    "report": with_report,
    "overhead": overhead,
}


if __name__ == "__main__":
    main()
