"""Stage `samples`: M completions of each training problem, as the engine gives them.

    outcome = samples(problems, Context(config, {"generator": generator}, {"first": 0, "last": 8}))

A row is one completion. A part is a block of sample indices of some problems (`sample_blocks`), so raising M samples only what is
missing. With the engine `given`, solutions come from the user's file instead: `generator` is then a `Solutions` tool.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import polars as pl

from fullstep_data.config import GivenSolutions, SamplesConfig
from fullstep_data.engines.protocol import Completion, Generator, Request
from fullstep_data.prompts import Template, load_template, plain_prompt, render_prompt
from fullstep_data.stage import Context, Outcome, rejects
from schemas import TABLES, InputError
from schemas.ids import sample_seed


class Solutions(Protocol):
    """Solutions that were sampled elsewhere."""

    @property
    def identity(self) -> str:
        """Content of the file: goes into part keys and the column `sampler`."""
        ...

    def samples_of(self, question: str) -> list[str]:
        """The solutions of this question, in the file's order."""
        ...


def samples(problems: pl.DataFrame, context: Context) -> Outcome:
    """Completions `first` to `last` - 1 (slice_args) of every problem; each problem ends in rows or in rejects."""
    config: SamplesConfig = context.config
    template = load_template(config.prompt.template)
    if isinstance(config.engine, GivenSolutions):
        return _given(problems, template, config, context.tools["generator"])
    return _sampled(problems, template, config, context)


def sample_blocks(config: SamplesConfig) -> Iterator[dict[str, Any]]:
    """Blocks of sample indices, one part each: {"first": 0, "last": 8}, … A file of solutions is one block."""
    if isinstance(config.engine, GivenSolutions):
        yield {}
        return
    for first in range(0, config.samples, config.samples_per_part):
        yield {"first": first, "last": min(first + config.samples_per_part, config.samples)}


def samples_key(config: SamplesConfig) -> dict[str, Any]:
    """What of the config decides a sample: neither their number (a block names its own) nor the engine (its identity counts).

    The prompt counts by the content of its template, so mending a template file in place asks for new samples.
    """
    prompt = load_template(config.prompt.template).key(config.prompt.chat)
    if isinstance(config.engine, GivenSolutions):
        return {"prompt": prompt}
    return {"prompt": prompt, **config.model_dump(include={"temperature", "top_p", "max_tokens", "seed"})}


def sampler_identity(generator: Generator, temperature: float, top_p: float, max_tokens: int, stop: tuple[str, ...]) -> str:
    """Column `sampler`: engine, model and every setting that decides a sample besides prompt and seed."""
    return f"{generator.identity} T={temperature:g} top_p={top_p:g} max_tokens={max_tokens} stop={list(stop)!r}"


def _sampled(problems: pl.DataFrame, template: Template, config: SamplesConfig, context: Context) -> Outcome:
    generator: Generator = context.tools["generator"]
    block = range(context.slice_args["first"], context.slice_args["last"])
    keys: list[tuple[str, int]] = []
    requests: list[Request] = []
    for problem_id, question in problems.select("problem_id", "question").iter_rows():
        prompt = render_prompt(template, question, generator, config.prompt.chat)
        for index in block:
            keys.append((problem_id, index))
            seed = sample_seed(problem_id, index, config.seed)
            requests.append(
                Request(prompt, seed, config.max_tokens, config.temperature, config.top_p, template.stop),
            )
    sampler = sampler_identity(generator, config.temperature, config.top_p, config.max_tokens, template.stop)
    rows: list[dict[str, Any]] = []
    failed: list[tuple[str, str, str | None]] = []
    for (problem_id, index), request, result in zip(keys, requests, generator.generate(requests, context.tick), strict=True):
        if isinstance(result, Completion):
            rows.append(_row(problem_id, index, request, result, sampler))
        else:
            failed.append((f"{problem_id}/{index}", result.reason, result.detail or None))
    served = {row["problem_id"] for row in rows}
    # Each block has its own reason: a problem may fail in several, and a reject is known by stage, table, key and reason.
    reason = f"none of the samples {block.start} to {block.stop - 1} could be drawn"
    lost = [(problem_id, reason, None) for problem_id in problems["problem_id"] if problem_id not in served]
    dropped = pl.concat([rejects("samples", "samples", failed), rejects("samples", "problems", lost)])
    return Outcome(TABLES["samples"].frame(rows), dropped)


def _row(problem_id: str, index: int, request: Request, completion: Completion, sampler: str) -> dict[str, Any]:
    return {
        "problem_id": problem_id,
        "sample_index": index,
        "seed": request.seed,
        "prompt": request.prompt,
        "text": completion.text,
        "token_ids": completion.token_ids,
        "finish_reason": completion.finish_reason,
        "prompt_tokens": completion.prompt_tokens,
        "tokens": completion.tokens,
        "sampler": sampler,
    }


def _given(problems: pl.DataFrame, template: Template, config: SamplesConfig, solutions: Solutions) -> Outcome:
    """Rows from the user's file: finish_reason `given`, seed 0, no tokens, and a plain prompt, since there is no tokenizer."""
    if (config.prompt.chat or template.chat) == "always":
        raise InputError(
            'the prompt asks for a chat template (chat = "always"), and given solutions come without a tokenizer',
            where="samples.prompt.chat",
            next_step='set chat = "never"',
        )
    rows: list[dict[str, Any]] = []
    missing: list[tuple[str, str, str | None]] = []
    for problem_id, question in problems.select("problem_id", "question").iter_rows():
        texts = solutions.samples_of(question)
        if not texts:
            missing.append((problem_id, "no solution in the file", None))
        prompt = plain_prompt(template.system, template.fill(question))
        rows.extend(
            {
                "problem_id": problem_id,
                "sample_index": index,
                "seed": 0,
                "prompt": prompt,
                "text": text,
                "finish_reason": "given",
                "sampler": solutions.identity,
            }
            for index, text in enumerate(texts)
        )
    return Outcome(TABLES["samples"].frame(rows), rejects("samples", "problems", missing))
