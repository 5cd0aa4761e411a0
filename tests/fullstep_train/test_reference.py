"""reference: one row per text, of the untrained model; what is known already is not computed again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from fullstep_train import models
from fullstep_train.config import LoRA, PolicyTraining, StepDPO
from fullstep_train.reference import Model, Reference, load_reference, reference_identity, usable
from fullstep_train.tokens import Tokenised
from schemas import TABLES
from tests.fullstep_train.frames import make_tables
from tests.fullstep_train.runs import reference_of

FEW = make_tables(problems=4)
CONFIG = PolicyTraining(dtype="float32")


@pytest.fixture(scope="module")
def reference(tiny: Path) -> Reference:
    return load_reference("tiny-random", CONFIG)


@pytest.fixture(scope="module")
def table(reference: Reference) -> pl.DataFrame:
    return reference.logprobs(FEW.preferences())[0]


def test_one_row_per_solution_of_the_pairs(table: pl.DataFrame, tiny: Path) -> None:
    assert not TABLES["reference_logprobs"].violations(table)
    assert set(table["solution_id"]) == set(FEW.pairs["chosen_id"]) | set(FEW.pairs["rejected_id"])
    assert set(table["reference"]) == {f"{models.identity(tiny)}:float32:float32"}


def test_they_are_the_log_probs_of_the_model(table: pl.DataFrame, tiny: Path, tiny_tokenizer: Any) -> None:
    model = models.load_causal(tiny, torch.float32)
    row = FEW.solutions.row(0, named=True)
    start = len(tiny_tokenizer(row["prompt"])["input_ids"])
    ids = torch.tensor([[*tiny_tokenizer(row["prompt"] + row["text"])["input_ids"], tiny_tokenizer.eos_token_id]])
    with torch.no_grad():
        logps = model(input_ids=ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[start - 1 :, 0]
    found = table.filter(solution_id=row["solution_id"])["logprobs"].item()
    assert found.to_list() == pytest.approx(logps.tolist(), abs=1e-5)


def test_what_is_known_is_taken_and_the_rest_computed(reference: Reference, table: pl.DataFrame) -> None:
    """Three rows are known (moved, so that they can be told); two more are another model's."""
    moved = table.with_columns(pl.col("logprobs").list.eval(pl.element() - 1))
    known = pl.concat([moved.head(3), moved[3:5].with_columns(reference=pl.lit("other"))])
    passes: list[int] = []
    rows, dropped = reference.logprobs(FEW.preferences(), known, lambda done, total: passes.append(done))
    assert dropped.is_empty()
    assert rows.head(3).equals(moved.head(3))
    assert rows[3:].select(pl.exclude("logprobs")).equals(table[3:].select(pl.exclude("logprobs")))
    assert rows[3:]["logprobs"].explode().to_list() == pytest.approx(table[3:]["logprobs"].explode().to_list(), abs=1e-5)
    assert passes == [1, 2, 3, 4]


def test_next_steps_have_rows_without_a_solution(reference: Reference) -> None:
    rows, _ = reference.logprobs(FEW.preferences(PolicyTraining(objective=StepDPO())))
    assert rows["solution_id"].null_count() == rows.height == 4 * 3  # a right second step and two wrong ones per problem


def test_what_cannot_be_trained_on_is_a_reject(tiny: Path) -> None:
    short = load_reference("tiny-random", CONFIG.model_copy(update={"max_length": 50}))
    rows, dropped = short.logprobs(FEW.preferences())
    assert 0 < rows.height < 16
    assert rows.height + dropped.filter(table="solutions").height == 16
    assert set(dropped["stage"]) == {"reference_logprobs"}


def test_it_moves_neither_random_state_nor_mode(reference: Reference, table: pl.DataFrame) -> None:
    state = torch.random.get_rng_state()
    assert isinstance(reference.compute, Model)
    reference.compute.model.train()
    again, _ = reference.logprobs(FEW.preferences())
    assert torch.equal(state, torch.random.get_rng_state())
    assert reference.compute.model.training
    assert again.equals(table)


def test_no_preferences_no_rows(reference: Reference) -> None:
    empty = type(FEW)(**(vars(FEW) | {"pairs": FEW.pairs.clear()}))
    assert reference.logprobs(empty.preferences())[0].is_empty()


def test_usable_gives_tensors_by_token_hash(reference: Reference, table: pl.DataFrame) -> None:
    groups, _ = FEW.preferences().groups(reference.tokenizer, 2048)
    found = usable(table, groups, reference.identity)
    solution = groups[0].solutions[0]
    assert found[solution.token_hash].shape == (len(solution.tokens.step_of_token),)


def test_the_identity_tells_types(tiny: Path) -> None:
    """Frozen weights are in the type of the computation, so adapters have another reference than full training."""
    half = PolicyTraining(dtype="bfloat16")
    names = [
        reference_identity(tiny, config).partition(":")[2]
        for config in (CONFIG, half, PolicyTraining(dtype="bfloat16", lora=LoRA()))
    ]
    assert names == ["float32:float32", "float32:bfloat16", "bfloat16:bfloat16"]
    assert not reference_of(FEW.preferences(), half).is_empty()


def test_another_engine_may_compute_the_same_rows(reference: Reference, table: pl.DataFrame) -> None:
    """It is asked for the missing texts only, and its rows say the same reference."""
    asked: list[int] = []

    def compute(texts: Sequence[Tokenised]) -> list[list[float]]:
        asked.extend(len(text.ids) for text in texts)
        return [[-float(place) for place, _ in enumerate(text.step_of_token)] for text in texts]

    other = load_reference("tiny-random", CONFIG, compute)
    assert (other.identity, other.longest) == (reference.identity, reference.longest)
    rows, _ = other.logprobs(FEW.preferences(), table.head(3))
    assert len(asked) == table.height - 3
    assert rows.head(3).equals(table.head(3))
    assert rows["logprobs"][5].to_list() == [-float(place) for place in range(len(table["logprobs"][5]))]
