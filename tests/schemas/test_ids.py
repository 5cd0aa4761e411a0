"""Ids and seeds are fixed for ever: a change here would orphan every published dataset."""

import hashlib
import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.ids import content_id, content_ids, sample_seed, stable_fraction


def test_an_id_is_sha256_of_canonical_json():
    assert content_id("problem", "What is 2 + 2?") == hashlib.sha256(b'["problem","What is 2 + 2?"]').hexdigest()[:20]


@settings(deadline=None)
@given(st.lists(st.text() | st.integers() | st.booleans() | st.none() | st.lists(st.text())))
def test_an_id_is_that_of_the_json_whatever_the_content(content):
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    assert content_id(*content) == hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:20]


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(), st.text())))
def test_many_ids_are_those_of_each(rows):
    firsts, seconds = (pl.Series([row[place] for row in rows], dtype=pl.String) for place in (0, 1))
    assert content_ids("pair", firsts, seconds, "x").to_list() == [content_id("pair", *row, "x") for row in rows]


def test_many_plain_ids_are_those_of_each():
    # the path without JSON, which the texts above hardly ever take
    rows = [(f"{place:x}", "b" * place) for place in range(300)]
    firsts, seconds = (pl.Series(column) for column in zip(*rows, strict=True))
    assert content_ids("pair", firsts, seconds, "mean-top4").to_list() == [content_id("pair", *row, "mean-top4") for row in rows]
    assert content_ids("pair", firsts[40:50], seconds[40:50]).to_list() == [content_id("pair", *row) for row in rows[40:50]]


@pytest.mark.parametrize("odd", ['b"', "c\\", "d\n", "é", "e\x7f", "f\x00", "\x1f", ""])
def test_one_text_that_json_writes_in_another_way_is_seen_among_plain_ones(odd):
    texts = pl.Series(["plain", odd, "too"])
    assert content_ids("x", texts).to_list() == [content_id("x", text) for text in texts]


def test_neighbouring_contents_do_not_run_together():
    assert content_id("ab", "c") != content_id("a", "bc")


@settings(deadline=None)
@given(st.text(), st.integers(0, 10_000), st.integers(0, 2**31))
def test_seeds_fit_a_signed_64_bit_column_and_repeat(problem_id, index, run_seed):
    seed = sample_seed(problem_id, index, run_seed)
    assert 0 <= seed < 2**63
    assert seed == sample_seed(problem_id, index, run_seed)


def test_seeds_differ_by_problem_index_and_run():
    seeds = {sample_seed(problem, index, run) for problem in "abc" for index in range(20) for run in range(3)}
    assert len(seeds) == 3 * 20 * 3


def test_fractions_are_even():
    fractions = [stable_fraction("x", index) for index in range(4000)]
    assert all(0 <= fraction < 1 for fraction in fractions)
    # mean of 4000 uniform numbers: 0.5 ± 4 · 0.2887 / sqrt(4000) = 0.5 ± 0.018
    assert abs(sum(fractions) / 4000 - 0.5) < 0.018
