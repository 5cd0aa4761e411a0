"""Import of a large file: how much memory and CPU do short steps and long solutions take?

    python -m tests.benchmarks.importing [--quick]

Two files of Math-Shepherd's published form, 1 GB each, their lines in random order: `short`, like the published one (6 steps of
some 130 characters; 500,000 solutions of 15,000 problems); `long`, solutions of 40 steps and 12,000 characters, as reasoning
models write them. Each is imported by the command, in a process of its own.

cpu_over_json_*: user CPU of the import over that of reading the same lines with Python's json alone. peak_gb_*: its resident
memory; growth_*: that of 1 GB over that of a tenth. rows_*: steps. --quick: a hundredth of it, and growth over a thousandth.
The last line is one JSON object.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SEED = 2502
SIGN = "ки"


@dataclass(frozen=True)
class Shape:
    """solutions: of 1 GB."""

    solutions: int
    problems: int
    steps: int
    characters: int


SHAPES = {"short": Shape(520_000, 15_000, 6, 130), "long": Shape(38_000, 4_000, 40, 300)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the rows")
    arguments = parser.parse_args()
    share = 0.01 if arguments.quick else 1.0
    result: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, shape in SHAPES.items():
            small, _, _ = imported(shape, share / 10, Path(folder))
            peak, over, rows = imported(shape, share, Path(folder))
            result |= {
                f"cpu_over_json_{name}": over,
                f"peak_gb_{name}": peak,
                f"growth_{name}": peak / small,
                f"rows_{name}": rows,
            }
    print(json.dumps({name: float(f"{value:.4g}") for name, value in result.items()}))


def imported(shape: Shape, share: float, folder: Path) -> tuple[float, float, int]:
    """Peak GB of an import, its CPU over that of json, and the steps of the file."""
    file = folder / "lines.jsonl"
    rows = write(shape, share, file)
    before = time.process_time()
    with file.open(encoding="utf-8") as lines:
        assert sum(1 for line in lines if json.loads(line)["label"]) == rows // shape.steps
    plain = time.process_time() - before
    out = folder / "dataset"
    command = [sys.executable, "-m", "cli.data", "import", "math-shepherd", str(file), "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    peak = usage.ru_maxrss * 1024 / 1e9
    print(
        f"{file.stat().st_size / 1e9:.3f} GB, {rows:,} steps: {usage.ru_utime:.1f} CPU-s, json {plain:.1f}, peak {peak:.2f} GB",
        flush=True,
    )
    subprocess.run(["rm", "-rf", str(out)], check=True)
    return peak, usage.ru_utime / plain, rows


def write(shape: Shape, share: float, file: Path) -> int:
    """A file of Math-Shepherd's form; the number of its steps."""
    problems, solutions = max(1, int(shape.problems * share)), int(shape.solutions * share)
    with file.open("w", encoding="utf-8") as out:
        for line in lines(shape, problems, solutions):
            out.write(line + "\n")
    return solutions * shape.steps


def lines(shape: Shape, problems: int, solutions: int) -> Iterator[str]:
    draw = random.Random(SEED)
    words = [f"{draw.randrange(1000)} {draw.choice('+-*/=')} " for _ in range(5_000)]
    for number in range(solutions):
        problem = draw.randrange(problems)
        question = f"What is {problem} times {problem + 1}, if a box holds {problem % 97} apples?"
        steps = []
        for step in range(shape.steps):
            text = "".join(draw.choices(words, k=shape.characters // 7))
            end = f" The answer is: {number}" if step == shape.steps - 1 else ""
            steps.append(f"Step {step + 1}: {text}{end}")
        signs = [draw.choice("+-") for _ in steps]
        told = f"{question} " + "\n".join(f"{step} {SIGN}" for step in steps)
        label = f"{question} " + "\n".join(f"{step} {sign}" for step, sign in zip(steps, signs, strict=True))
        yield json.dumps({"input": told, "label": label, "task": "MATH"}, ensure_ascii=False)


if __name__ == "__main__":
    main()
