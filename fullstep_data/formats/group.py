"""What every interchange format is read into and written from: a problem with solutions of it, cut into steps, and pairs of
them.

    Group("2 + 2?", answer="4", solutions=(Solution(("Step 1: 2 + 2 = 4\\n", "The answer is 4"), labels=(1.0, 1.0)),))

One record of a file is one or more groups; on the way out a group is a problem with all its solutions. `tables.py` turns groups
into rows of our tables, `from_tables.py` rows into groups; a format's module knows nothing of tables.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fullstep_data.config import Config

LabelSource = Literal["outcome", "monte-carlo", "binary-search", "judge", "human"]
Record = dict[str, Any]


@dataclass(frozen=True)
class Solution:
    """A solution. steps: joined, they are its text, to the character.

    labels: one per step, 0 to 1, None where the step is not labelled; empty where no step is. rewards: of a PRM, for all steps
    or none. correct: what the file says of the whole; None leaves it to the grader, where there is a gold answer. stated: the
    final answer, where the file marks it in its own way. finished: False where the text stops before its end.
    """

    steps: tuple[str, ...]
    labels: tuple[float | None, ...] = ()
    rewards: tuple[float, ...] = ()
    correct: bool | None = None
    stated: str | None = None
    finished: bool = True
    prompt: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.steps)


@dataclass(frozen=True)
class Pair:
    """A preference: positions of two solutions in their group, with their scores where the file has both."""

    chosen: int
    rejected: int
    chosen_score: float | None = None
    rejected_score: float | None = None


@dataclass(frozen=True)
class StepPair:
    """A preference between two next steps: positions of two solutions in their group that are equal before step `step`."""

    chosen: int
    rejected: int
    step: int


@dataclass(frozen=True)
class Group:
    """A problem and solutions of it. answer: gold. source: name of the data set inside the file, where it gives one.

    prompt: the whole text before the solutions, where the file gives it. step_pairs: None where the dataset has no such table, or
    no rows in it. notes: lossy decisions that were taken, counted in the report.
    """

    question: str
    answer: str | None = None
    reference: str | None = None
    source: str | None = None
    prompt: str | None = None
    solutions: tuple[Solution, ...] = ()
    pairs: tuple[Pair, ...] = ()
    step_pairs: tuple[StepPair, ...] | None = None
    notes: tuple[str, ...] = ()


class Unusable(Exception):  # noqa: N818 - a verdict on one record, caught by the importer
    """A record that becomes a reject. reason: the same words for every such record; detail: what exactly."""

    def __init__(self, reason: str, detail: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class Question(Exception):  # noqa: N818 - a question to the user, collected by the importer
    """A record that the format leaves open: an option must say what it means. choices: its values, with their meaning."""

    def __init__(self, option: str, about: str, choices: Mapping[str, str]) -> None:
        super().__init__(about)
        self.option = option
        self.about = about
        self.choices = dict(choices)


class NoOptions(Config):
    """The options of a format that leaves nothing open."""


@dataclass(frozen=True)
class Reader:
    """How a format is read. read(record, options): the groups of one record; raises Unusable or Question.

    options: its type, whose fields are the keys of `--set`. labels: who made the step labels, where the format itself says so
    (else an option `labels_by` must). pool: equal texts of a problem are one solution (formats whose records are pairs). lost:
    what a record may hold that our tables do not, and decisions that hold for every record.
    """

    read: Callable[[Record, Any], Iterable[Group]]
    options: type[Config] = NoOptions
    labels: LabelSource | None = None
    pool: bool = False
    lost: tuple[str, ...] = ()


@dataclass(frozen=True)
class Writer:
    """How a format is written. write(group, options): the records of one problem; what cannot be told is a `Left` among them.

    needs: tables without which there is nothing to write; of several in brackets, one. lost: what the format has no place for.
    """

    write: Callable[[Group, Any], Iterable["Record | Left"]]
    options: type[Config] = NoOptions
    needs: tuple[str | tuple[str, ...], ...] = ()
    lost: tuple[str, ...] = ()


@dataclass(frozen=True)
class Left:
    """Something of a group that a format cannot tell, or (kept=True) tells with a loss. reason: the same words each time."""

    reason: str
    kept: bool = False


@dataclass(frozen=True)
class Format:
    """One interchange format. looks_like(record): is this a record of the format? For the error that names the right one."""

    name: str
    about: str
    looks_like: Callable[[Record], bool]
    reader: Reader | None = None
    writer: Writer | None = None


@dataclass
class Report:
    """The mapping report of one import or export.

    rows_in: records read, or problems; rows_out: of each table, or records written; rejected and decisions: how often, by reason;
    lost: what holds for every record. rows_in = kept + the rejected of an import.
    """

    rows_in: int = 0
    kept: int = 0
    rows_out: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    decisions: dict[str, int] = field(default_factory=dict)
    lost: tuple[str, ...] = ()


# What the formats' modules share in reading values.


def text_of(record: Record, key: str) -> str:
    """A text that must be there and not blank."""
    value = record.get(key)
    if not isinstance(value, str):
        raise Unusable(f"{key} is not a text", None if value is None else type(value).__name__)
    if not value.strip():
        raise Unusable(f"{key} is blank")
    return value


def texts_of(record: Record, key: str) -> list[str]:
    """A list of texts that must be there; none may be blank."""
    value = record.get(key)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Unusable(f"{key} is not a list of texts")
    if not value:
        raise Unusable(f"{key} is empty")
    if not all(item.strip() for item in value):
        raise Unusable(f"a text in {key} is blank", f"place {next(i for i, item in enumerate(value) if not item.strip())}")
    return value


def optional_text(record: Record, key: str) -> str | None:
    """A text or a number as text; None where it is missing or blank."""
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value).strip() or None


def separated(texts: Sequence[str], separator: str) -> tuple[str, ...]:
    """Steps that join with `separator` between them: it belongs to the step that it ends."""
    return tuple(f"{text}{separator}" for text in texts[:-1]) + tuple(texts[-1:])


def bare(steps: Sequence[str], separator: str) -> tuple[list[str], bool]:
    """Steps without the separator that each but the last ends with; False where one of them does not end with it."""
    whole = all(step.endswith(separator) for step in steps[:-1])
    return [*(step.removesuffix(separator) for step in steps[:-1]), *steps[-1:]], whole


def missing_labels(solution: Solution) -> bool:
    """Is a step of the solution not labelled?"""
    return len(solution.labels) < len(solution.steps) or None in solution.labels


def hard(value: float | None) -> bool:
    """The hard label of a soft one: any rollout right (method.md, Labels)."""
    return value is not None and value > 0
