"""reference_logprobs: log-probabilities under the reference model, which is the policy before its first update.

    reference = load_reference("smollm2-135m-instruct", PolicyTraining())
    rows, dropped = reference.logprobs(SolutionPairs(pairs, solutions, steps, step_scores), known=table)
    by_token_hash = usable(rows, groups)          # [T] float32 for each solution of the groups

They are made once and kept as a table, so that a later run (other weights, beta, learning rate) starts to train at once. What
`known` has for the same tokens under the same reference is taken as it is. Nothing random happens here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from fullstep_train import models
from fullstep_train.config import PolicyTraining
from fullstep_train.forward import Runs, answer_logprobs, no_dropout, probe
from fullstep_train.groups import Group, Solution, reject_rows
from fullstep_train.memory import enough_memory
from fullstep_train.preferences import Preferences, SolutionPairs
from fullstep_train.progress import Tick, no_tick
from fullstep_train.tokens import Tokenised
from schemas import TABLES, InputError

TABLE = TABLES["reference_logprobs"]


def reference_identity(source: Path | str, config: PolicyTraining) -> str:
    """Content of the base model, type of its weights and of the computation: what decides the log-probs of given tokens."""
    weights, computed = stored_types(config)
    stored = "nf4" if models.quantised(config) else _name(weights)
    return f"{models.identity(source)}:{stored}:{_name(computed)}"


def load_causal(source: Path | str, config: PolicyTraining) -> tuple[Any, Runs]:
    """The base model, answering with log-probs, and how it can be run; as the reference and to be trained. source: as
    `models.resolve` gives it.

    What is trained is float32; frozen weights are in the type of the computation.
    """
    weights, computed = stored_types(config)
    model = models.load_causal(source, weights, models.quantised(config))
    no_dropout(model)
    answer_logprobs(model)
    if not models.quantised(config):  # which is where it belongs already
        model = model.to(models.device())
    return model, probe(model, config.max_group_tokens, computed, config.attention)


def longest_of(model_config: Any, config: PolicyTraining) -> int:
    """Most tokens of prompt + solution that are trained on: `max_length`, or the model's context where that is shorter."""
    return min(config.max_length, models.context_length(model_config) or config.max_length)


Compute = Callable[[Sequence[Tokenised]], Sequence[Sequence[float]]]
"""Log-probs of the solution tokens [T] of each text."""


@dataclass(frozen=True)
class Model:
    """The reference model in this process, as a `Compute`."""

    model: Any
    runs: Runs

    def __call__(self, solutions: Sequence[Tokenised]) -> list[list[float]]:
        training = self.model.training
        self.model.eval()
        with torch.no_grad(), enough_memory("while the reference's log-probs were made"):
            logps = self.runs.logprobs(self.model, solutions)
        self.model.train(training)
        return [logp.float().cpu().tolist() for logp in logps]


@dataclass(frozen=True)
class Reference:
    """A reference model. identity: column `reference`, the same whatever computes. longest: prompt + solution in tokens."""

    tokenizer: Any
    identity: str
    longest: int
    compute: Compute

    def logprobs(
        self, preferences: Preferences, known: pl.DataFrame | None = None, tick: Tick = no_tick
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows of reference_logprobs for every solution (or step) that can be trained on; `rejects` of the rest.

        known: rows of the table from before, of whatever reference and solutions. Ticks groups.
        """
        groups, dropped = preferences.groups(self.tokenizer, self.longest)
        found: dict[str, list[float]] = {}
        if known is not None:
            known = known.filter(pl.col("reference") == self.identity)
            found.update(known.select("token_hash", "logprobs").iter_rows())
        rows: dict[str, dict[str, Any]] = {}
        for done, group in enumerate(groups, start=1):
            missing = [solution for solution in group.solutions if solution.token_hash not in found]
            found.update(self._computed(missing))
            for solution in group.solutions:
                rows[solution.token_hash] = {
                    "token_hash": solution.token_hash,
                    "reference": self.identity,
                    "problem_id": group.problem_id,
                    "solution_id": solution.solution_id if isinstance(preferences, SolutionPairs) else None,
                    "logprobs": found[solution.token_hash],
                }
            tick(done, len(groups))
        ordered = sorted(rows.values(), key=lambda row: (row["problem_id"], row["token_hash"]))
        return TABLE.check(TABLE.frame(ordered), where="reference_logprobs"), reject_rows("reference_logprobs", dropped)

    def _computed(self, solutions: Sequence[Solution]) -> dict[str, list[float]]:
        if not solutions:
            return {}
        logps = self.compute([solution.tokens for solution in solutions])
        return {one.token_hash: list(logp) for one, logp in zip(solutions, logps, strict=True)}


def load_reference(base: str, config: PolicyTraining, compute: Compute | None = None) -> Reference:
    """The reference of a policy that is trained from `base` by `config`. InputError: no such model, an unusable tokenizer.

    compute: an engine that has the model loaded; None: it is loaded here.
    """
    source = models.resolve(base)
    tokenizer, identity = models.load_tokenizer(source), reference_identity(source, config)
    if compute is None:
        model, runs = load_causal(source, config)
        compute = Model(model, runs)
    return Reference(tokenizer, identity, longest_of(models.load_config(source), config), compute)


def usable(table: pl.DataFrame, groups: Sequence[Group], identity: str) -> dict[str, Tensor]:
    """[T] log pi_ref of each solution of the groups, by token hash. InputError: some have none under this reference."""
    rows = table.filter(pl.col("reference") == identity).select("token_hash", "logprobs").iter_rows()
    found = {token_hash: torch.tensor(logps) for token_hash, logps in rows}
    missing = [solution for group in groups for solution in group.solutions if solution.token_hash not in found]
    if missing:
        raise InputError(
            what="solutions without log-probs of their tokens under the reference model: another model, or another tokenizer",
            where="reference_logprobs",
            count=len(missing),
            examples=[solution.solution_id for solution in missing],
            next_step="make the table from the same pairs with the same base model (`load_reference`)",
        )
    return found


def stored_types(config: PolicyTraining) -> tuple[torch.dtype, torch.dtype]:
    """Of the weights (before they are quantised), and of the computation."""
    computed = models.compute_dtype(config.dtype)
    return (computed if config.lora is not None else torch.float32), computed


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
