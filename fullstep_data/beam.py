"""Step-wise Beam Search: a PRM chooses among next steps while the solution is being written (arXiv 2502.14356, section 4).

    tools = {"generator": generator, "scorer": scorer, "grader": grader}
    outcome = beam_predictions(problems, Context(config, tools, {"model": "m", "rule": "beam@4x4"}))

beam@WxB keeps W unfinished or finished texts per problem. Each round samples B next steps of every unfinished one (W * B first
steps to begin with), the PRM scores each text so far with its new step, and the W best different texts go on. The search ends
when all kept texts are finished; the best of them that states an answer is the answer. All problems of a part go through a round
together: one call of the engine, one of the PRM, in which texts of one problem share their prompt.

A text scores as its worst step does, unless the rule names another score: by the last step alone, a text with a mistake in it is
as good as any once the steps after it follow from the mistake.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from fullstep_data.config import BeamConfig, StepsConfig
from fullstep_data.decoding import Beam, aggregate, parse
from fullstep_data.engines.protocol import Completion, Failure, FinishReason, Generator, Request
from fullstep_data.grading import extract
from fullstep_data.prompts import Template, load_template, render_prompt
from fullstep_data.samples import sampler_identity
from fullstep_data.solutions import grade
from fullstep_data.stage import Context, Outcome, rejects
from fullstep_data.step_scores import text_rewards
from fullstep_data.steps import split
from schemas import TABLES, InputError
from schemas.ids import sample_seed

STEP_ENDS = {"step-label": "\nStep ", "newline": "\n", "blank-line": "\n\n"}
"""What ends a step for the engine. Where a text really has its steps, `steps.split` says."""
SEPARATORS = {"step-label": "\n", "newline": "\n", "blank-line": "\n\n"}
"""What of it belongs to the step that it ends."""


@dataclass(frozen=True)
class Partial:
    """A text so far. ids: the sampled ids from which it goes on, which hold it and `ahead`, what was sampled of its next step;
    None where they end elsewhere (a token across the border): the engine then reads the text. tokens: sampled for it along its
    path. finish: how it ended, None while it may go on. rewards: [K] of its steps, None where the PRM cannot take it.
    """

    text: str = ""
    ids: tuple[int, ...] | None = ()
    ahead: str = ""
    tokens: int = 0
    seed: int = 0
    finish: FinishReason | None = None
    rewards: tuple[float, ...] | None = None

    def score(self, rule: Beam) -> float:
        return aggregate(self.rewards, rule.aggregate) if self.rewards else -1.0


@dataclass
class Search:
    """The search of one problem. draws, sampled: steps and tokens sampled so far. failure: why nothing could be sampled."""

    problem: tuple[str, str, str, str]
    prompt: str
    kept: list[Partial] = field(default_factory=lambda: [Partial()])
    draws: int = 0
    sampled: int = 0
    failure: Failure | None = None

    @property
    def open(self) -> list[Partial]:
        return [one for one in self.kept if one.finish is None] if self.failure is None else []


def beam_predictions(problems: pl.DataFrame, context: Context) -> Outcome:
    """One answer per problem; a problem that the engine cannot begin is a reject.

    slice_args: model (its name in the column `model`) and rule (the name of a Beam).
    """
    config: BeamConfig = context.config
    rule = _beam(context.slice_args["rule"])
    require_separator(config.steps)
    generator: Generator = context.tools["generator"]
    template = load_template(config.prompt.template)
    searches = [
        Search(problem, render_prompt(template, problem[2], generator, config.prompt.chat))
        for problem in problems.select("problem_id", "source", "question", "answer").iter_rows()
    ]
    while going := [search for search in searches if search.open]:
        context.tick(sum(_progress(search, config) for search in searches), len(searches) * config.max_tokens)
        _round(going, rule, template, config, context)
    found = [search for search in searches if search.failure is None]
    failed = [(one.problem[0], one.failure.reason, one.failure.detail or None) for one in searches if one.failure]
    best = [max(search.kept, key=lambda one: (extract(one.text)[0] is not None, one.score(rule))) for search in found]
    golds = [search.problem[3] for search in found]
    grades = grade([(one.text, gold) for one, gold in zip(best, golds, strict=True)], context.tools["grader"])
    sampler = sampler_identity(generator, config.temperature, config.top_p, config.max_tokens, template.stop)
    rows = [
        _row(search, one, rule) | {"model": context.slice_args["model"], "sampler": sampler} | verdict
        for search, one, verdict in zip(found, best, grades, strict=True)
    ]
    return Outcome(TABLES["predictions"].frame(rows), rejects("predictions", "problems", failed))


def _beam(name: str) -> Beam:
    (rule,) = parse(name)
    if not isinstance(rule, Beam):
        raise ValueError(f"{name} is no search")
    return rule


def require_separator(steps: StepsConfig) -> None:
    """InputError for a splitter whose steps end at nothing that an engine could stop at."""
    if steps.splitter not in STEP_ENDS:
        raise InputError(
            f"Beam Search cannot sample single steps where they are found by the splitter {steps.splitter}",
            where="--splitter",
            next_step=f"take one of {', '.join(STEP_ENDS)}",
        )


def _round(searches: Sequence[Search], rule: Beam, template: Template, config: BeamConfig, context: Context) -> None:
    """One more step for every unfinished text."""
    places: list[tuple[Search, Partial]] = []
    requests: list[Request] = []
    for search in searches:
        branches = rule.branches if search.draws else rule.branches * rule.width
        for one in search.open:
            for _ in range(branches):
                places.append((search, one))
                requests.append(_request(search, one, config))
    grown: dict[int, list[Partial]] = {id(search): [] for search in searches}
    results = context.tools["generator"].generate(requests)
    for (search, one), request, result in zip(places, requests, results, strict=True):
        if isinstance(result, Completion):
            search.sampled += _tokens(result)
            made = _grown(one, request, result, template, config)
            grown[id(search)].append(_exact(one, made, result, config, context.tools["generator"]))
        elif not one.text:
            search.failure = result
        else:  # the context is full
            grown[id(search)].append(replace(one, finish="length"))
    going = [search for search in searches if search.failure is None]
    candidates = [_distinct(grown[id(search)]) for search in going]
    groups = [
        [(search.prompt, one.text, one.finish in ("eos", "stop")) for one in texts]
        for search, texts in zip(going, candidates, strict=True)
    ]
    for search, texts, rewards in zip(
        going, candidates, text_rewards(groups, config.steps, context.tools["scorer"]), strict=True
    ):
        scored = [
            replace(one, rewards=None if isinstance(found, str) else tuple(found))
            for one, found in zip(texts, rewards, strict=True)
        ]
        finished = [one for one in search.kept if one.finish is not None]
        ranked = sorted(_distinct([*finished, *scored]), key=lambda one: -one.score(rule))
        search.kept = ranked[: rule.width]


def _request(search: Search, one: Partial, config: BeamConfig) -> Request:
    seed = sample_seed(search.problem[0], search.draws, config.seed)
    search.draws += 1
    return Request(
        search.prompt + (one.text if one.ids is None else ""),
        seed,
        prefix=one.ids or (),
        max_tokens=config.max_tokens - one.tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        stop=(STEP_ENDS[config.steps.splitter],),
    )


def _tokens(result: Completion) -> int:
    if result.tokens is None:
        raise InputError(
            "Beam Search counts tokens, and the server does not say which it sampled",
            where="--engine",
            next_step="take a server that returns token ids (vLLM, SGLang), or another decoding rule",
        )
    return result.tokens


def _grown(one: Partial, request: Request, result: Completion, template: Template, config: BeamConfig) -> Partial:
    """The text with its next step. The strings that end a solution are looked for here: an engine does not say at which stop
    string it stopped.
    """
    tokens = one.tokens + _tokens(result)
    stop = min((at for end in template.stop if (at := result.text.find(end)) >= 0), default=None)
    if stop is not None:
        return Partial(one.text + one.ahead + result.text[:stop], None, "", tokens, request.seed, "stop")
    text = one.text + one.ahead + result.text
    if result.finish_reason == "stop":
        if not result.text.strip():  # nothing was added: asked again, it would go on so for ever
            return Partial(one.text.rstrip(), None, "", tokens, request.seed, "stop")
        text += SEPARATORS[config.steps.splitter]
    ends = [end for _, end in split(text, config.steps) if end > len(one.text)]
    if len(ends) > 1:  # more than one step, begun in a way that the engine does not stop at
        return Partial(text[: ends[0]], None, "", tokens, request.seed, _exhausted(tokens, config))
    finish = result.finish_reason if result.finish_reason != "stop" else _exhausted(tokens, config)
    return Partial(text, None, "", tokens, request.seed, finish)


def _exact(before: Partial, made: Partial, result: Completion, config: BeamConfig, generator: Generator) -> Partial:
    """A text that stopped at the end of a step, with the ids that hold all of it and the stop string; others as they are."""
    if before.ids is None or result.token_ids is None or result.finish_reason != "stop" or made.finish is not None:
        return made
    ids = (*before.ids, *result.token_ids, *result.beyond)
    separator, stop = SEPARATORS[config.steps.splitter], STEP_ENDS[config.steps.splitter]
    whole = before.text + before.ahead + result.text + stop
    ((count, characters),) = generator.cut(whole, ids, [len(whole)])
    if characters != len(whole) or not whole.startswith(made.text) or not made.text.endswith(separator):
        return made
    return replace(made, ids=ids[:count], ahead=whole[len(made.text) :])


def _exhausted(tokens: int, config: BeamConfig) -> FinishReason | None:
    return "length" if tokens >= config.max_tokens else None


def _distinct(texts: Sequence[Partial]) -> list[Partial]:
    """Each text once: equal ones would crowd out the others."""
    found: dict[tuple[str, str | None], Partial] = {}
    for one in texts:
        found.setdefault((one.text, one.finish), one)
    return list(found.values())


def _progress(search: Search, config: BeamConfig) -> int:
    return min((one.tokens for one in search.open), default=config.max_tokens)


def _row(search: Search, best: Partial, rule: Beam) -> dict[str, Any]:
    problem_id, source, question, gold = search.problem
    return {
        "problem_id": problem_id,
        "source": source,
        "question": question,
        "gold": gold,
        "decoding": rule.name,
        "sample_index": 0,
        "seed": best.seed,
        "text": best.text,
        "finish_reason": best.finish,
        "tokens": best.tokens,
        "n_samples": search.draws,
        "sampled_tokens": search.sampled,
        "score": best.score(rule) if best.rewards else None,
        "lowest_reward": min(best.rewards) if best.rewards else None,
    }
