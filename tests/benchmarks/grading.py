"""Our grader against plain math-verify: same verdicts, how much less CPU?

    python -m tests.benchmarks.grading [--quick] [--golds FILE] [--problems N]

Both grade the same (answer, gold) pairs, each in a process of its own: 32 sampled answers to each problem, right and wrong, in
the forms that models give to GSM8K problems. math-verify gets each answer in the form it reads best (LaTeX in a box, else text).
cpu_ratio counts all the CPU of a process and its children from start to end, so it grows with the number of pairs: importing
Polars and starting a math-verify worker cost 2 s, once. cpu_ratio_warm leaves out, on both sides, what a single pair takes.
--golds takes the gold answers from a JSONL file in GSM8K's form instead of drawing them. The odd forms on which we decide
otherwise on purpose (tests/fullstep_data/grading/test_settle.py) are no part of the pairs but counted apart, as "documented".
The last line is one JSON object.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

SAMPLES = 32
SEED = 2502
# (answer, gold) of odd forms on which math-verify says otherwise (0.333333 rounds to 1/3; \\text hides hours and minutes).
DOCUMENTED = (
    ("1 1/2", "1.5"),
    ("0.333333", "1/3"),
    ("5 million", "5"),
    ("5\\text{ hours}", "5\\text{ minutes}"),
    ("\\mathrm{1e2}", "100"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer problems: ends within a minute")
    parser.add_argument("--golds", type=Path, help="JSONL file in GSM8K's form")
    parser.add_argument("--problems", type=int, help="number of problems (default 7473, as GSM8K has, with --quick 300)")
    parser.add_argument("--side", choices=tuple(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--pairs", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        pairs = [tuple(pair) for pair in json.loads(arguments.pairs.read_text())]
        sys.stdout.write(json.dumps(SIDES[arguments.side](pairs)))
        return
    problems = arguments.problems or (300 if arguments.quick else 7473)
    compare(make_pairs(make_golds(problems, arguments.golds)))


def compare(pairs: list[tuple[str, str]]) -> None:
    """Prints what each side took and where the verdicts differ."""
    verdicts: dict[str, list[bool | None]] = {}
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in SIDES:
            verdicts[side], seconds[side] = run(side, pairs, Path(folder))
            print(f"{side:12} {seconds[side]:8.2f} CPU s, {1e6 * seconds[side] / len(pairs):8.1f} µs a pair")
        start = {side: run(side, [("\\frac{x}{2}", "\\frac{1}{2}x")], Path(folder))[1] for side in SIDES}
        documented = [run(side, list(DOCUMENTED), Path(folder))[0] for side in SIDES]
    differing = [pair for pair, a, b in zip(pairs, *verdicts.values(), strict=True) if a is not b]
    for answer, gold in dict.fromkeys(differing):
        print(f"disagreement: answer {answer!r}, gold {gold!r}")
    result = {
        "cpu_ratio": round(seconds["math-verify"] / seconds["fullstep"], 1),
        "cpu_ratio_warm": round((seconds["math-verify"] - start["math-verify"]) / (seconds["fullstep"] - start["fullstep"]), 1),
        "disagreements": len(differing),
        "documented": sum(a is not b for a, b in zip(*documented, strict=True)),
        "pairs": len(pairs),
        "distinct_pairs": len(set(pairs)),
        "correct": round(sum(bool(verdict) for verdict in verdicts["fullstep"]) / len(pairs), 3),
        "cpu_seconds": {side: round(taken, 2) for side, taken in seconds.items()},
    }
    print(json.dumps(result))


def run(side: str, pairs: list[tuple[str, str]], folder: Path) -> tuple[list[bool | None], float]:
    """Verdicts of one side and the CPU seconds (user and system) of its process and its children."""
    given, taken = folder / "pairs.json", folder / "verdicts.json"
    given.write_text(json.dumps(pairs))
    command = [sys.executable, "-m", "tests.benchmarks.grading", "--side", side, "--pairs", str(given)]
    with taken.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return json.loads(taken.read_text()), usage.ru_utime + usage.ru_stime


def grade_with_fullstep(pairs: list[tuple[str, str]]) -> list[bool | None]:
    from fullstep_data.grading import Grader

    with Grader() as grader:
        return [verdict.correct for verdict in grader.grade(pairs)]


def grade_with_math_verify(pairs: list[tuple[str, str]]) -> list[bool | None]:
    from math_verify import parse, verify

    def delimited(text: str) -> str:
        return f"\\boxed{{{text}}}" if "\\" in text else text

    return [verify(parse(delimited(gold)), parse(delimited(answer))) for answer, gold in pairs]


SIDES = {"math-verify": grade_with_math_verify, "fullstep": grade_with_fullstep}


def make_golds(count: int, file: Path | None) -> list[str]:
    """GSM8K's gold answers are integers, most below 1,000; a few fractions and decimals make it harder."""
    if file is not None:
        lines = file.read_text(encoding="utf-8").splitlines()[:count]
        return [json.loads(line)["answer"].rpartition("####")[2].strip().replace(",", "") for line in lines]
    rng = random.Random(SEED)
    golds: list[str] = []
    for _ in range(count):
        kind = rng.random()
        if kind < 0.95:
            golds.append(str(int(10 ** rng.uniform(0, 4.5))))
        elif kind < 0.98:
            golds.append(f"{rng.randint(1, 400)}.{rng.choice(('5', '25', '75', '40'))}")
        else:
            golds.append(f"{rng.randint(1, 9)}/{rng.choice((2, 4, 5, 8))}")
    return golds


def make_pairs(golds: list[str]) -> list[tuple[str, str]]:
    """For each gold answer SAMPLES answers, six in ten right, each in a form that models use."""
    rng = random.Random(SEED)
    return [(written(value(gold, rng), rng), gold) for gold in golds for _ in range(SAMPLES)]


def value(gold: str, rng: random.Random) -> str:
    """The gold answer, or a wrong one near it."""
    if rng.random() < 0.6 or "/" in gold:
        return gold
    number = float(gold)
    wrong = rng.choice((number + 1, number - 1, number * 2, number / 2, number + 10, -number, number / 3))
    return str(int(wrong)) if wrong == int(wrong) else f"{wrong:.2f}"


def written(number: str, rng: random.Random) -> str:
    """One of the forms in which models write a number. One answer in 400 is no number, as measured on GSM8K (design/facts.md)."""
    if "/" in number:
        top, bottom = number.split("/")
        return rng.choice((number, f"\\frac{{{top}}}{{{bottom}}}", f"\\dfrac{{{top}}}{{{bottom}}}"))
    grouped = f"{float(number):,.2f}" if "." in number else f"{int(number):,}"
    forms = {
        number: 70,
        f"${number}": 6,
        f"\\${grouped}": 6,
        grouped: 5,
        f"{number}.00" if "." not in number else f"{number}0": 4,
        f"{number} dollars": 3,
        f"{number}\\text{{ miles}}": 3,
        f"{number}%": 1,
        f"x = {number}": 1,
        f"{number} \\times 1": 0.08,
        f"\\frac{{{number}}}{{2}} + x": 0.02,
        "cannot be determined": 0.15,
    }
    return rng.choices(tuple(forms), tuple(forms.values()))[0]


if __name__ == "__main__":
    main()
