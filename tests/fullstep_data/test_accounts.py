"""Every input key is in rows or rejects, or the stage is at fault."""

import polars as pl
import pytest

from fullstep_data.accounts import answered_for, require_accounted, unaccounted
from fullstep_data.stage import Accounts, Outcome, Read, Stage, rejects
from schemas import ContractError
from tests.fullstep_data.small_chain import whole

SAMPLES = pl.DataFrame({"problem_id": ["a", "a", "b"], "sample_index": [0, 1, 0]}, schema_overrides={"sample_index": pl.Int32})
BY_SAMPLE = Accounts("samples", ("problem_id", "sample_index"))


def _stage(*accounts: Accounts) -> Stage:
    return Stage("solutions", print, (Read("samples"),), whole, 1, "part", accounts=accounts)


def test_rows_and_rejects_together_account_for_every_key() -> None:
    outcome = Outcome(SAMPLES[:1], rejects("solutions", "samples", [("a/1", "odd", None), ("b/0", "odd", None)]))
    assert unaccounted(BY_SAMPLE, SAMPLES, outcome) == []
    require_accounted(_stage(BY_SAMPLE), [SAMPLES], outcome, where="here")


def test_lost_keys_are_named() -> None:
    outcome = Outcome(SAMPLES[:1], rejects("solutions", "samples", [("b/0", "odd", None)]))
    with pytest.raises(ContractError) as caught:
        require_accounted(_stage(BY_SAMPLE), [SAMPLES], outcome, where="part 7")
    assert (caught.value.count, caught.value.examples, caught.value.where) == (1, ["a/1"], "part 7")
    assert "(problem_id, sample_index)" in caught.value.what


def test_rejects_of_another_table_do_not_count() -> None:
    outcome = Outcome(SAMPLES[:2], rejects("solutions", "problems", [("b/0", "odd", None)]))
    assert unaccounted(BY_SAMPLE, SAMPLES, outcome) == ["b/0"]


def test_only_rows_that_fulfil_the_condition_are_answered_for() -> None:
    accounts = Accounts("samples", ("problem_id",), "problem_id <> 'b'")
    assert unaccounted(accounts, SAMPLES, Outcome(SAMPLES[:1])) == []
    assert answered_for(_stage(accounts), [SAMPLES]).height == 2
    assert answered_for(_stage(), [SAMPLES]).height == 3


def test_a_key_that_several_rows_share_is_lost_once() -> None:
    assert unaccounted(Accounts("samples", ("problem_id",)), SAMPLES, Outcome(SAMPLES[2:])) == ["a"]
