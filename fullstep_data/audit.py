"""Does a dataset hold problems of an evaluation set? And do its own splits share any?

    sets = [read_set("gsm8k=data/test.jsonl")]
    found = audit(open_version("dataset"), sets)
    found.leaks                     # problems of the training split that an evaluation set holds too

What counts as the same problem is said in `overlap`. `problems.audit` in a recipe leaves such problems out of a build.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from fullstep_data.overlap import Index, QuestionSet
from fullstep_data.sources.files import BUILTIN
from fullstep_data.store import Version

LICENCES = {
    "gsm8k": "MIT",
    "math": "MIT",
    "svamp": "MIT",
    "aqua": "Apache-2.0",
    "metamath": "MIT",
    "reasoning-gym": "Apache-2.0",
    "builtin": "Apache-2.0",
    "arithmetic": "Apache-2.0",
}
"""What the authors of known sources state (of the last two, we); everything else is for the user to find out."""


@dataclass(frozen=True)
class Match:
    """A problem and the question that it is the same as. place: the set it stands in, or the other split. similarity: share of
    runs of three words in common.
    """

    problem_id: str
    question: str
    place: str
    other: str
    kind: str
    similarity: float


@dataclass(frozen=True)
class Audit:
    """What an audit found. problems: how many there are; sets: questions of each evaluation set.

    leaks: training problems that stand in an evaluation set. between_splits: test problems that stand in the training split.
    repeated: training problems that are the same as one before. sources: problems by source and split. licence: of the source,
    where it is known.
    """

    problems: int
    sets: dict[str, int]
    leaks: tuple[Match, ...]
    between_splits: tuple[Match, ...]
    repeated: tuple[Match, ...]
    sources: dict[str, dict[str, int]]
    licence: str | None


def audit(version: Version, sets: Sequence[QuestionSet]) -> Audit:
    """Compare the problems of a version with evaluation sets, and with each other.

    InputError: the version has no table problems; datasketch is not installed.
    """
    problems = version.table("problems").frame().sort("problem_id")
    train, test = (problems.filter(pl.col("split") == split) for split in ("train", "test"))
    counts = Counter(problems.select("source", "split").iter_rows())
    return Audit(
        problems=problems.height,
        sets={one.name: len(one.questions) for one in sets},
        leaks=tuple(match for one in sets for match in _matches(train, one.name, one.questions)),
        between_splits=tuple(_matches(test, "train", train["question"].to_list())),
        repeated=tuple(_repeated(train)),
        sources={
            name: {split: counts[name, split] for split in ("train", "test")} for name in sorted({name for name, _ in counts})
        },
        licence=licence_of(version.manifest.recipe),
    )


def licence_of(recipe: Any) -> str | None:
    """The licence of the source that a recipe names; None where we do not know it."""
    section = recipe.get("problems") if isinstance(recipe, dict) else None
    source = section.get("source", {}) if isinstance(section, dict) else {}
    ours = str(source.get("path", "")).startswith(BUILTIN)
    return LICENCES.get("builtin" if ours else source.get("preset") or source.get("kind", ""))


def _matches(problems: pl.DataFrame, place: str, questions: Sequence[str]) -> Iterator[Match]:
    """The problems that one of the questions is the same as."""
    index = Index(questions)
    for problem_id, question in problems.select("problem_id", "question").iter_rows():
        found = index.find(question)
        if found is not None:
            yield Match(problem_id, question, place, found.question, found.kind, found.similarity)


def _repeated(problems: pl.DataFrame) -> Iterator[Match]:
    """Problems that are the same as one before them."""
    index = Index()
    for problem_id, question in problems.select("problem_id", "question").iter_rows():
        found = index.find(question)
        if found is not None:
            yield Match(problem_id, question, "train", found.question, found.kind, found.similarity)
        index.add(question)
