"""rollouts: completions of the prefixes of sampled solutions, as many as the policy of the labels asks for.

    outcome = rollouts(steps, solutions, samples, problems, Context(config, {"rollout_generator": generator, "grader": grader}))

Rounds: the policy (`fullstep_data.probing`) says which rollouts it needs next, of all problems of the part; the engine draws them
in one call; the grader grades them. A prefix is continued from the very ids that were sampled, so a rollout is one more sample of
that solution's sampler. Where there are no ids (solutions from a file, or another engine) the engine reads the prefix as text.

Seeds are hashes of problem, prefix and index: a restart, more rollouts per step, or another policy draw the same rollouts again.
Those that earlier versions have are taken from there (the tool `known_rollouts`) and graded anew; they count against a budget,
so the outcome is that of a build from nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FolderPath
from typing import Any, Protocol

import polars as pl

from fullstep_data.config import RolloutsConfig, TokenBudget
from fullstep_data.engines.protocol import Completion, Failure, Generator, Request
from fullstep_data.probing import Ask, Path, Plan, Prober, Result, affordable
from fullstep_data.prompts import Template, load_template, render_prompt
from fullstep_data.samples import sampler_identity
from fullstep_data.solutions import grade
from fullstep_data.stage import Context, Outcome, Tick, rejects
from fullstep_data.store import Store, StoredFile
from fullstep_data.store.parquet import decode
from fullstep_data.store.storage import shown, storage_of
from schemas import TABLES
from schemas.ids import rollout_seed

Key = tuple[str, int]
"""Prefix and rollout index."""


def rollouts(
    steps: pl.DataFrame, solutions: pl.DataFrame, samples: pl.DataFrame, problems: pl.DataFrame, context: Context
) -> Outcome:
    """Rows of `rollouts`; a request that the engine could not serve is a reject. Prefixes that need none have no row."""
    config: RolloutsConfig = context.config
    template = load_template(config.prompt.template)
    work = _Work(_sources(steps, solutions, samples, problems), template, config, context)
    prober = Prober(solution_paths(steps, solutions)[1], plan_of(config))
    left = None if config.labels.budget is None else config.labels.budget.per_problem * problems.height
    whole = prober.owed()
    while asks := _chosen(prober, work, left):
        drawn = sum(len(ask.indices) for ask in asks)
        told, spent = work.draw(asks, _of_part(1 - prober.owed() / whole, drawn / whole, work))
        prober.tell(told)
        left = None if left is None else left - spent
    return Outcome(TABLES["rollouts"].frame(work.rows), rejects("rollouts", "rollouts", work.failed))


def rollouts_key(config: RolloutsConfig) -> dict[str, Any]:
    """What of the config decides the rollouts. The engine counts by its identity, the prompt by its content."""
    prompt = load_template(config.prompt.template).key(config.prompt.chat)
    labels = {**config.labels.model_dump(exclude={"engine", "kind"}), "on_policy": config.labels.engine is None}
    return {"labels": labels, "prompt": prompt, **config.model_dump(include={"temperature", "top_p", "max_tokens"})}


def plan_of(config: RolloutsConfig) -> Plan:
    """The policy of a recipe's labels."""
    labels = config.labels
    return Plan(labels.n, labels.policy, labels.pooled, on_policy=labels.engine is None)


def solution_paths(steps: pl.DataFrame, solutions: pl.DataFrame) -> tuple[list[str], list[Path]]:
    """Ids of solutions and, for each, its path; in order of problem and sample."""
    verdicts = solutions.select("solution_id", "sample_index", "correct")
    grouped = (
        steps.join(verdicts, on="solution_id", how="inner")
        .sort("problem_id", "sample_index", "solution_id", "step_index")
        .group_by("solution_id", maintain_order=True)
        .agg(pl.first("problem_id"), "prefix_key", pl.first("correct"))
    )
    paths = [Path(problem, tuple(keys), correct) for _, problem, keys, correct in grouped.iter_rows()]
    return grouped["solution_id"].to_list(), paths


class KnownRollouts(Protocol):
    """Rollouts of before."""

    def of(self, problem_ids: Sequence[str]) -> pl.DataFrame:
        """Rows of `rollouts` of these problems, of whatever sampler and solutions."""
        ...


@dataclass(frozen=True)
class KnownTool:
    """The tool `known_rollouts`: those that the dataset in a folder has. It decides nothing, so its identity is always one."""

    store: FolderPath | None

    def identity(self, models: Mapping[str, FolderPath]) -> str:
        return ""

    def open(self, models: Mapping[str, FolderPath]) -> "Known":
        return Known(rolled_before(Store(self.store)) if self.store else ())


def rolled_before(store: Store) -> tuple[StoredFile, ...]:
    """The rollouts of all versions, in the columns of today: they need not be drawn again. Those of later versions come last."""
    versions = [store.version(number) for number in store.numbers()]
    current = [one for one in versions if "rollouts" in one.manifest.tables and "rollouts" not in one.outdated]
    files = {file.path: file for version in current for file in version.table("rollouts").stored}
    return tuple(file for file in files.values() if storage_of(file.path).size(file.path) is not None)


class Known:
    """The rollouts in some files. Only the files that hold a problem are read for it, and verified."""

    def __init__(self, files: Sequence[StoredFile]) -> None:
        self._files = files
        self._places: dict[str, set[int]] = {}
        for place, file in enumerate(files):
            file.fetch()
            try:
                problems = pl.read_parquet(file.path, columns=["problem_id"])["problem_id"].unique()
            except (pl.exceptions.PolarsError, OSError):
                file.content()  # tells what is wrong with it
                raise
            for problem in problems:
                self._places.setdefault(problem, set()).add(place)

    def of(self, problem_ids: Sequence[str]) -> pl.DataFrame:
        """See `KnownRollouts.of`. InputError: a file was altered."""
        table = TABLES["rollouts"]
        places = sorted({place for problem in problem_ids for place in self._places.get(problem, ())})
        frames = [decode(table, self._files[place].content(), where=shown(self._files[place].path)) for place in places]
        rows = pl.concat(frames) if frames else table.empty()
        return rows.filter(pl.col("problem_id").is_in(list(problem_ids)))


@dataclass(frozen=True)
class _Source:
    """A solution that may be continued. stops: end of each step in characters."""

    solution_id: str
    problem_id: str
    question: str
    gold: str
    prompt: str
    text: str
    token_ids: tuple[int, ...] | None
    stops: tuple[int, ...]


def _sources(steps: pl.DataFrame, solutions: pl.DataFrame, samples: pl.DataFrame, problems: pl.DataFrame) -> list[_Source]:
    """The solutions in the order of `solution_paths`."""
    ids, _ = solution_paths(steps, solutions)
    stops = dict(steps.sort("step_index").group_by("solution_id", maintain_order=True).agg("stop").iter_rows())
    tokens = samples.select("problem_id", "sample_index", "token_ids")
    known = {
        row["solution_id"]: row
        for row in solutions.join(tokens, on=["problem_id", "sample_index"], how="left")
        .join(problems.select("problem_id", "question", pl.col("answer").alias("gold")), on="problem_id")
        .iter_rows(named=True)
    }
    return [
        _Source(
            solution_id,
            row["problem_id"],
            row["question"],
            row["gold"],
            row["prompt"],
            row["text"],
            None if row["token_ids"] is None else tuple(row["token_ids"]),
            tuple(stops[solution_id]),
        )
        for solution_id in ids
        for row in (known[solution_id],)
    ]


@dataclass(frozen=True)
class _Prefix:
    """What an engine reads. held: characters of the solution that it then has read. limit: tokens that may follow."""

    prompt: str
    ids: tuple[int, ...]
    held: int
    limit: int


@dataclass
class _Work:
    """The engine's and grader's side of the stage: requests out of asks, rows out of completions."""

    sources: Sequence[_Source]
    template: Template
    config: RolloutsConfig
    context: Context
    rows: list[dict[str, Any]] = field(default_factory=list)
    failed: list[tuple[str, str, str | None]] = field(default_factory=list)
    prefixes: dict[str, _Prefix] = field(default_factory=dict)
    shown: int = 0
    known: dict[Key, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (remembered := self.context.tools.get("known_rollouts")) is not None:
            rows = remembered.of(list(dict.fromkeys(source.problem_id for source in self.sources)))
            self.known = {(row["prefix_key"], row["rollout_index"]): row for row in rows.iter_rows(named=True)}

    @property
    def generator(self) -> Generator:
        return self.context.tools["rollout_generator"]

    def cost(self, ask: Ask) -> int:
        """What one rollout may take of the budget."""
        return max(1, self._prefix(ask).limit) if isinstance(self.config.labels.budget, TokenBudget) else 1

    def draw(self, asks: Sequence[Ask], tick: Tick) -> tuple[dict[Key, Result], int]:
        """Draw what is not known, and grade; the outcomes, and how much of the budget they took."""
        places = [(ask, index) for ask in asks for index in ask.indices]
        texts: dict[Key, str] = {}  # whole solutions, to be graded
        rows: dict[Key, dict[str, Any]] = {}
        for ask, index in places:
            if (row := self._recalled(ask, index)) is not None:
                source, key = self.sources[ask.path], (ask.prefix, index)
                rows[key], texts[key] = row, source.text[: source.stops[ask.step]] + row["text"]
        missing = [(ask, index) for ask, index in places if (ask.prefix, index) not in rows]
        results = self._completions([self._request(ask, index) for ask, index in missing], tick)
        for (ask, index), result in zip(missing, results, strict=True):
            if isinstance(result, Failure):
                self.failed.append((f"{ask.prefix}/{index}", result.reason, result.detail or None))
                continue
            key = (ask.prefix, index)
            rows[key], texts[key] = self._row(ask, index, result), self._whole(ask, result)
        told: dict[Key, Result] = {(ask.prefix, index): None for ask, index in places}
        golds = {ask.prefix: self._gold(ask) for ask in asks}
        grades = grade([(text, golds[key[0]]) for key, text in texts.items()], self.context.tools["grader"])
        for key, verdict in zip(texts, grades, strict=True):
            self.rows.append(rows[key] | verdict)
            told[key] = self.rows[-1]["correct"]
        if isinstance(self.config.labels.budget, TokenBudget):
            return told, sum(row["tokens"] or 0 for row in rows.values())
        return told, len(places)

    def _recalled(self, ask: Ask, index: int) -> dict[str, Any] | None:
        """The row of before, where the same sampler went on from the same ids of the same solution with the same seed."""
        row = self.known.get((ask.prefix, index))
        if row is None:
            return None
        same = self._came_of(ask, index)
        return row if all(row[name] == value for name, value in same.items()) else None

    def _completions(self, requests: Sequence[Request], tick: Tick) -> list[Completion | Failure]:
        """A prefix that leaves no token to sample is complete as it is: cut, as the solution was."""
        open_requests = [request for request in requests if request.max_tokens > 0]
        drawn = iter(self.generator.generate(open_requests, tick))
        return [next(drawn) if request.max_tokens > 0 else Completion("", (), "length", 0) for request in requests]

    def _request(self, ask: Ask, index: int) -> Request:
        prefix, config = self._prefix(ask), self.config
        seed = rollout_seed(self.sources[ask.path].problem_id, ask.prefix, index, config.labels.seed)
        return Request(prefix.prompt, seed, prefix.limit, config.temperature, config.top_p, self.template.stop, prefix.ids)

    def _prefix(self, ask: Ask) -> _Prefix:
        if ask.prefix not in self.prefixes:
            self.prefixes[ask.prefix] = self._cut(self.sources[ask.path], ask.step)
        return self.prefixes[ask.prefix]

    def _cut(self, source: _Source, step: int) -> _Prefix:
        stop, config = source.stops[step], self.config
        if config.labels.engine is not None:
            prompt = render_prompt(self.template, source.question, self.generator, config.prompt.chat)
            return _Prefix(prompt + source.text[:stop], (), stop, config.max_tokens)
        if source.token_ids is None:
            return _Prefix(source.prompt + source.text[:stop], (), stop, config.max_tokens)
        ((count, held),) = self.generator.cut(source.text, source.token_ids, [stop])
        return _Prefix(source.prompt, source.token_ids[:count], held, config.max_tokens - count)

    def _gold(self, ask: Ask) -> str:
        return self.sources[ask.path].gold

    def _whole(self, ask: Ask, completion: Completion) -> str:
        return self.sources[ask.path].text[: self._prefix(ask).held] + completion.text

    def _came_of(self, ask: Ask, index: int) -> dict[str, Any]:
        """What decides a rollout."""
        source, prefix, config = self.sources[ask.path], self._prefix(ask), self.config
        return {
            "problem_id": source.problem_id,
            "solution_id": source.solution_id,
            "step_index": ask.step,
            "seed": rollout_seed(source.problem_id, ask.prefix, index, config.labels.seed),
            "prefix_tokens": len(prefix.ids) if prefix.ids else None,
            "sampler": sampler_identity(self.generator, config.temperature, config.top_p, config.max_tokens, self.template.stop),
        }

    def _row(self, ask: Ask, index: int, completion: Completion) -> dict[str, Any]:
        return {
            "prefix_key": ask.prefix,
            "rollout_index": index,
            **self._came_of(ask, index),
            "text": self._whole(ask, completion)[self.sources[ask.path].stops[ask.step] :],
            "finish_reason": completion.finish_reason,
            "tokens": completion.tokens,
        }


def _chosen(prober: Prober, work: _Work, left: int | None) -> list[Ask]:
    """The next round, as far as the budget goes."""
    asks = prober.asks()
    if left is None:
        return asks
    return affordable(asks, left, {ask.prefix: work.cost(ask) for ask in asks}, whole=prober.plan.policy == "full")


def _of_part(behind: float, share: float, work: _Work) -> Tick:
    """The tick of one round as progress of the part, in rollouts that the part may need at most: those that are not needed any
    more are behind, and share are those of this round. The bar never goes back.
    """

    def of_part(done: int, total: int, note: str = "") -> None:
        work.shown = max(work.shown, round(1000 * (behind + share * done / max(total, 1))))
        work.context.tick(work.shown, 1000, note)

    return of_part
