"""step_scores: the reward of each step, by a process-reward model that is handed in as a StepScorer."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from fullstep_data.config import StepsConfig
from fullstep_data.engines.protocol import ScoreRequest, StepScorer
from fullstep_data.stage import Context, Outcome, Tick, no_tick, rejects
from fullstep_data.steps import split
from schemas import TABLES

NO_TEXT = "no text"


def step_scores(solutions: pl.DataFrame, steps: pl.DataFrame, context: Context) -> Outcome:
    """One reward per step. A solution that the scorer cannot take (too long for it, say) is rejected with all its steps."""
    return _scored(solutions, steps, {}, context)


def public_step_scores(solutions: pl.DataFrame, steps: pl.DataFrame, problems: pl.DataFrame, context: Context) -> Outcome:
    """`step_scores` by a PRM that is asked about the question and the steps, whatever the prompt was."""
    return _scored(solutions, steps, dict(problems.select("problem_id", "question").iter_rows()), context)


def _scored(solutions: pl.DataFrame, steps: pl.DataFrame, questions: Mapping[str, str], context: Context) -> Outcome:
    scorer = context.tools["scorer"]
    stops = dict(steps.sort("step_index").group_by("solution_id", maintain_order=True).agg("stop").iter_rows())
    groups = _groups(solutions.filter(pl.col("solution_id").is_in(list(stops))))
    requests = [
        [
            ScoreRequest(
                row["prompt"],
                row["text"],
                tuple(stops[row["solution_id"]]),
                row["finish_reason"] != "length",
                questions.get(row["problem_id"], ""),
            )
            for row in group
        ]
        for group in groups
    ]
    rows: list[dict[str, object]] = []
    dropped: list[tuple[str, str, str | None]] = []
    for group, results in zip(groups, scorer.score(requests, context.tick), strict=True):
        for row, result in zip(group, results, strict=True):
            solution_id, problem_id = row["solution_id"], row["problem_id"]
            for index in range(len(stops[solution_id])):
                if isinstance(result, str):
                    dropped.append((f"{solution_id}/{index}", result, None))
                    continue
                rows.append(
                    {
                        "solution_id": solution_id,
                        "step_index": index,
                        "scorer": scorer.identity,
                        "problem_id": problem_id,
                        "reward": result[index],
                    }
                )
    return Outcome(TABLES["step_scores"].frame(rows), rejects("step_scores", "steps", dropped))


def labels_as_rewards(step_labels: pl.DataFrame, context: Context) -> Outcome:
    """No PRM: the reward of a step is the value of its label, the scorer is the labeller. Open labels are rejects."""
    known = step_labels.filter(pl.col("value").is_not_null() | pl.col("label").is_not_null())
    rows = known.select(
        "solution_id",
        "step_index",
        pl.col("labeller").alias("scorer"),
        "problem_id",
        pl.coalesce("value", pl.col("label").cast(pl.Float32)).alias("reward"),
    )
    open_ones = step_labels.join(known, on=("solution_id", "step_index"), how="anti").select(
        "solution_id", "step_index", "reason"
    )
    dropped = [(f"{solution_id}/{index}", "label is open", reason) for solution_id, index, reason in open_ones.iter_rows()]
    return Outcome(TABLES["step_scores"].check(rows, "step_scores"), rejects("step_scores", "step_labels", dropped))


def text_rewards(
    groups: Sequence[Sequence[tuple[str, str, bool]]], config: StepsConfig, scorer: StepScorer, tick: Tick = no_tick
) -> list[list[list[float] | str]]:
    """Rewards of texts that are in no table: for each group of (prompt, text, finished) with one prompt, for each text its step
    rewards [K], or why there are none.
    """
    spans = [[split(text, config) for _, text, _ in group] for group in groups]
    requests = [
        [
            ScoreRequest(prompt, text, tuple(stop for _, stop in of_text), finished)
            for (prompt, text, finished), of_text in zip(group, of_group, strict=True)
            if of_text
        ]
        for group, of_group in zip(groups, spans, strict=True)
    ]
    results = [iter(result) for result in scorer.score(requests, tick)]
    return [
        [next(result) if of_text else NO_TEXT for of_text in of_group] for of_group, result in zip(spans, results, strict=True)
    ]


def _groups(solutions: pl.DataFrame) -> list[list[dict[str, Any]]]:
    """Solutions that share a problem and a prompt: the scorer computes that prompt once."""
    keyed = solutions.sort("problem_id", "sample_index").partition_by("problem_id", "prompt", maintain_order=True)
    return [group.to_dicts() for group in keyed]
