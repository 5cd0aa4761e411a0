"""Stage `predictions`: what a model answers to held-out problems, graded. One table, one row per answer, three ways to it.

    outcome = predictions(problems, Context(config, {"generator": generator, "grader": grader}, {"model": "before"}))  # greedy
    outcome = sampled_predictions(problems, solutions, step_scores, Context(config, {"grader": grader}))       # sc@8, bon@8 …

`sampled_predictions` turns ONE set of samples into the answers of every rule over samples (`decoding`), and of each rule at 1, 2,
4 … samples. The third way is `beam`. `fullstep_data.accuracy` turns rows into accuracy with its interval, and compares.
"""

from collections.abc import Sequence
from typing import Any

import polars as pl

from fullstep_data.calibration import votes
from fullstep_data.config import PredictionsConfig, SampledPredictionsConfig
from fullstep_data.decoding import SAMPLE, Choice, Sample, Sampled, answer_classes, choose, curve, parse
from fullstep_data.engines.protocol import Completion, Generator, Request
from fullstep_data.grading import Grader
from fullstep_data.prompts import load_template, render_prompt
from fullstep_data.samples import sampler_identity
from fullstep_data.solutions import grade
from fullstep_data.stage import Context, Outcome, rejects
from fullstep_data.step_scores import text_rewards
from schemas import TABLES

GREEDY_SEED = 0  # greedy decoding draws nothing
NO_SAMPLES = "no sample to choose from"

OF_SOLUTION = (
    "sample_index",
    "seed",
    "text",
    "finish_reason",
    "tokens",
    "answer",
    "answer_source",
    "correct",
    "grade_path",
    "grader",
    "sampler",
)


def predictions(problems: pl.DataFrame, context: Context) -> Outcome:
    """One greedy answer per problem; a problem that the engine cannot serve is a reject.

    slice_args["model"] names the model in the column `model`; its engine is the tool `generator_<model>`, or `generator` where
    there is only one. With a tool `scorer` the steps of each answer are rewarded, and `lowest_reward` is theirs.
    """
    config: PredictionsConfig = context.config
    model: str = context.slice_args["model"]
    generator: Generator = context.tools.get(f"generator_{model}") or context.tools["generator"]
    template = load_template(config.prompt.template)
    asked = problems.select("problem_id", "source", "question", "answer").rows()
    prompts = [render_prompt(template, question, generator, config.prompt.chat) for _, _, question, _ in asked]
    requests = [
        Request(prompt, seed=GREEDY_SEED, max_tokens=config.max_tokens, temperature=0.0, stop=template.stop) for prompt in prompts
    ]
    results = list(zip(asked, prompts, generator.generate(requests, context.tick), strict=True))
    served = [(problem, prompt, result) for problem, prompt, result in results if isinstance(result, Completion)]
    failed = [
        (problem[0], result.reason, result.detail or None) for problem, _, result in results if not isinstance(result, Completion)
    ]
    grades = grade([(result.text, gold) for (_, _, _, gold), _, result in served], context.tools["grader"])
    rewards = _rewards([(prompt, result) for _, prompt, result in served], context)
    sampler = sampler_identity(generator, 0.0, 1.0, config.max_tokens, template.stop)
    rows = [
        {
            **_problem(problem),
            "model": model,
            "decoding": "greedy",
            "sample_index": 0,
            "seed": GREEDY_SEED,
            "text": result.text,
            "finish_reason": result.finish_reason,
            "tokens": result.tokens,
            "sampler": sampler,
            "n_samples": 1,
            "sampled_tokens": result.tokens,
            "lowest_reward": lowest,
            **verdict,
        }
        for (problem, _, result), verdict, lowest in zip(served, grades, rewards, strict=True)
    ]
    return Outcome(TABLES["predictions"].frame(rows), rejects("predictions", "problems", failed))


def predictions_key(config: PredictionsConfig) -> dict[str, Any]:
    """What of the config decides an answer; the prompt counts by the content of its template."""
    prompt = load_template(config.prompt.template).key(config.prompt.chat)
    return {"prompt": prompt, "max_tokens": config.max_tokens, "steps": config.steps}


def sampled_predictions(problems: pl.DataFrame, solutions: pl.DataFrame, step_scores: pl.DataFrame, context: Context) -> Outcome:
    """The answers of every rule at 1, 2, 4 … N samples, and the samples themselves as rows of the rule `sample`.

    A rule at n looks at the samples with an index below n. A problem without any sample is a reject. step_scores may be empty;
    then rules that need rewards have nothing to choose by.
    """
    config: SampledPredictionsConfig = context.config
    rules = [at_n for rule in parse(",".join(config.rules)) if isinstance(rule, Sampled) for at_n in curve(rule)]
    by_problem = _by_problem(solutions.filter(pl.col("sample_index") < max(rule.n for rule in rules)), step_scores)
    grader: Grader = context.tools["grader"]
    asked = [
        problem for problem in problems.select("problem_id", "source", "question", "answer").rows() if problem[0] in by_problem
    ]
    answers = [[row["answer"] for row in by_problem[problem[0]]] for problem in asked]
    classes = answer_classes(answers, lambda pairs: [bool(verdict.correct) for verdict in grader.grade(pairs)])
    rows: list[dict[str, Any]] = []
    for done, (problem, groups) in enumerate(zip(asked, classes, strict=True), start=1):
        samples = by_problem[problem[0]]
        head = {**_problem(problem), "model": config.model}
        rows.extend(_row(head, SAMPLE, [sample], Choice(0, None)) for sample in samples)
        for rule in rules:
            seen = [(row, group) for row, group in zip(samples, groups, strict=True) if row["sample_index"] < rule.n]
            if seen:
                known = [Sample(group, row["rewards"]) for row, group in seen]
                choice = choose(rule, known, votes(config.calibrations, rule))
                rows.append(_row(head, rule.name, [row for row, _ in seen], choice))
        context.tick(done, len(asked))
    lost = [(problem_id, NO_SAMPLES, None) for problem_id in problems["problem_id"] if problem_id not in by_problem]
    return Outcome(TABLES["predictions"].frame(rows), rejects("predictions", "problems", lost))


def _by_problem(solutions: pl.DataFrame, step_scores: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """The solutions of each problem in order of their index, each with its step rewards [K] (None where it has none)."""
    rewards = step_scores.sort("step_index").group_by("solution_id").agg(pl.col("reward").alias("rewards"))
    rows = solutions.join(rewards, on="solution_id", how="left").sort("problem_id", "sample_index")
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows.select("problem_id", *OF_SOLUTION, "rewards").iter_rows(named=True):
        found.setdefault(row["problem_id"], []).append(row)
    return found


def _problem(problem: tuple[str, str, str, str]) -> dict[str, str]:
    return dict(zip(("problem_id", "source", "question", "gold"), problem, strict=True))


def _row(head: dict[str, Any], decoding: str, seen: Sequence[dict[str, Any]], choice: Choice) -> dict[str, Any]:
    chosen = seen[choice.place]
    tokens = [row["tokens"] for row in seen]
    return {
        **head,
        **{name: chosen[name] for name in OF_SOLUTION},
        "decoding": decoding,
        "n_samples": len(seen),
        "sampled_tokens": None if None in tokens else sum(tokens),
        "score": choice.score,
        "lowest_reward": min(chosen["rewards"]) if chosen["rewards"] else None,
    }


def _rewards(served: Sequence[tuple[str, Completion]], context: Context) -> list[float | None]:
    """The least step reward of each answer, None where there is no scorer or it cannot take the text."""
    if "scorer" not in context.tools:
        return [None] * len(served)
    groups = [[(prompt, result.text, result.finish_reason != "length")] for prompt, result in served]
    found = text_rewards(groups, context.config.steps, context.tools["scorer"])
    return [None if isinstance(rewards, str) else min(rewards) for (rewards,) in found]
