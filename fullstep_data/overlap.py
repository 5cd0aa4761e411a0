"""Is this question one of those? For an audit, and for leaving problems of evaluation sets out of a dataset.

    index = Index(read_set("gsm8k=data/test.jsonl"))
    index.find("Natalia sold clips to 48 of her friends …")     # Match or None

Four ways to be the same, each looser than the one before: `exact` (the same text), `normalised` (the same words and signs of
arithmetic, in any case and punctuation), `13-gram` (13 of them in a row in common: Brown et al. 2020, arXiv 2005.14165, appendix
C), `near` (of all runs of three in either, at least NEAR in both; candidates by MinHash, so a few may be missed). The last one
needs the extra `audit` (datasketch). What each finds of test problems in disguise: `tests/benchmarks/audit.py`.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from fullstep_data.config import OVERLAPS, Overlap
from fullstep_data.sources import read
from fullstep_data.sources.sets import FileForm, named_source
from fullstep_data.store import open_version
from fullstep_data.store.names import names_dataset
from schemas import InputError

GRAM = 13
SHINGLE = 3
NEAR = 0.4
"""Of GSM8K's 7,473 training problems three are that near to a test problem (0.5 and more); the next one has 0.3."""
SHORT, NEAR_IF_SHORT = 20, 0.6
"""Where either question has fewer runs than SHORT: in a short one another number makes another problem."""
CANDIDATE = 0.25
"""What MinHash is asked for: well below NEAR, so that it misses few; each candidate is compared exactly."""
PERMUTATIONS = 128

_WORD = re.compile(r"\w+|[-+*/^=<>%−×÷]")  # without the signs 3 + 4 and 3 - 4 would be one problem


@dataclass(frozen=True)
class QuestionSet:
    """The questions of an evaluation set."""

    name: str
    questions: tuple[str, ...]


@dataclass(frozen=True)
class Same:
    """A question that says the same as another. similarity: share of runs of three words in common."""

    kind: Overlap
    question: str
    similarity: float


def read_set(text: str) -> QuestionSet:
    """The questions of a set as a user names it: gsm8k, gsm8k=FILE, FILE, or the held-out problems of a dataset DIR[@VERSION].

    InputError: there is no such set, file or dataset.
    """
    if names_dataset(text):
        held_out = open_version(text).frame("problems").filter(pl.col("split") == "test")
        return QuestionSet(text, tuple(held_out["question"]))
    name, source = named_source(text, FileForm())
    return QuestionSet(name, tuple(one.question for one in read(source) if one.question))


def words(text: str) -> list[str]:
    """The words and signs of a text, in one case and one form of each letter; other punctuation and layout are gone."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


class Index:
    """Questions that can be asked whether they hold another. kinds: the ways to be the same that count.

    InputError: datasketch is not installed, and `near` counts.
    """

    def __init__(self, questions: Iterable[str] = (), kinds: Sequence[Overlap] = OVERLAPS) -> None:
        self._kinds = kinds
        self._lsh = _lsh() if "near" in kinds else None
        self._questions: list[str] = []
        self._texts: dict[str, int] = {}
        self._normalised: dict[str, int] = {}
        self._grams: dict[tuple[str, ...], int] = {}
        self._shingles: list[frozenset[str]] = []
        for question in questions:
            self.add(question)

    def add(self, question: str) -> None:
        place, found = len(self._questions), words(question)
        self._questions.append(question)
        self._texts.setdefault(question.strip(), place)
        self._normalised.setdefault(" ".join(found), place)
        for start in range(len(found) - GRAM + 1):
            self._grams.setdefault(tuple(found[start : start + GRAM]), place)
        self._shingles.append(_shingles(found))
        if self._lsh is not None:
            self._lsh.insert(place, _minhash(self._shingles[place]))

    def find(self, question: str) -> Same | None:
        """A question of the index that is the same, in the strictest of the ways that count; None where there is none."""
        found = words(question)
        shingles = _shingles(found)
        grams = (tuple(found[start : start + GRAM]) for start in range(len(found) - GRAM + 1))
        places: dict[Overlap, int | None] = {
            "exact": self._texts.get(question.strip()),
            "normalised": self._normalised.get(" ".join(found)),
            "13-gram": next((self._grams[gram] for gram in grams if gram in self._grams), None),
        }
        for kind, place in places.items():
            if place is not None and kind in self._kinds:
                return Same(kind, self._questions[place], _jaccard(shingles, self._shingles[place]))
        return self._near(shingles)

    def _near(self, shingles: frozenset[str]) -> Same | None:
        if self._lsh is None:
            return None
        near = ((_jaccard(shingles, self._shingles[place]), place) for place in self._lsh.query(_minhash(shingles)))
        similarity, place = max(near, default=(0.0, 0))
        if not similarity:
            return None
        short = min(len(shingles), len(self._shingles[place])) < SHORT
        return Same("near", self._questions[place], similarity) if similarity >= (NEAR_IF_SHORT if short else NEAR) else None


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
