"""The four ways to be the same question, one at a time; and where sets are read from."""

import sys
from pathlib import Path

import pytest

from fullstep_data.config import OVERLAPS, Overlap
from fullstep_data.overlap import NEAR, NEAR_IF_SHORT, Index, Same, read_set, words
from schemas import InputError
from tests.fullstep_data.test_audit import LONG, OTHER, dataset

ALIKE: dict[Overlap, str] = {
    "exact": LONG,
    "normalised": LONG.upper().replace(",", " ") + "?",
    "13-gram": "Once again. " + " ".join(LONG.split()[:14]) + " How tall is the house that Jack built?",
    "near": OTHER.replace("half", "twice"),  # 9 and 12 words in a row; 17 of 23 runs of three
}


@pytest.mark.parametrize("kind", OVERLAPS)
def test_a_kind_alone_finds_what_is_as_strict_or_stricter(kind: Overlap) -> None:
    index = Index([LONG, OTHER], kinds=(kind,))
    found = {name: same.kind if (same := index.find(question)) else None for name, question in ALIKE.items()}
    strictness = list(OVERLAPS)
    assert found[kind] == kind
    # Nothing looser is found, but for the text with 13 words in common, of which few runs of three are.
    assert all(found[looser] is None for looser in strictness[strictness.index(kind) + 1 :])


def test_the_strictest_way_is_told() -> None:
    index = Index([LONG, OTHER])
    assert {name: same.kind if (same := index.find(question)) else None for name, question in ALIKE.items()} == {
        kind: kind for kind in OVERLAPS
    }
    assert index.find(ALIKE["normalised"]) == Same("normalised", LONG, 1.0)
    assert index.find("What is 2 + 2?") is None


def test_a_few_more_words_do_not_hide_a_question_but_another_number_makes_another_short_one() -> None:
    edited = " ".join(word + " indeed" * (place % 6 == 0) for place, word in enumerate(LONG.split(), start=1))
    assert Index([LONG], kinds=("exact", "normalised", "13-gram")).find(edited) is None
    same = Index([LONG]).find(edited)
    assert same is not None
    assert same.kind == "near"
    assert NEAR <= same.similarity < NEAR_IF_SHORT
    # Seven runs of three words in each, four of them in both: 4 of 10, which would do for a longer question.
    assert Index(["What is 12 + 3 - 4 + 8?"]).find("What is 12 + 3 - 5 + 8?") is None


def test_only_near_needs_datasketch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasketch", None)
    assert Index([LONG], kinds=("exact", "normalised", "13-gram")).find(LONG) == Same("exact", LONG, 1.0)
    with pytest.raises(InputError, match="needs the package datasketch") as caught:
        Index([LONG])
    assert caught.value.next_step == 'pip install "fullstep[audit]"'


def test_sets_are_read_from_files_and_datasets(tmp_path: Path) -> None:
    (tmp_path / "set.jsonl").write_text('{"question": "What is 2 + 2?", "answer": "4"}\n')
    assert read_set(str(tmp_path / "set.jsonl")).questions == ("What is 2 + 2?",)
    dataset(tmp_path / "d", [OTHER], [LONG])
    assert read_set(str(tmp_path / "d")).questions == (LONG,)
    with pytest.raises(InputError):
        read_set("no-such-set")


def test_words_have_one_form() -> None:
    assert words("Ｗｈａｔ is 3+4, or “Ten”?") == ["what", "is", "3", "+", "4", "or", "ten"]
    assert words("") == []
