"""Solutions that were sampled elsewhere: one row per solution, several rows per question.

    given = read_given(GivenSolutions(path="samples.jsonl", question="question", solution="solution"))
    given.samples_of("What is 2 + 2?")  ->  ["2 + 2 = 4 …", "The answer is 5"]      # in the file's order

Problems come from the same file (FileSource with `repeated_questions = true`) or from any other with the same question texts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fullstep_data.config import GivenSolutions
from fullstep_data.sources.columns import as_text, check_columns, joined
from fullstep_data.sources.files import content_hash, read_file
from schemas import InputError


@dataclass(frozen=True)
class GivenRow:
    """One solution ("" where the file has none: the stage `steps` rejects it). number: the row in the file, from 1."""

    number: int
    question: str | None
    solution: str


@dataclass(frozen=True)
class Given:
    """A file of solutions, all its rows."""

    identity: str
    rows: tuple[GivenRow, ...]

    @cached_property
    def _by_question(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for row in self.rows:
            if row.question is not None:
                found.setdefault(row.question, []).append(row.solution)
        return found

    def samples_of(self, question: str) -> list[str]:
        """The solutions of exactly this question, in the file's order."""
        return list(self._by_question.get(question, ()))

    def rows_beside(self, questions: Iterable[str]) -> list[GivenRow]:
        """Rows whose question is none of `questions`, or missing: solutions of no problem."""
        known = set(questions)
        return [row for row in self.rows if row.question not in known]


@dataclass(frozen=True)
class GivenTool:
    """The tool `generator` of a recipe that brings its own solutions (see `fullstep_data.stage.Tool`)."""

    config: GivenSolutions

    def identity(self, models: Mapping[str, Path]) -> str:
        return identity(self.config)

    def open(self, models: Mapping[str, Path]) -> Given:
        return read_given(self.config)


def identity(config: GivenSolutions) -> str:
    """`given:` and the hash of the file: what decides the solutions."""
    return f"given:{content_hash(config.path)}"


def read_given(config: GivenSolutions) -> Given:
    """The whole file. InputError as for any file of problems, and where not one row has a solution."""
    rows = read_file(config.path)
    questions = (config.question,) if isinstance(config.question, str) else config.question
    check_columns(rows, [*questions, config.solution], config.path, "samples.engine")
    given = tuple(
        GivenRow(row.number, joined(row.values, config.question), as_text(row.values.get(config.solution)) or "") for row in rows
    )
    if not any(row.question and row.solution for row in given):
        next_step = f"check that the column {config.solution!r} holds the sampled texts"
        raise InputError("no row has a question and a solution", where=config.path, count=len(rows), next_step=next_step)
    return Given(identity(config), given)
