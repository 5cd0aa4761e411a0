"""The store: what does a part, a version and a look at either cost, when there are a thousand parts already?

    python -m tests.benchmarks.store [--quick]

Each measurement is a fresh process; counted is CPU, user and system, without imports, of the median of repeats. Parts hold one
problem, so that what counts is their number.

append_first_last: CPU of writing a part in a build, the last hundred of a thousand parts over the first hundred.
grow_first_last: CPU of a build that adds one part and commits, to 1,000 parts over to one; every version lists all of its parts,
so this grows, by grow_us_per_part. open_ms: opening a version with 1,000 parts (manifest read and checked, tables listed);
views_ms: the same and a connection with the views. parts: how many. The last line is one JSON object. --quick: 200 parts.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fullstep_data.config import Config
from fullstep_data.query import connect
from fullstep_data.runner import QuietReporter, run
from fullstep_data.stage import Context, Outcome, Stage
from fullstep_data.store import Store, Version, open_version
from schemas import TABLES

SEED = 2502
SPAN = 10
"""The first and the last tenth of the parts are compared."""


class Recipe(Config):
    """So many problems, one to a part."""

    problems: int
    problems_per_part: int = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="200 parts: ends within a minute")
    parser.add_argument("--parts", type=int, help="default 1000, with --quick 200")
    parser.add_argument("--repeats", type=int, default=5, help="of each measurement")
    parser.add_argument("--side", choices=tuple(SIDES), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    parts = arguments.parts or (200 if arguments.quick else 1000)
    if arguments.side:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(SIDES[arguments.side](Path(folder), parts)))
        return
    runs = [side for side in SIDES for _ in range(arguments.repeats)]
    random.Random(SEED).shuffle(runs)
    found: dict[str, list[dict[str, float]]] = {}
    for side in runs:
        command = [sys.executable, "-m", "tests.benchmarks.store", "--side", side, "--parts", str(parts)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found.setdefault(side, []).append(json.loads(done.stdout.splitlines()[-1]))
        print(f"{side:7} {found[side][-1]}", flush=True)
    result = {name: statistics.median(one[name] for one in told) for told in found.values() for name in told[0]}
    print(json.dumps({name: float(f"{value:.4g}") for name, value in result.items()} | {"parts": parts}))


def problems(context: Context) -> Outcome:
    row = {"answer": "1", "source": "made", "split": "train", "domain": "math"}
    count = context.config.problems
    return Outcome(
        TABLES["problems"].frame([{"problem_id": f"p{n:06}", "question": f"Problem {n}?", **row} for n in range(count)])
    )


STAGE = Stage(name="problems", run=problems, reads=(), config=lambda recipe: recipe, revision=1, parts_by="source")


def build(folder: Path, parts: int) -> Version:
    return run((STAGE,), Recipe(problems=parts), Store.create(folder), {}, QuietReporter())


def append(folder: Path, parts: int) -> dict[str, float]:
    """One build; the clock is read whenever a part was written."""
    store = Store.create(folder)
    seconds: list[float] = []
    write = store.write_part

    def timed(*arguments: object, **named: object) -> object:
        before = time.process_time()
        part = write(*arguments, **named)  # type: ignore[arg-type]  # as it came
        seconds.append(time.process_time() - before)
        return part

    store.write_part = timed  # type: ignore[method-assign,assignment]
    run((STAGE,), Recipe(problems=parts), store, {}, QuietReporter())
    span = parts // SPAN
    return {"append_first_last": statistics.mean(seconds[-span:]) / statistics.mean(seconds[:span])}


def grow(folder: Path, parts: int) -> dict[str, float]:
    """A second version with one part more, of few and of many."""
    taken: dict[int, float] = {}
    build(folder / "warm", 1)
    for size in (1, parts):
        build(folder / str(size), size)
        before = time.process_time()
        build(folder / str(size), size + 1)
        taken[size] = time.process_time() - before
    return {"grow_first_last": taken[parts] / taken[1], "grow_us_per_part": 1e6 * (taken[parts] - taken[1]) / (parts - 1)}


def look(folder: Path, parts: int) -> dict[str, float]:
    build(folder, parts)
    build(folder / "warm", 1)
    with connect(open_version(str(folder / "warm"))):
        pass
    opened, viewed = list(_looks(folder, lambda version: None)), list(_looks(folder, _see))
    return {"open_ms": statistics.median(opened), "views_ms": statistics.median(viewed)}


def _looks(folder: Path, use: Callable[[Version], None]) -> Iterator[float]:
    """CPU milliseconds of opening the version and its tables, five times."""
    for _ in range(5):
        before = time.process_time()
        version = open_version(str(folder))
        assert version.tables["problems"].rows
        use(version)
        yield 1000 * (time.process_time() - before)


def _see(version: Version) -> None:
    with connect(version):
        pass


SIDES: dict[str, Callable[[Path, int], dict[str, float]]] = {"append": append, "grow": grow, "look": look}


if __name__ == "__main__":
    main()
