"""Evaluation sets: by name from the Hub, or the user's own files in any form that a recipe reads, or in that of a named set.

    named_source("gsm8k", form)                     # openai/gsm8k, split test, from the Hub
    named_source("gsm8k=data/test.jsonl", form)     # the same columns, from a file
    named_source("mine.jsonl", form)                # columns as `form` says

Each gives the name of the set and a source for `problems`. A dataset of ours is none of these: `evaluation` reads it.
"""

import difflib
from pathlib import Path

from fullstep_data.config import Columns, Config, FileSource, HubSource, Preset
from fullstep_data.sources.files import BUILTIN
from schemas import InputError

PROBLEM_ANSWER = Columns(question="problem", answer="answer")
EVAL_SETS: dict[str, HubSource] = {
    "gsm8k": HubSource(name="openai/gsm8k", config="main", hub_split="test", preset="gsm8k"),
    "math500": HubSource(name="HuggingFaceH4/MATH-500", hub_split="test", columns=PROBLEM_ANSWER),
    "svamp": HubSource(name="ChilleD/SVAMP", hub_split="test", preset="svamp"),
    "gaokao2023en": HubSource(name="MARIO-Math-Reasoning/Gaokao2023-Math-En", hub_split="train"),
    "minerva_math": HubSource(name="math-ai/minervamath", hub_split="test"),
    "amc23": HubSource(name="math-ai/amc23", hub_split="test"),
    "aime24": HubSource(name="math-ai/aime24", hub_split="test", preset="math"),
    "aqua": HubSource(name="deepmind/aqua_rat", config="raw", hub_split="test", preset="aqua"),
}
"""Test splits by the names that evaluations of maths models use; questions and gold answers stand in the columns named here."""


class FileForm(Config):
    """How to read the user's files, and how many problems to take of each set."""

    preset: Preset | None = None
    columns: Columns = Columns()
    limit: int | None = None


def named_source(text: str, form: FileForm) -> tuple[str, FileSource | HubSource]:
    """The name of a set and where its records are. InputError: no such set or file, with the sets of a like name."""
    if text in EVAL_SETS:
        return text, EVAL_SETS[text].model_copy(update={"limit": form.limit})
    name, equals, path = text.partition("=")
    if equals and name in EVAL_SETS:
        own = EVAL_SETS[name]
        return name, FileSource(path=path, preset=own.preset, columns=own.columns, limit=form.limit)
    if not text.startswith(BUILTIN) and not Path(text).expanduser().exists():
        raise _unknown(text)
    shown = text if text.startswith(BUILTIN) else Path(text).name
    return shown, FileSource(path=text, preset=form.preset, columns=form.columns, limit=form.limit)


def _unknown(text: str) -> InputError:
    name = text.partition("=")[0]
    near = difflib.get_close_matches(name, EVAL_SETS, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return InputError(
        f"there is no such file, dataset or evaluation set: {text}",
        next_step=f"{hint}sets from the Hub: {', '.join(EVAL_SETS)}; NAME=FILE reads a file in the form of a set",
    )
