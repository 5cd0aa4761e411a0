"""Stage `predictions`: greedy answers of one model to held-out problems, graded.

    outcome = predictions(problems, Context(config, {"generator": generator, "grader": grader}, {"model": "before"}))

A row is one answer. `fullstep_data.accuracy` turns rows into accuracy with its interval, and compares two models.
"""

from typing import Any

import polars as pl

from fullstep_data.config import PredictionsConfig
from fullstep_data.engines.protocol import Completion, Generator, Request
from fullstep_data.prompts import load_template, render_prompt
from fullstep_data.samples import sampler_identity
from fullstep_data.solutions import grade
from fullstep_data.stage import Context, Outcome, rejects
from schemas import TABLES

GREEDY_SEED = 0  # greedy decoding draws nothing


def predictions(problems: pl.DataFrame, context: Context) -> Outcome:
    """One greedy answer per problem; a problem that the engine cannot serve is a reject.

    slice_args["model"] names the model in the column `model`; its engine is the tool `generator_<model>`, or `generator` where
    there is only one.
    """
    config: PredictionsConfig = context.config
    model: str = context.slice_args["model"]
    generator: Generator = context.tools.get(f"generator_{model}") or context.tools["generator"]
    template = load_template(config.prompt.template)
    asked = problems.select("problem_id", "question", "answer").rows()
    requests = [
        Request(
            render_prompt(template, question, generator, config.prompt.chat),
            seed=GREEDY_SEED,
            max_tokens=config.max_tokens,
            temperature=0.0,
            stop=template.stop,
        )
        for _, question, _ in asked
    ]
    results = list(zip(asked, generator.generate(requests, context.tick), strict=True))
    served = [(problem, result) for problem, result in results if isinstance(result, Completion)]
    failed = [
        (problem[0], result.reason, result.detail or None) for problem, result in results if not isinstance(result, Completion)
    ]
    grades = grade([(result.text, gold) for (_, _, gold), result in served], context.tools["grader"])
    sampler = sampler_identity(generator, 0.0, 1.0, config.max_tokens, template.stop)
    rows = [
        {
            "problem_id": problem_id,
            "model": model,
            "decoding": "greedy",
            "sample_index": 0,
            "seed": GREEDY_SEED,
            "question": question,
            "gold": gold,
            "text": result.text,
            "finish_reason": result.finish_reason,
            "tokens": len(result.token_ids),
            "sampler": sampler,
            **verdict,
        }
        for ((problem_id, question, gold), result), verdict in zip(served, grades, strict=True)
    ]
    return Outcome(TABLES["predictions"].frame(rows), rejects("predictions", "problems", failed))


def predictions_key(config: PredictionsConfig) -> dict[str, Any]:
    """What of the config decides an answer; the prompt counts by the content of its template."""
    return {"prompt": load_template(config.prompt.template).key(config.prompt.chat), "max_tokens": config.max_tokens}
