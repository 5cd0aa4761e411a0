"""judge_labels: is a step right? A generative model is asked, and its log-probs are the answer. Rows of the table step_labels.

    outcome = judge_labels(steps, solutions, problems, Context(JudgeLabels(), {"judge": generator}))

The prompt ends with the step in question, so a step is judged by what stands before it and not by how the solution ends. Equal
prefixes of a problem are asked about once. value = P(yes) / (P(yes) + P(no)) over the next token, where tokens that spell the
same word (" Yes", "yes") count together: what the model thinks of the step, with what else it might have written left out.
"""

import math
from collections.abc import Sequence
from typing import Any

import polars as pl

from fullstep_data.config import JudgeLabels, labeller_of
from fullstep_data.engines.protocol import Failure, Judge, NextTokens
from fullstep_data.prompts import Template, load_judge_template
from fullstep_data.stage import Context, Outcome, rejects
from schemas import TABLES

NEITHER = "the judge answers neither yes nor no"


def judge_labels(steps: pl.DataFrame, solutions: pl.DataFrame, problems: pl.DataFrame, context: Context) -> Outcome:
    """A row for every step; a step that the engine could not be asked about (its prompt is too long, say) is a reject."""
    config: JudgeLabels = context.config
    (judge,) = context.tools.values()
    template = load_judge_template(config.prompt.template)
    texts = solutions.join(problems.select("problem_id", "question"), on="problem_id").select("solution_id", "text", "question")
    asked = steps.join(texts.rename({"text": "solution"}), on="solution_id", how="left").sort("problem_id", "prefix_key")
    prompts: dict[str, str] = {}
    for row in asked.iter_rows(named=True):
        if row["prefix_key"] not in prompts:
            prompts[row["prefix_key"]] = _prompt(template, row, config, judge)
    told = dict(zip(prompts, judge.next_tokens(list(prompts.values()), config.top, context.tick), strict=True))
    name = labeller_of(config)
    rows: list[dict[str, Any]] = []
    dropped: list[tuple[str, str, str | None]] = []
    for solution_id, index, problem_id, prefix in steps.select(
        "solution_id", "step_index", "problem_id", "prefix_key"
    ).iter_rows():
        found = told[prefix]
        if isinstance(found, Failure):
            dropped.append((f"{solution_id}/{index}", f"judge: {found.reason}", found.detail or None))
            continue
        value = probability(found, template.yes, template.no)
        rows.append(
            {
                "solution_id": solution_id,
                "step_index": index,
                "labeller": name,
                "problem_id": problem_id,
                "n_rollouts": 0,
                "n_correct": 0,
                "label": None if value is None else value >= config.threshold,
                "value": value,
                "source": config.kind,
                "reason": NEITHER if value is None else None,
            }
        )
    return Outcome(TABLES["step_labels"].frame(rows), rejects("step_labels", "steps", dropped))


def judge_key(config: JudgeLabels) -> dict[str, Any]:
    """What of the config decides the labels. The engine counts by its identity, the prompt by its content."""
    prompt = load_judge_template(config.prompt.template).key(config.prompt.chat)
    return {"labeller": labeller_of(config), "prompt": prompt, "threshold": config.threshold, "top": config.top}


def probability(tokens: NextTokens, yes: Sequence[str], no: Sequence[str]) -> float | None:
    """P(yes) / (P(yes) + P(no)), by the tokens that spell one of the words; None where none of them does."""
    right, wrong = (_mass(tokens, words) for words in (yes, no))
    return right / (right + wrong) if right + wrong else None


def _mass(tokens: NextTokens, words: Sequence[str]) -> float:
    wanted = {word.strip().casefold() for word in words}
    return math.fsum(math.exp(logprob) for text, logprob in tokens if text.strip().casefold() in wanted)


def _prompt(template: Template, row: dict[str, Any], config: JudgeLabels, judge: Judge) -> str:
    shown = row["solution"][: row["stop"]].strip()
    return judge.render(template.system, template.fill(row["question"], shown), config.prompt.chat or template.chat)
