"""reference: the table of reference log-probs, made once and reused only where it is ours."""

import json
from pathlib import Path

import polars as pl
import pytest
import torch

from fullstep_train import models
from fullstep_train.forward import answer_logprobs, probe
from fullstep_train.groups import preference_groups
from fullstep_train.progress import no_tick
from fullstep_train.reference import reference_logprobs
from schemas import TABLES
from tests.fullstep_train.frames import make_tables
from tests.fullstep_train.runs import run_policy

FEW = make_tables(problems=4)


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_policy(tmp_path_factory.mktemp("policy"), tables=FEW)


def test_the_reference_is_a_table(plain_run: Path, tiny: Path) -> None:
    table = pl.read_parquet(plain_run / "reference_logprobs.parquet")
    assert not TABLES["reference_logprobs"].violations(table)
    assert set(table["solution_id"]) == set(FEW.pairs["chosen_id"]) | set(FEW.pairs["rejected_id"])
    assert set(table["reference"]) == {models.identity(tiny)}


def test_the_reference_is_reused_and_recomputed_where_it_is_not_ours(tmp_path: Path, plain_run: Path) -> None:
    """A stored table of these tokens is taken as it is; one of another model is not."""
    stored = pl.read_parquet(plain_run / "reference_logprobs.parquet")
    for name, table in {
        "moved": stored.with_columns(pl.col("logprobs").list.eval(pl.element() - 1)),
        "foreign": stored.with_columns(pl.col("logprobs").list.eval(pl.element() - 1), reference=pl.lit("other")),
    }.items():
        (tmp_path / name).mkdir()
        table.write_parquet(tmp_path / name / "reference_logprobs.parquet")
        first = json.loads((run_policy(tmp_path / name, tables=FEW) / "training.json").read_text())[0]
        assert (first["rewards/chosen"] == 0.0) == (name == "foreign")


def test_it_moves_neither_random_state_nor_mode(tmp_path: Path, tiny: Path) -> None:
    model = models.load_causal(tiny, torch.float32)
    answer_logprobs(model)
    groups, _ = preference_groups(
        FEW.pairs, FEW.solutions, FEW.steps, FEW.step_scores, models.load_tokenizer(tiny), max_length=2048
    )
    runs = probe(model.train(), 9999, torch.float32)
    state = torch.random.get_rng_state()
    found = reference_logprobs(model, groups, runs, "tiny", tmp_path / "table.parquet", no_tick)
    assert torch.equal(state, torch.random.get_rng_state())
    assert model.training
    again = reference_logprobs(model, groups, runs, "tiny", tmp_path / "table.parquet", no_tick)
    assert found.keys() == again.keys()
    assert all(torch.equal(found[key], again[key]) for key in found)
