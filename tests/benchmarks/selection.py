"""Pair selection, statistics and report of a large dataset: how much CPU and memory, against what a reader would do else?

    python -m tests.benchmarks.selection [--quick] [--memory] [--data FOLDER]

The dataset is made here (`made`): 20M steps in all tables, and 1M, 20M and 100M steps of ids and rewards alone (100M: the parts
of 20M five times, for no part is looked at together with another). Each measurement is a fresh process, in random order; counted
is the user CPU of the work, on one thread, after the same work on 20,000 steps: imports and first calls are not in it. System
time is only told: what an allocator gives back to the kernel and takes again made it 0.05 s or 1.3 s for the same read.

raw: pyarrow reads the columns that selection needs, part by part, and nothing is done with them. select: the store's reader, the
stage function, the store's writer. pandas (part by part too), datasets (datasets.map, on 1M steps): the same table made and
written; that it is the same is checked. build: the stage as a build runs it: it also verifies the SHA-256 of all it reads, checks
contracts and that no row is lost, writes what was rejected and why, and commits a version.

vs_raw: CPU of reading and selecting, before anything is written, over raw. vs_pandas, vs_datasets: their CPU over that of
`select`, writing on both sides. build_vs_raw, build_vs_pandas, build_vs_datasets: the same for all that a build does.
user_system: seconds of each side on the large dataset. peak_gb: the build's peak resident memory. growth_1m_20m_100m: the build's
CPU for a step over that of the first, ids and rewards alone; growth_peak_gb: peak memory of each.
stats_20m, labellers_20m, report_20m: user CPU in s and peak memory in GB (the process's own: mapped parts can be let go; seen ten
times a second) of what `fs-data stats` does with one labeller and with three, and of `fs-data report`, page and charts included.
They run in a control group of LIMIT bytes (`memory_limit`), their dataset not in the page cache before, so that all they hold
counts; null: it failed, perhaps because the kernel killed it. limited_by: whose limit it was; null: no group could be made, and
the figures only say what was taken.
overhead_ms_per_part: what the runner takes for a part of 16 problems besides the stage function.
--quick: 1M steps in place of 20M, and 250k, 500k and 1M ids and rewards. --memory: stats and report alone. --per-part: problems
of a part. --data: take the datasets from there, make what is missing, and leave them. The last line is one JSON object.
"""

import argparse
import hashlib
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
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from fullstep_data.report.page import page
from fullstep_data.runner import QuietReporter, run
from fullstep_data.stage import Context, Outcome
from fullstep_data.stats import stats
from fullstep_data.store import Store, Version, open_version
from fullstep_data.store.parquet import encode
from fullstep_data.workers.part import in_order, scanned
from schemas import TABLES
from tests.benchmarks.made import PAIRS, PROBLEMS_PER_PART, judged, make, recipe, repeat
from tests.benchmarks.memory_limit import Group, limited
from tests.benchmarks.rivals import Selected, raw, with_datasets, with_pandas

SEED = 2502
WARM = 20_000
"""Steps of the dataset on which every side is warmed up."""
LIMIT = 10**9
"""Bytes that stats and report may take."""
MILLION = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1M steps: ends within minutes")
    parser.add_argument("--memory", action="store_true", help="stats and report alone")
    parser.add_argument("--data", type=Path, help="where the datasets are, or are made and left")
    parser.add_argument("--per-part", type=int, default=PROBLEMS_PER_PART, help="problems of a part (default %(default)s)")
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
        at = partial(there, arguments.data or Path(folder), per_part=arguments.per_part)
        result = under_limit(Path(folder), at, MILLION if arguments.quick else 20 * MILLION)
        if not arguments.memory:
            result = compare(Path(folder), at, arguments.quick, arguments.repeats or (1 if arguments.quick else 3)) | result
        print(json.dumps({name: rounded(value) for name, value in result.items()}))


def under_limit(work: Path, at: Callable[..., Path], steps: int) -> dict[str, Any]:
    """Statistics and report of so many steps, with no more memory than LIMIT. at: gives a dataset, see `there`."""
    full, warm = at(steps), at(WARM)
    result: dict[str, Any] = {"limited_by": None, "steps": rows(full)}
    for side, dataset in (("stats", full), ("report", full), ("labellers", at(steps, judges=True))):
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


def compare(work: Path, at: Callable[..., Path], quick: bool, repeats: int) -> dict[str, Any]:
    """Makes the datasets and measures every side of selection."""
    steps = MILLION if quick else 20 * MILLION
    full, small, warm, fine = at(steps), at(MILLION), at(WARM), at(WARM * 10, per_part=16)
    grown = [at(count, numeric=True) for count in ((250_000, 500_000, MILLION) if quick else (MILLION, steps, 5 * steps))]
    sides = ("raw", "select", "build", "pandas")
    runs = [(side, full) for side in sides for _ in range(repeats)]
    runs += [("datasets", small), ("select", small), ("build", small), ("overhead", fine)]
    runs += [("build", one) for one in grown for _ in range(repeats)]
    random.Random(SEED).shuffle(runs)
    found: dict[tuple[str, Path], list[dict[str, Any]]] = {}
    for side, dataset in runs:
        found.setdefault((side, dataset), []).append(measured(side, dataset, warm, work))
        print(f"{side:9} {dataset.name:14} {found[side, dataset][-1]}", flush=True)

    def cpu(side: str, dataset: Path, figure: str = "cpu") -> float:
        return statistics.median(one[figure] for one in found[side, dataset])

    def pairs(side: str, dataset: Path) -> set[str]:
        return {one["pairs"] for one in found[side, dataset]}

    rates = [cpu("build", one) / rows(one) for one in grown]
    return {
        "vs_raw": cpu("select", full, "unwritten") / cpu("raw", full),
        "vs_pandas": cpu("pandas", full) / cpu("select", full),
        "vs_datasets": cpu("datasets", small) / cpu("select", small),
        "build_vs_raw": cpu("build", full) / cpu("raw", full),
        "build_vs_pandas": cpu("pandas", full) / cpu("build", full),
        "build_vs_datasets": cpu("datasets", small) / cpu("build", small),
        "user_system": {side: [cpu(side, full, one) for one in ("cpu", "system")] for side in sides},
        "peak_gb": max(one["peak_gb"] for one in found["build", full]),
        "growth_1m_20m_100m": [rate / rates[0] for rate in rates],
        "growth_peak_gb": [max(one["peak_gb"] for one in found["build", each]) for each in grown],
        "overhead_ms_per_part": found["overhead", fine][0].get("overhead_ms"),
        "same_pairs": pairs("select", full) == pairs("build", full) == pairs("pandas", full)
        and pairs("select", small) == pairs("build", small) == pairs("datasets", small)
        and len(pairs("build", full)) == 1,
        "repeats": repeats,
    }


def there(data: Path, steps: int, numeric: bool = False, per_part: int = PROBLEMS_PER_PART, judges: bool = False) -> Path:
    """The folder of a dataset, made where it is not there yet."""
    kinds = {"numeric": numeric, "judged": judges, f"by-{per_part}": per_part != PROBLEMS_PER_PART}
    folder = data / "-".join((f"{steps // 1000}k", *(kind for kind, wanted in kinds.items() if wanted)))
    if not (folder / "versions" / "000001.json").exists():
        started = time.perf_counter()
        if numeric and steps == 100_000_000:
            repeat(there(data, steps // 5, numeric, per_part), folder, times=5)
        elif judges:
            judged(there(data, steps, per_part=per_part), folder)
        else:
            make(folder, steps, numeric, per_part)
        print(f"made {folder.name} in {time.perf_counter() - started:.0f} s", flush=True)
    return folder


def rows(dataset: Path) -> int:
    return open_version(str(dataset)).tables["step_scores"].rows


def rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [rounded(one) for one in value]
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
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
        before = resource.getrusage(resource.RUSAGE_SELF)
        selected = SIDES[side](version, work / "work", told)
        after = resource.getrusage(resource.RUSAGE_SELF)
    told["cpu"], told["system"] = round(after.ru_utime - before.ru_utime, 3), round(after.ru_stime - before.ru_stime, 3)
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


def user_cpu() -> float:
    """Seconds of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def checksum(rows: pl.DataFrame) -> str:
    """Of pairs with their scores to nine digits, in the order of their ids."""
    known = rows.select(pl.col(TABLES["pairs"].polars_schema.names())).with_columns(pl.selectors.float().round(9)).sort("pair_id")
    return hashlib.sha256(known.cast({pl.selectors.integer(): pl.Int32}).write_csv().encode()).hexdigest()


# Sides


def selecting(version: Version, work: Path, told: dict[str, Any]) -> Selected:
    """The stage function between the store's reader and its writer."""
    context, writing = Context(PAIRS.config(recipe()), {}), 0.0
    began = user_cpu()
    for files in zip(*(version.files(read.table) for read in PAIRS.reads), strict=True):
        writing += _select(files, context, work / files[0].name)
    told["unwritten"] = round(user_cpu() - began - writing, 3)
    return lambda: pl.read_parquet(work / "*.parquet")


def _select(files: Sequence[Path], context: Context, target: Path) -> float:
    """Selects the pairs of a part, and lets everything go; gives the CPU of writing them."""
    scans = [scanned(read, path.read_bytes(), str(path)) for read, path in zip(PAIRS.reads, files, strict=True)]
    outcome = PAIRS.run(*pl.collect_all(scans), context)
    before = user_cpu()
    target.write_bytes(encode(TABLES["pairs"], in_order(PAIRS, outcome.rows)))
    return user_cpu() - before


def building(version: Version, work: Path, told: dict[str, Any]) -> Selected:
    """The stage as a build runs it."""
    made = run((PAIRS,), recipe(), Store.create(work / "pairs"), {}, QuietReporter(), upstream=version)
    return lambda: made.frame("pairs")


def with_stats(version: Version, work: Path, told: dict[str, Any]) -> Selected:
    stats(version)


def with_report(version: Version, work: Path, told: dict[str, Any]) -> Selected:
    (work / "report.html").write_text(page(version))


def overhead(version: Version, work: Path, told: dict[str, Any]) -> Selected:
    """A hundred parts of 16 problems: what the runner takes besides the stage function."""
    inside = 0.0

    def counted(*arguments: Any) -> Outcome:
        nonlocal inside
        before = user_cpu()
        outcome = PAIRS.run(*arguments)
        inside += user_cpu() - before
        return outcome

    before = user_cpu()
    stage = replace(PAIRS, run=counted)
    made = run((stage,), recipe(), Store.create(work / "pairs"), {}, QuietReporter(), upstream=version)
    whole = user_cpu() - before
    told["overhead_ms"] = round(1000 * (whole - inside) / len(made.tables["pairs"].parts), 2)
    told["stage_ms"] = round(1000 * inside / len(made.tables["pairs"].parts), 2)


SIDES: dict[str, Callable[[Version, Path, dict[str, Any]], Selected]] = {
    "raw": raw,
    "select": selecting,
    "build": building,
    "pandas": with_pandas,
    "datasets": with_datasets,
    "stats": with_stats,
    "report": with_report,
    "overhead": overhead,
}


if __name__ == "__main__":
    main()
