"""solutions: samples with their final answer extracted and graded against the problem's gold answer."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from fullstep_data.config import SolutionsConfig
from fullstep_data.grading import GRADER_VERSION, extract
from fullstep_data.stage import Context, Outcome
from schemas import TABLES
from schemas.ids import content_id

FROM_SAMPLE = ("problem_id", "sample_index", "seed", "prompt", "text", "finish_reason", "prompt_tokens", "tokens", "sampler")


def solutions(samples: pl.DataFrame, problems: pl.DataFrame, context: Context) -> Outcome:
    """One row per sample. A solution without an answer is not correct; a comparison that timed out leaves `correct` null."""
    gold = dict(problems.select("problem_id", "answer").iter_rows())
    rows = samples.select(FROM_SAMPLE).to_dicts()
    grades = grade([(row["text"], gold[row["problem_id"]]) for row in rows], context.tools["grader"])
    for row, verdict in zip(rows, grades, strict=True):
        row["solution_id"] = content_id("solution", row["problem_id"], row["sample_index"], row["prompt"], row["text"])
        row.update(verdict)
    return Outcome(TABLES["solutions"].frame(rows))


def solutions_key(config: SolutionsConfig) -> dict[str, Any]:
    """What of the config decides a verdict: the time limit, and not the number of workers."""
    return {"timeout_seconds": config.timeout_seconds}


def grade(texts: Sequence[tuple[str, str]], grader: Any) -> list[dict[str, object]]:
    """For each (text, gold answer) the columns answer, answer_source, correct, grade_path and grader."""
    extracted = [extract(text) for text, _ in texts]
    answered = [(answer, gold) for (answer, _), (_, gold) in zip(extracted, texts, strict=True) if answer is not None]
    verdicts = iter(grader.grade(answered))
    columns: list[dict[str, object]] = []
    for answer, source in extracted:
        verdict = next(verdicts) if answer is not None else None
        columns.append(
            {
                "answer": answer,
                "answer_source": source,
                "correct": verdict.correct if verdict else False,
                "grade_path": verdict.path if verdict else "no-answer",
                "grader": GRADER_VERSION,
            }
        )
    return columns
