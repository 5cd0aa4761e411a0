r"""steps: where each step of a solution begins and ends, as character spans that cover its text exactly.

    split("Step 1: 2 + 3 = 5\nStep 2: The answer is \boxed{5}.", StepsConfig())  ->  [(0, 18), (18, 50)]

A separator belongs to the step that it ends. Text before the first label belongs to step 1 when that label counts 1, and is a
step of its own when it counts higher (prompts that end in "Step 1:"). A text without any boundary is one step.
"""

import itertools
import re
from collections.abc import Iterable, Iterator

import polars as pl

from fullstep_data.config import StepsConfig
from fullstep_data.stage import Context, Outcome, rejects
from schemas import TABLES
from schemas.ids import content_id

STEP_LABEL = re.compile(r"^[ \t]*(?:[#*_>-]+[ \t]*)*step[ \t]+(\d+)[ \t]*[*_]*[:.)\]]", re.IGNORECASE | re.MULTILINE)
LINE_END = re.compile(r"(?:\r\n|\r|\n)+")
BLANK_LINE = re.compile(r"(?:\r\n|\r|\n)[ \t]*(?:\r\n|\r|\n)\s*")


def steps(solutions: pl.DataFrame, context: Context) -> Outcome:
    """Rows of `steps` for every solution; a solution without text is rejected."""
    rows: list[dict[str, object]] = []
    dropped: list[tuple[str, str, str | None]] = []
    for solution_id, problem_id, text in solutions.select("solution_id", "problem_id", "text").iter_rows():
        spans = split(text, context.config)
        if not spans:
            dropped.append((solution_id, "solution has no text", None))
        for index, (start, stop) in enumerate(spans):
            rows.append(
                {
                    "solution_id": solution_id,
                    "step_index": index,
                    "problem_id": problem_id,
                    "start": start,
                    "stop": stop,
                    "text": text[start:stop],
                    "prefix_key": content_id("prefix", problem_id, text[:stop]),
                }
            )
    return Outcome(TABLES["steps"].frame(rows), rejects("steps", "solutions", dropped))


def takers(solutions: pl.DataFrame, steps: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """problem_id, text, takers: how many of the solutions take a step of this text, a solution once; problem_id, size: how many
    there are. solutions: columns solution_id, problem_id; steps: solution_id, text.
    """
    taken = solutions.join(steps.select("solution_id", "text").unique(), on="solution_id")
    counts = taken.group_by("problem_id", "text").agg(takers=pl.len())
    return counts, solutions.group_by("problem_id").agg(size=pl.len())


def split(text: str, config: StepsConfig) -> list[tuple[int, int]]:
    """Spans (start, stop) in characters, ascending, without gaps; no span is blank. Empty where `text` is blank."""
    if not text.strip():
        return []
    starts = [start for start in _starts(text, config) if 0 < start < len(text)]
    bounds = [0, *sorted(set(starts)), len(text)]
    return _merge_blank(text, list(itertools.pairwise(bounds)))


def _starts(text: str, config: StepsConfig) -> Iterable[int]:
    if config.splitter == "newline":
        return (match.end() for match in LINE_END.finditer(text))
    if config.splitter == "blank-line":
        return (match.end() for match in BLANK_LINE.finditer(text))
    if config.splitter == "regex":
        return (match.start() for match in re.finditer(config.pattern or "", text, re.MULTILINE))
    return _label_starts(text)


def _label_starts(text: str) -> Iterator[int]:
    for position, match in enumerate(STEP_LABEL.finditer(text)):
        belongs_to_preamble = position == 0 and int(match.group(1)) <= 1
        if not belongs_to_preamble:
            yield match.start()


def _merge_blank(text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Joins a blank span to the step before it (the first one to the step after it)."""
    merged: list[tuple[int, int]] = []
    for start, stop in spans:
        if merged and (not text[start:stop].strip() or not text[merged[-1][0] : merged[-1][1]].strip()):
            merged[-1] = (merged[-1][0], stop)
        else:
            merged.append((start, stop))
    return merged
