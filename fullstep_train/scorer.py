"""A trained PRM as a StepScorer (fullstep_data/engines/protocol.py): solutions in, one reward per step out.

    scorer = load_scorer(folder)
    scorer.score(groups, tick)      # groups of requests -> per request its rewards [K], or why there are none

Ids and layout are those of training (`tokens`, `forward`), so a step is read at the very token it was trained at.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import AutoConfig

from fullstep_train import models
from fullstep_train.config import PRMTraining
from fullstep_train.forward import Runs, no_dropout, probe
from fullstep_train.memory import enough_memory
from fullstep_train.progress import Tick, no_tick
from fullstep_train.tokens import Tokenised, tokenise
from schemas import InputError
from schemas.ids import content_id


class Request(Protocol):
    """A solution whose steps are to be rewarded. stops: [K] one past the last character of each step, ascending."""

    @property
    def prompt(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def stops(self) -> tuple[int, ...]: ...
    @property
    def finished(self) -> bool: ...


@dataclass(frozen=True)
class Scorer:
    """identity: hash of the PRM's weights, tokenizer and limits. max_length: longest prompt + solution in tokens."""

    identity: str
    model: Any
    tokenizer: Any
    runs: Runs
    max_length: int

    def score(self, groups: Sequence[Sequence[Request]], tick: Tick = no_tick) -> list[list[list[float] | str]]:
        """For each solution of each group: the probability [K] that each step is correct, or the reason why it cannot
        be scored.
        """
        found: list[list[list[float] | str]] = []
        for done, group in enumerate(groups, start=1):
            found.append(self._score_group(group))
            tick(done, len(groups))
        return found

    def _score_group(self, group: Sequence[Request]) -> list[list[float] | str]:
        tokens = [
            tokenise(self.tokenizer, item.prompt, item.text, item.stops, finished=item.finished, max_length=self.max_length)
            for item in group
        ]
        usable = [solution for solution in tokens if isinstance(solution, Tokenised)]
        with torch.no_grad(), enough_memory("while steps were scored"):
            logits = iter(self.runs.step_logits(self.model, usable) if usable else [])
        return [solution if isinstance(solution, str) else next(logits).softmax(-1)[:, 1].tolist() for solution in tokens]


def scorer_identity(folder: Path) -> str:
    """Identity of the PRM in a folder, without loading it. InputError: not a PRM."""
    return content_id("prm", models.identity(folder), _limits(folder).model_dump(include={"max_length", "dtype"}))


def load_scorer(folder: Path) -> Scorer:
    """The PRM of a folder: a *ForTokenClassification with two labels.

    InputError: it is something else, or not there.
    """
    identity = scorer_identity(folder)
    limits = _limits(folder)
    dtype = models.compute_dtype(limits.dtype)
    model = models.load_token_classifier(folder, dtype)
    no_dropout(model)
    model.to(models.device())
    longest = min(limits.max_length, models.context_length(model.config) or limits.max_length)
    runs = probe(model, limits.max_group_tokens, dtype, limits.attention)
    return Scorer(identity, model, models.load_tokenizer(folder), runs, longest)


def step_reader(folder: Path) -> Callable[[Request], tuple[tuple[int, ...], list[int]] | str]:
    """How the PRM of a folder reads a solution, for engines that run it in their own way.

    The function gives the token ids [L] and the index of the last token of each step [K], or why the solution cannot be scored.
    """
    tokenizer = models.load_tokenizer(folder)
    longest = _limits(folder).max_length
    longest = min(longest, models.context_length(AutoConfig.from_pretrained(folder)) or longest)

    def read(item: Request) -> tuple[tuple[int, ...], list[int]] | str:
        made = tokenise(tokenizer, item.prompt, item.text, item.stops, finished=item.finished, max_length=longest)
        return made if isinstance(made, str) else (made.ids, (made.last_token_of_step() + made.prompt_tokens).tolist())

    return read


def _limits(folder: Path) -> PRMTraining:
    """The config that the PRM was trained with; the defaults for a PRM from elsewhere."""
    try:
        settings = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise _no_prm(folder, "it has no readable config.json") from error
    architectures = settings.get("architectures") or ["none"]
    if not architectures[0].endswith("ForTokenClassification"):
        raise _no_prm(folder, f"its architecture is {architectures[0]}, not a *ForTokenClassification")
    if len(settings.get("id2label", {0: "", 1: ""})) != 2:
        raise _no_prm(folder, f"its head has {len(settings['id2label'])} labels, not two (incorrect, correct)")
    manifest = folder / "prm.json"
    return PRMTraining.model_validate(json.loads(manifest.read_text())["config"]) if manifest.is_file() else PRMTraining()


def _no_prm(folder: Path, why: str) -> InputError:
    return InputError(
        what=f"the folder holds no process-reward model: {why}",
        where=str(folder),
        next_step="give a folder that a PRM training left, or train one: prm.kind = 'train'",
    )
