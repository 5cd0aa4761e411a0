"""Does a dataset hold problems of an evaluation set? And do its own splits share any?

    sets = [read_set("gsm8k=data/test.jsonl")]
    found = audit(open_version("dataset"), sets)
    found.leaks                     # problems of the training split that an evaluation set holds too

Four ways to be the same, each looser than the one before: `exact` (the same text), `normalised` (the same words and signs of
arithmetic, in any case and punctuation), `13-gram` (13 of them in a row in common: Brown et al. 2020, arXiv 2005.14165, appendix
C), `near` (of all runs of three in either, at least NEAR in both; candidates by MinHash, so a few may be missed). Needs the extra
`audit` (datasketch).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from fullstep_data.evaluation import is_dataset
from fullstep_data.sources import read
from fullstep_data.sources.sets import FileForm, named_source
from fullstep_data.store import Version, open_version
from schemas import InputError

GRAM = 13
SHINGLE = 3
NEAR = 0.6
CANDIDATE = 0.4
"""What MinHash is asked for: well below NEAR, so that it misses few; each candidate is compared exactly."""
PERMUTATIONS = 128
KINDS = ("exact", "normalised", "13-gram", "near")

LICENCES = {
    "gsm8k": "MIT",
    "math": "MIT",
    "svamp": "MIT",
    "aqua": "Apache-2.0",
    "metamath": "MIT",
    "reasoning-gym": "Apache-2.0",
}
"""What the authors of known sources state; everything else is for the user to find out."""

_WORD = re.compile(r"\w+|[-+*/^=<>%−×÷]")  # without the signs 3 + 4 and 3 - 4 would be one problem


@dataclass(frozen=True)
class QuestionSet:
    """The questions of an evaluation set."""

    name: str
    questions: tuple[str, ...]


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


def read_set(text: str) -> QuestionSet:
    """The questions of a set as a user names it: gsm8k, gsm8k=FILE, FILE, or the held-out problems of a dataset DIR[@VERSION].

    InputError: there is no such set, file or dataset.
    """
    if is_dataset(text):
        held_out = open_version(text).frame("problems").filter(pl.col("split") == "test")
        return QuestionSet(text, tuple(held_out["question"]))
    name, source = named_source(text, FileForm())
    return QuestionSet(name, tuple(one.question for one in read(source) if one.question))


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
        leaks=tuple(match for one in sets for match in _matches(train, _Index(one.name, one.questions))),
        between_splits=tuple(_matches(test, _Index("train", train["question"].to_list()))),
        repeated=tuple(_repeated(train)),
        sources={
            name: {split: counts[name, split] for split in ("train", "test")} for name in sorted({name for name, _ in counts})
        },
        licence=licence_of(version.manifest.recipe),
    )


def words(text: str) -> list[str]:
    """The words and signs of a text, in one case and one form of each letter; other punctuation and layout are gone."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def licence_of(recipe: Any) -> str | None:
    """The licence of the source that a recipe names; None where we do not know it."""
    section = recipe.get("problems") if isinstance(recipe, dict) else None
    source = section.get("source", {}) if isinstance(section, dict) else {}
    return LICENCES.get(source.get("preset") or source.get("kind", ""))


class _Index:
    """Questions that can be asked whether they hold another. Each is known by its place in the order they were added."""

    def __init__(self, name: str, questions: Sequence[str] = ()) -> None:
        self.name = name
        self._lsh = _lsh()
        self.questions: list[str] = []
        self._texts: dict[str, int] = {}
        self._normalised: dict[str, int] = {}
        self._grams: dict[tuple[str, ...], int] = {}
        self._shingles: list[frozenset[str]] = []
        for question in questions:
            self.add(question)

    def add(self, question: str) -> None:
        place, found = len(self.questions), words(question)
        self.questions.append(question)
        self._texts.setdefault(question.strip(), place)
        self._normalised.setdefault(" ".join(found), place)
        for start in range(len(found) - GRAM + 1):
            self._grams.setdefault(tuple(found[start : start + GRAM]), place)
        self._shingles.append(_shingles(found))
        self._lsh.insert(place, _minhash(self._shingles[place]))

    def find(self, question: str) -> tuple[str, int, float] | None:
        """The strictest way in which a question of the index is the same, its place, and how much they share."""
        found = words(question)
        shingles = _shingles(found)
        grams = (tuple(found[start : start + GRAM]) for start in range(len(found) - GRAM + 1))
        place = self._texts.get(question.strip())
        if place is not None:
            return "exact", place, 1.0
        place = self._normalised.get(" ".join(found))
        if place is not None:
            return "normalised", place, 1.0
        place = next((self._grams[gram] for gram in grams if gram in self._grams), None)
        if place is not None:
            return "13-gram", place, _jaccard(shingles, self._shingles[place])
        near = ((_jaccard(shingles, self._shingles[place]), place) for place in self._lsh.query(_minhash(shingles)))
        similarity, place = max(near, default=(0.0, 0))
        return ("near", place, similarity) if similarity >= NEAR else None


def _matches(problems: pl.DataFrame, index: _Index) -> Iterator[Match]:
    for problem_id, question in problems.select("problem_id", "question").iter_rows():
        found = index.find(question)
        if found is not None:
            kind, place, similarity = found
            yield Match(problem_id, question, index.name, index.questions[place], kind, similarity)


def _repeated(problems: pl.DataFrame) -> Iterator[Match]:
    """Problems that are the same as one before them."""
    index = _Index("train")
    for problem_id, question in problems.select("problem_id", "question").iter_rows():
        found = index.find(question)
        if found is not None:
            yield Match(problem_id, question, "train", index.questions[found[1]], found[0], found[2])
        index.add(question)


def _shingles(found: Sequence[str]) -> frozenset[str]:
    """All runs of three words; of a shorter text, the text itself."""
    runs = (" ".join(found[start : start + SHINGLE]) for start in range(max(len(found) - SHINGLE + 1, 1)))
    return frozenset(runs)


def _jaccard(one: frozenset[str], two: frozenset[str]) -> float:
    return len(one & two) / len(one | two)


def _lsh() -> Any:
    try:
        from datasketch import MinHashLSH
    except ImportError as error:
        raise InputError("an audit needs the package datasketch", next_step='pip install "fullstep[audit]"') from error
    return MinHashLSH(threshold=CANDIDATE, num_perm=PERMUTATIONS)


def _minhash(shingles: frozenset[str]) -> Any:
    from datasketch import MinHash

    made = MinHash(num_perm=PERMUTATIONS, seed=1)
    made.update_batch([shingle.encode("utf-8") for shingle in shingles])
    return made
