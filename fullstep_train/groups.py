"""Groups: one problem's distinct tokenised solutions and the pairs among them, made from the tables.

    groups, dropped = preference_groups(pairs, solutions, steps, step_scores, tokenizer, max_length=2048)
    groups, dropped = next_step_groups(step_pairs, tokenizer, max_length=2048)
    groups, dropped = labelled_groups(solutions, steps, step_labels, tokenizer, max_length=2048, target="label")
    groups[0].solutions[0].values      # [K] rewards (policy) or targets (PRM) of its steps
    groups[0].pairs                    # [P, 2] places of chosen and rejected among the solutions

Whatever cannot be trained on is in `dropped`: (table, key, reason), for `rejects`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from fullstep_train.tokens import Tokenised, tokenise
from schemas import TABLES, InputError
from schemas.ids import content_id, stable_fraction

Dropped = list[tuple[str, str, str]]
PAIR_LOST_A_SOLUTION = "its chosen or rejected solution was dropped"
PROMPTS_DIFFER = "chosen and rejected have different prompts"
NOTHING_LABELLED = "no step is labelled"


@dataclass(frozen=True)
class Solution:
    """values: [K] one number per step: a reward, or a training target (NaN: left open).

    solution_id: of a next step alone, the solution that it is from.
    """

    solution_id: str
    tokens: Tokenised
    values: np.ndarray

    @property
    def token_hash(self) -> str:
        """Hash of prompt ids and solution ids (column token_hash of reference_logprobs)."""
        return content_id(list(self.tokens.ids[: self.tokens.prompt_tokens]), list(self.tokens.ids[self.tokens.prompt_tokens :]))


@dataclass(frozen=True)
class Group:
    """One problem. pairs: [P, 2] places among the solutions, chosen first; empty for a PRM."""

    problem_id: str
    solutions: tuple[Solution, ...]
    pairs: np.ndarray

    @property
    def labelled_steps(self) -> int:
        """Steps that have a target."""
        return int(sum(np.isfinite(solution.values).sum() for solution in self.solutions))

    @property
    def chosen_tokens(self) -> int:
        """Tokens of the solutions that are chosen in some pair."""
        return sum(len(self.solutions[place].tokens.step_of_token) for place in np.unique(self.pairs[:, 0]))


def preference_groups(
    pairs: pl.DataFrame,
    solutions: pl.DataFrame,
    steps: pl.DataFrame,
    step_scores: pl.DataFrame,
    tokenizer: Any,
    max_length: int,
) -> tuple[list[Group], Dropped]:
    """One group per problem and prompt, ordered by problem.

    InputError: a solution without scores, a reward that is NaN.
    """
    if pairs.is_empty():
        return [], []
    used = pl.concat([pairs["chosen_id"], pairs["rejected_id"]]).unique()
    rewards = _rewards(pairs, step_scores)
    rows = _solution_rows(solutions.filter(pl.col("solution_id").is_in(used.implode())), steps)
    _need_rows(used, rows)
    made, dropped = _tokenised(rows, rewards, tokenizer, max_length)
    prompts = {row["solution_id"]: row["prompt"] for row in rows}
    members: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for pair_id, problem_id, chosen, rejected in (
        pairs.sort("problem_id", "pair_id").select("pair_id", "problem_id", "chosen_id", "rejected_id").iter_rows()
    ):
        if chosen not in made or rejected not in made:
            dropped.append(("pairs", pair_id, PAIR_LOST_A_SOLUTION))
        elif prompts[chosen] != prompts[rejected]:
            dropped.append(("pairs", pair_id, PROMPTS_DIFFER))
        else:
            members.setdefault((problem_id, prompts[chosen]), []).append((chosen, rejected))
    groups = []
    for (problem_id, _), chosen_rejected in sorted(members.items()):
        ids = list(dict.fromkeys(solution_id for pair in chosen_rejected for solution_id in pair))
        places = np.array([[ids.index(chosen), ids.index(rejected)] for chosen, rejected in chosen_rejected])
        groups.append(Group(problem_id, tuple(made[solution_id] for solution_id in ids), places))
    return groups, dropped


def next_step_groups(step_pairs: pl.DataFrame, tokenizer: Any, max_length: int) -> tuple[list[Group], Dropped]:
    """One group per problem and prompt, ordered by problem, whose solutions are single steps.

    The steps before are context: they stand with the prompt, and nothing is learnt of them. A step that several pairs name is
    there once, with the value 0 (one step has one weight, whatever its reward).
    """
    members: dict[tuple[str, str], list[tuple[Solution, Solution]]] = {}
    dropped: Dropped = []
    for row in step_pairs.sort("problem_id", "step_pair_id").iter_rows(named=True):
        chosen, rejected = (_next_step(row, side, tokenizer, max_length) for side in ("chosen", "rejected"))
        if isinstance(chosen, str) or isinstance(rejected, str):
            dropped.append(("step_pairs", row["step_pair_id"], chosen if isinstance(chosen, str) else str(rejected)))
        else:
            members.setdefault((row["problem_id"], row["prompt"]), []).append((chosen, rejected))
    groups: list[Group] = []
    for (problem_id, _), both in sorted(members.items(), key=lambda item: item[0]):
        distinct = {solution.token_hash: solution for pair in both for solution in pair}
        place = {token_hash: number for number, token_hash in enumerate(distinct)}
        pairs = np.array([[place[chosen.token_hash], place[rejected.token_hash]] for chosen, rejected in both])
        groups.append(Group(problem_id, tuple(distinct.values()), pairs))
    return groups, dropped


def labelled_groups(
    solutions: pl.DataFrame,
    steps: pl.DataFrame,
    step_labels: pl.DataFrame,
    tokenizer: Any,
    max_length: int,
    target: str,
) -> tuple[list[Group], Dropped]:
    """One group per problem and prompt with its labelled solutions, no pairs.

    target: the column of step_labels that is learnt.
    """
    if step_labels["labeller"].n_unique() > 1:
        raise InputError(
            what="step_labels holds the labels of several labellers",
            where="step_labels.labeller",
            count=step_labels["labeller"].n_unique(),
            examples=step_labels["labeller"].unique().sort().to_list(),
            next_step="keep one labeller",
        )
    targets = step_values(step_labels, target)
    rows = _solution_rows(solutions, steps)
    unlabelled = [row["solution_id"] for row in rows if not np.isfinite(targets.get(row["solution_id"], np.nan)).any()]
    dropped: Dropped = [("solutions", solution_id, NOTHING_LABELLED) for solution_id in unlabelled]
    rows = [row for row in rows if row["solution_id"] not in set(unlabelled)]
    made, refused = _tokenised(rows, targets, tokenizer, max_length)
    members: dict[tuple[str, str], list[Solution]] = {}
    for row in rows:
        if row["solution_id"] in made:
            members.setdefault((row["problem_id"], row["prompt"]), []).append(made[row["solution_id"]])
    none = np.empty((0, 2), dtype=np.int64)
    return [Group(key[0], tuple(group), none) for key, group in sorted(members.items())], dropped + refused


def _next_step(row: Mapping[str, Any], side: str, tokenizer: Any, max_length: int) -> Solution | str:
    """A step of a row of step_pairs as a solution of one step, after prompt and prefix; or why it cannot be used."""
    step = row[side]
    context = row["prompt"] + row["prefix"]
    tokens = tokenise(tokenizer, context, step, [len(step)], finished=row[f"{side}_finished"], max_length=max_length)
    return tokens if isinstance(tokens, str) else Solution(row[f"{side}_id"], tokens, np.zeros(1))


def step_values(table: pl.DataFrame, column: str) -> dict[str, np.ndarray]:
    """[K] a number per step of each solution, null as NaN, from a table keyed by solution_id and step_index."""
    frame = table.sort("solution_id", "step_index").group_by("solution_id", maintain_order=True)
    numbers = frame.agg(pl.col(column).cast(pl.Float64))
    return {solution_id: np.array(values, dtype=np.float64) for solution_id, values in numbers.iter_rows()}


def reject_rows(stage: str, dropped: Dropped) -> pl.DataFrame:
    """The table `rejects` of what was dropped."""
    return TABLES["rejects"].frame(
        [{"stage": stage, "table": table, "key": key, "reason": reason} for table, key, reason in sorted(dropped)]
    )


def _rewards(pairs: pl.DataFrame, step_scores: pl.DataFrame) -> dict[str, np.ndarray]:
    """[K] rewards of each solution of the pairs, by the scorer that the pairs name."""
    scorers = pairs["scorer"].unique().sort().to_list()
    if len(scorers) > 1:
        raise InputError(
            what="the pairs were selected by several scorers, and a step has one reward",
            where="pairs.scorer",
            count=len(scorers),
            examples=scorers,
            next_step="keep the pairs of one scorer",
        )
    used = pl.concat([pairs["chosen_id"], pairs["rejected_id"]]).unique().sort()
    scores = step_scores.filter((pl.col("scorer") == scorers[0]) & pl.col("solution_id").is_in(used.implode()))
    missing = used.filter(~used.is_in(scores["solution_id"].implode()))
    if len(missing):
        raise InputError(
            what=f"pairs without step scores of their scorer {scorers[0]}",
            where="step_scores",
            count=len(missing),
            examples=missing.to_list(),
            next_step="run the stage step_scores for these solutions, or leave their pairs out",
        )
    wrong = scores.filter(pl.col("reward").is_null() | ~pl.col("reward").is_finite())
    if wrong.height:
        raise InputError(
            what="a step reward is not a number",
            where="step_scores.reward",
            count=wrong.height,
            examples=[f"solution {row[0]} step {row[1]}" for row in wrong.select("solution_id", "step_index").iter_rows()],
            next_step="score these solutions again; a PRM that gives NaN was trained with too high a learning rate",
        )
    return step_values(scores, "reward")


def _need_rows(used: pl.Series, rows: Sequence[Mapping[str, Any]]) -> None:
    missing = sorted(set(used.to_list()) - {row["solution_id"] for row in rows})
    if missing:
        raise InputError(
            what="pairs name solutions that have no row (or no steps)",
            where="solutions, steps",
            count=len(missing),
            examples=missing,
            next_step="take pairs, solutions and steps from one version of one data set",
        )


def _solution_rows(solutions: pl.DataFrame, steps: pl.DataFrame) -> list[dict[str, Any]]:
    """Solutions that have steps, with `stops` [K], ordered by problem and sample."""
    stops = (
        steps.sort("solution_id", "step_index").group_by("solution_id", maintain_order=True).agg(pl.col("stop").alias("stops"))
    )
    columns = ("solution_id", "problem_id", "prompt", "text", "finish_reason", "sample_index")
    joined = solutions.select(columns).join(stops, on="solution_id", how="inner")
    return joined.sort("problem_id", "sample_index", "solution_id").to_dicts()


def _tokenised(
    rows: Sequence[Mapping[str, Any]], values: Mapping[str, np.ndarray], tokenizer: Any, max_length: int
) -> tuple[dict[str, Solution], Dropped]:
    made: dict[str, Solution] = {}
    dropped: Dropped = []
    for row, tokens in zip(rows, _tokens(rows, tokenizer, max_length), strict=True):
        solution_id = row["solution_id"]
        if isinstance(tokens, str):
            dropped.append(("solutions", solution_id, tokens))
            continue
        if len(values[solution_id]) != len(row["stops"]):
            raise InputError(
                what="a solution has not one value per step",
                where="step_scores or step_labels",
                examples=[f"solution {solution_id}: {len(row['stops'])} steps, {len(values[solution_id])} values"],
                next_step="take steps and their scores or labels from one version of one data set",
            )
        made[solution_id] = Solution(solution_id, tokens, values[solution_id])
    return made, dropped


def _tokens(rows: Sequence[Mapping[str, Any]], tokenizer: Any, max_length: int) -> Iterator[Tokenised | str]:
    for row in rows:
        finished = row["finish_reason"] != "length"
        yield tokenise(tokenizer, row["prompt"], row["text"], row["stops"], finished=finished, max_length=max_length)


def passes(groups: Sequence[Group], epochs: float, seed: int) -> list[int]:
    """Places of the groups in the order of work: `epochs` passes, each in its own order, fixed by the seed and the
    problems' ids.
    """
    order: list[int] = []
    for epoch in range(math.ceil(epochs)):
        fractions = [stable_fraction("order", seed, epoch, group.problem_id) for group in groups]
        order += sorted(range(len(groups)), key=lambda place: (fractions[place], place))
    return order[: max(1, round(epochs * len(groups)))]
