"""Leaks of each kind, planted; and that different sums are different problems."""

from dataclasses import replace
from pathlib import Path

import pytest

from fullstep_data.audit import audit, licence_of
from fullstep_data.overlap import QuestionSet
from fullstep_data.stage import Context, Outcome
from fullstep_data.store import Version
from schemas import TABLES, InputError
from schemas.ids import content_id
from tests.fullstep_data.small_chain import STAGES, run_stages

LONG = (
    "Natalia sold clips to forty eight of her friends in April, and then she sold half as many clips in May; "
    "how many clips did she sell altogether in April and May"
)
OTHER = "A robe takes two bolts of blue fiber and half that much white fiber. How many bolts in total does it take?"


def dataset(folder: Path, train: list[str], test: list[str] | None = None) -> Version:
    """A dataset of these questions."""

    def problems(context: Context) -> Outcome:
        fixed = {"answer": "1", "source": "mine", "domain": "math"}
        asked = [(question, "train") for question in train] + [(question, "test") for question in test or []]
        rows = [{"problem_id": content_id(question), "question": question, "split": split, **fixed} for question, split in asked]
        return Outcome(TABLES["problems"].frame(rows))

    return run_stages(folder, [replace(STAGES[0], run=problems)])


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        (LONG, "exact"),
        (f" {LONG}\n", "exact"),
        (LONG.upper().replace(",", " ") + "?", "normalised"),
        ("Once again. " + " ".join(LONG.split()[:14]) + " How tall is the house that Jack built?", "13-gram"),
        (OTHER.replace("half", "twice"), "near"),  # 9 and 12 words in a row; 17 of 23 runs of three
    ],
)
def test_a_leak_is_found_by_the_strictest_kind_that_fits(tmp_path: Path, question: str, kind: str) -> None:
    found = audit(dataset(tmp_path / "d", [question, "What is 3 + 4?"]), [QuestionSet("set", (LONG, OTHER))])
    (leak,) = found.leaks
    assert (leak.kind, leak.place, leak.question) == (kind, "set", question)
    assert leak.other in (LONG, OTHER)


def test_other_sums_are_other_problems(tmp_path: Path) -> None:
    train = ["What is 3 + 4?", "What is 3 - 4?", "Calculate 10 - 12 - 20 - 13.", "Calculate 12 + 16 - 1 + 19 - 4."]
    found = audit(dataset(tmp_path / "d", train), [QuestionSet("set", ("What is 3 * 4?", "Calculate 10 + 12 + 20 + 13."))])
    assert found.leaks == ()
    assert found.repeated == ()


def test_test_problems_among_the_training_problems_and_repeats(tmp_path: Path) -> None:
    version = dataset(tmp_path / "d", [LONG, LONG.upper(), OTHER], [OTHER.lower()])
    found = audit(version, [])
    assert [(match.kind, match.question) for match in found.between_splits] == [("normalised", OTHER.lower())]
    assert [match.kind for match in found.repeated] == ["normalised"]
    assert found.sources == {"mine": {"train": 3, "test": 1}}


def test_test_problems_in_an_evaluation_set_are_no_leak(tmp_path: Path) -> None:
    assert audit(dataset(tmp_path / "d", [OTHER], [LONG]), [QuestionSet("set", (LONG,))]).leaks == ()


@pytest.mark.parametrize(
    ("source", "licence"),
    [
        ({"kind": "file", "path": "builtin:sums.jsonl"}, "Apache-2.0"),
        ({"kind": "file", "path": "mine.jsonl"}, None),
        ({"kind": "file", "path": "mine.jsonl", "preset": "gsm8k"}, "MIT"),
        ({"kind": "hub", "name": "me/mine"}, None),
        ({"kind": "arithmetic"}, "Apache-2.0"),
    ],
)
def test_licences_are_those_of_known_sources(source: dict[str, str], licence: str | None) -> None:
    assert licence_of({"problems": {"source": source}}) == licence


def test_a_version_without_problems_says_so(tmp_path: Path) -> None:
    version = dataset(tmp_path / "d", [LONG])
    del version.tables["problems"]
    with pytest.raises(InputError, match="no table problems"):
        audit(version, [])
