"""Success rates of language models on GSM8K, for the sampler of the benchmark `rollouts`.

    python -m tests.benchmarks.gsm8k_rates example_model_solutions.jsonl

The file holds four solutions of each of GSM8K's 1,319 test problems, two by a model of 6B and two by one of 175B parameters, with
a verdict each: https://github.com/openai/grade-school-math, commit 3101c7d, grade_school_math/data (MIT licence). Prints
what `tests.benchmarks.rollouts` has as constants, as one JSON object:

lines: share of solutions by computing lines, those of 2 to 7, which are nearly all.
slope: the logit of the accuracy by one line more of the gold solution (least squares over lines, weighted by problems).
spread: Beta(spread p, spread (1 - p)) is the accuracy of problems with as many gold lines, where p is its mean: the correlation
of the verdicts on two solutions of a problem is 1 / (spread + 1). Both models have one solution sampled and one chosen by a
verifier, so the truth for two samples is a little less: problems differ a little more than that.
first_error: where wrong solutions of so many lines first go wrong, in shares of lines 1, 2, …: the first line with a result that
the gold solution has not. Right solutions leave the gold one too, for there are other ways; their rate at the line is taken off
(hazards: 1 - (1 - wrong) / (1 - right)). Those that never leave it go wrong at the last line.
"""

import argparse
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
LINES = range(2, 8)
RESULT = re.compile(r"<<[^=<>]*=(-?[0-9.]+)>>")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    rows = [json.loads(line) for line in parser.parse_args().file.read_text(encoding="utf-8").splitlines()]
    verdicts = {model: np.array([float(row[model]["is_correct"]) for row in rows]) for model in MODELS}
    gold = np.array([len(lines(row["ground_truth"])) for row in rows])
    counts = Counter(len(lines(row[model]["solution"])) for row in rows for model in MODELS)
    total = sum(counts[number] for number in LINES)
    print(
        json.dumps(
            {
                "accuracy": {model: round(float(found.mean()), 3) for model, found in verdicts.items()},
                "lines": {number: round(counts[number] / total, 3) for number in LINES},
                "of_all_solutions": round(total / (len(rows) * len(MODELS)), 3),
                "slope": {model: round(slope(gold, found), 2) for model, found in verdicts.items()},
                "spread": {
                    size: round(spread(gold, verdicts[f"{size}_finetuning"], verdicts[f"{size}_verification"]), 2)
                    for size in ("6b", "175b")
                },
                "first_error": {number: first_error(rows, number) for number in LINES},
            }
        )
    )


def lines(solution: str) -> list[str]:
    """The lines of a solution without the one that gives the answer."""
    found = [line for line in solution.splitlines() if line.strip()]
    return found[:-1] if found and found[-1].startswith("A:") else found


def slope(gold: np.ndarray, verdicts: np.ndarray) -> float:
    """Change of the logit of the accuracy by line."""
    means = np.array([verdicts[gold == number].mean() for number in LINES])
    weights = np.sqrt([(gold == number).sum() for number in LINES])
    return float(np.polyfit(np.array(LINES), np.log(means / (1 - means)), 1, w=weights)[0])


def spread(gold: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    """From the correlation of two verdicts on one problem, among problems of as many lines."""
    together = alone = 0.0
    for number in LINES:
        x, y = one[gold == number], other[gold == number]
        together += len(x) * float(np.mean((x - x.mean()) * (y - y.mean())))
        alone += len(x) * float(x.std() * y.std())
    return alone / together - 1


def first_error(rows: list[dict[str, Any]], number: int) -> list[float]:
    """Shares of the lines of wrong solutions with so many lines."""
    shares, on_the_way = list[float](), 1.0
    for wrong, right in zip(leaving(rows, number, correct=False), leaving(rows, number, correct=True), strict=True):
        shares.append(on_the_way * max(0.0, 1 - (1 - wrong) / (1 - right)))
        on_the_way -= shares[-1]
    shares[-1] += on_the_way
    return [round(share, 2) for share in shares]


def leaving(rows: list[dict[str, Any]], number: int, correct: bool) -> list[float]:
    """Share, line by line, of those still on the way that leave the results of the gold solution."""
    there, left = Counter[int](), Counter[int]()
    for row in rows:
        known = {float(found) for found in RESULT.findall(row["ground_truth"])}
        for solution in (lines(row[model]["solution"]) for model in MODELS if row[model]["is_correct"] == correct):
            if len(solution) != number:
                continue
            for place, line in enumerate(solution):
                there[place] += 1
                if any(float(found) not in known for found in RESULT.findall(line)):
                    left[place] += 1
                    break
    return [left[place] / there[place] for place in range(number)]


if __name__ == "__main__":
    main()
