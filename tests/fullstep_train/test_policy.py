"""policy: it raises the chosen over the rejected, each option does what it says, and bad input is refused."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from fullstep_train import models
from fullstep_train.config import DPO, SFT, LoRA, PolicyTraining, Step, StepDPO, StepMean, Token
from fullstep_train.groups import PAIR_LOST_A_SOLUTION
from fullstep_train.policy import train_policy
from fullstep_train.preferences import StepPairs
from fullstep_train.watch import FALL
from schemas import InputError
from tests.fullstep_train.frames import make_tables
from tests.fullstep_train.runs import reference_of, run_policy, weights

CHANGES: dict[str, Any] = {
    "epochs": 2,
    "groups_per_step": 3,
    "weight_decay": 10.0,
    "max_grad_norm": 0.01,
    "dtype": "bfloat16",
    "lora": LoRA(),
    "seed": 1,
    "learning_rate": 2e-3,
    "warmup_steps": 5,
    "beta": 0.5,
    "weighting": StepMean(gamma=0.5),
}
# A learning rate at which the chosen fall with the rejected, while all pairs are won.
COLLAPSING: dict[str, Any] = {"learning_rate": 3e-2, "epochs": 4, "groups_per_step": 2, "beta": 0.05}
FEW = make_tables(problems=4)
LORA_CHANGES = {"rank": 2, "alpha": 8.0, "dropout": 0.5, "targets": ("q_proj",)}


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_policy(tmp_path_factory.mktemp("policy"), tables=FEW)


@pytest.mark.parametrize("name", CHANGES)
def test_every_option_has_an_effect(tmp_path: Path, plain_run: Path, name: str) -> None:
    changed = run_policy(tmp_path, tables=FEW, **{name: CHANGES[name]})
    assert not torch.equal(weights(changed), weights(plain_run))


def test_every_option_of_lora_and_of_the_weightings_has_an_effect(tmp_path: Path) -> None:
    runs = [run_policy(tmp_path / "lora", tables=FEW, lora=LoRA())]
    runs += [run_policy(tmp_path / name, tables=FEW, lora=LoRA(**{name: value})) for name, value in LORA_CHANGES.items()]
    weightings = [Step(), Step(gamma=3), StepMean(), StepMean(gamma=3), Token(), Token(gamma=3), Token(tau=0)]
    weightings += [Step(transform="logit"), Step(transform="standardised"), Step(advantages=True)]
    # tau has something to weigh only when the policy has moved: the first step's learning rate is 0 (warm-up).
    runs += [
        run_policy(tmp_path / f"{place}", tables=FEW, epochs=2, weighting=weighting) for place, weighting in enumerate(weightings)
    ]
    found = [weights(run) for run in runs]
    for place, one in enumerate(found):
        assert not any(torch.equal(one, other) for other in found[:place])


def test_every_objective_has_an_effect(tmp_path: Path, plain_run: Path) -> None:
    objectives = (DPO(nll_weight=0.5), DPO(length_normalised=True), SFT(), StepDPO(), StepDPO(nll_weight=0.5))
    found = [weights(plain_run)]
    found += [weights(run_policy(tmp_path / f"{n}", tables=FEW, objective=made)) for n, made in enumerate(objectives)]
    for place, one in enumerate(found):
        assert not any(torch.equal(one, other) for other in found[:place])


def test_sft_learns_the_chosen_and_nothing_of_the_rejected(tmp_path: Path) -> None:
    folder = run_policy(tmp_path / "run", objective=SFT(), epochs=4, groups_per_step=6)
    curve = json.loads((folder / "training.json").read_text())
    # Before the first update: minus the mean of the reference's log-probs over the tokens of the chosen.
    tables = make_tables(problems=6)
    reference = reference_of(tables.preferences(), PolicyTraining())
    chosen = reference.filter(pl.col("solution_id").is_in(tables.pairs["chosen_id"].implode()))["logprobs"].explode()
    assert curve[0]["loss"] == pytest.approx(-chosen.mean(), rel=1e-5)
    assert curve[0]["chosen_tokens"] == len(chosen)
    assert curve[-1]["loss"] < 0.9 * curve[0]["loss"]
    assert curve[-1]["log_ratio/chosen"] > 0
    other = tables.step_scores.with_columns(reward=1 - pl.col("reward"))
    tables = type(tables)(**(vars(tables) | {"step_scores": other}))
    again = run_policy(tmp_path / "again", tables=tables, objective=SFT(), epochs=4, groups_per_step=6)
    assert torch.equal(weights(again), weights(folder))


def test_step_dpo_learns_one_step_in_its_context(tmp_path: Path, tiny: Path, tiny_tokenizer: Any) -> None:
    """The first row is the formula on the second steps alone: log-probs of their tokens after prompt and first step."""
    tables = make_tables(problems=2)
    folder = run_policy(tmp_path / "run", tables=tables, objective=StepDPO(), epochs=4)
    curve = json.loads((folder / "training.json").read_text())
    model = models.load_causal(tiny, torch.float32)
    rows = tables.step_pairs().to_dicts()
    expected = {"chosen": 0.0, "rejected": 0.0}
    for side in expected:
        for row in rows:
            context = tiny_tokenizer(row["prompt"] + row["prefix"])["input_ids"]
            ids = torch.tensor([tiny_tokenizer(row["prompt"] + row["prefix"] + row[side])["input_ids"]])
            assert ids[0, : len(context)].tolist() == context
            with torch.no_grad():
                logps = model(input_ids=ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])
            expected[side] += float(logps[len(context) - 1 :].sum()) / len(rows)
    assert curve[0]["pairs"] == len(rows) == 4  # two problems, two wrong second steps each
    assert curve[0]["logps/chosen"] == pytest.approx(expected["chosen"], rel=1e-5)
    assert curve[0]["logps/rejected"] == pytest.approx(expected["rejected"], rel=1e-5)
    assert curve[0]["loss"] == pytest.approx(0.6931472, abs=1e-5)
    assert curve[-1]["rewards/accuracies"] == 1.0


def test_the_objective_says_which_preferences_it_learns_from(tmp_path: Path) -> None:
    preferences = FEW.preferences()
    for config, given in ((PolicyTraining(objective=StepDPO()), preferences), (PolicyTraining(), StepPairs(FEW.step_pairs()))):
        with pytest.raises(InputError, match="does not learn from"):
            train_policy(given, pl.DataFrame(), config, "tiny-random", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_every_solution_needs_its_reference(tmp_path: Path) -> None:
    """Rows of another model, and rows of other tokens, are no reference."""
    preferences, config = FEW.preferences(), PolicyTraining()
    table = reference_of(preferences, config)
    for wrong in (table.head(5), table.with_columns(reference=pl.lit("other")), table.with_columns(token_hash=pl.lit("x"))):
        with pytest.raises(InputError, match="without log-probs of their tokens") as told:
            train_policy(preferences, wrong, config, "tiny-random", tmp_path / "run")
        assert told.value.count == 16 - (5 if wrong.height == 5 else 0)


def test_no_pairs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pairs to train on"):
        run_policy(tmp_path / "run", tables=type(FEW)(**(vars(FEW) | {"pairs": FEW.pairs.clear()})))


def test_nll_weight_holds_the_chosen_up(tmp_path: Path) -> None:
    """Where DPO alone lets the chosen fall, with the warning, they stay up with the NLL term, and without one."""
    ends = {}
    for weight in (0.0, 3.0):
        folder = run_policy(tmp_path / f"{weight}", objective=DPO(nll_weight=weight), **COLLAPSING)
        curve = json.loads((folder / "training.json").read_text())
        warnings = json.loads((folder / "policy.json").read_text())["warnings"]
        ends[weight] = (curve[-1]["log_ratio/chosen"], warnings)
    assert ends[0.0][0] < -FALL
    assert ends[3.0][0] > ends[0.0][0] + FALL
    assert [len(warnings) for _, warnings in ends.values()] == [1, 0]


def test_a_collapse_is_said_once_while_it_happens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = run_policy(tmp_path, **COLLAPSING)
    said = [record.message for record in caplog.records if record.name == "fullstep_train.watch"]
    assert said == json.loads((folder / "policy.json").read_text())["warnings"]


@pytest.mark.parametrize(
    "options", [{"max_group_tokens": 60, "save_every": 1}, {"max_group_tokens": 1}, {"gradient_checkpointing": True}]
)
def test_options_of_the_machine_do_not_change_the_result(tmp_path: Path, plain_run: Path, options: dict[str, int]) -> None:
    changed = run_policy(tmp_path, tables=FEW, **options)
    assert torch.allclose(weights(changed), weights(plain_run), atol=1e-4)


def test_gradient_checkpointing_keeps_less(tmp_path: Path) -> None:
    kept = {}
    for on in (False, True):
        numbers: list[int] = []

        def count(tensor: torch.Tensor) -> torch.Tensor:
            numbers.append(tensor.numel())  # noqa: B023  # called in this pass
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            run_policy(tmp_path / str(on), tables=make_tables(problems=1), gradient_checkpointing=on, attention="dense")
        kept[on] = sum(numbers)
    assert kept[True] < 0.5 * kept[False]


def test_equal_rewards_are_refused(tmp_path: Path) -> None:
    """All steps of every solution have one reward: steps weigh nothing, which is wrong where somebody asked them to."""
    tables = make_tables(problems=2)
    flat = tables.step_scores.with_columns(reward=pl.lit(0.5))
    tables = type(tables)(**(vars(tables) | {"step_scores": flat}))
    with pytest.raises(InputError, match="gamma has no effect") as told:
        run_policy(tmp_path / "run", tables=tables, weighting=Step(gamma=0.5))
    assert told.value.count == 8
    assert all(example.endswith("steps, reward 0.5") for example in told.value.examples)
    assert not (tmp_path / "run").exists()
    folder = run_policy(tmp_path / "dpo", tables=tables, weighting=Step(gamma=0.0))
    assert json.loads((folder / "policy.json").read_text())["warnings"] == []


def test_out_of_memory_names_the_setting(tmp_path: Path) -> None:
    def tick(done: int, total: int) -> None:
        if done:
            torch.empty(2**60, dtype=torch.uint8)

    with pytest.raises(InputError, match="memory ran out") as told:
        run_policy(tmp_path, tick, tables=FEW)
    assert "max_group_tokens" in told.value.where


def test_it_prefers_the_chosen(tmp_path: Path) -> None:
    folder = run_policy(tmp_path, epochs=6, pack_tokens=1)
    curve = json.loads((folder / "training.json").read_text())
    # Before the first update the policy is the reference: all rewards are 0, and the loss is -log sigmoid(0) = ln 2,
    # exactly, where a problem goes through the model alone, as it did for the reference.
    assert curve[0]["loss"] == pytest.approx(0.6931472, abs=1e-6)
    assert curve[0]["rewards/chosen"] == curve[0]["rewards/rejected"] == 0.0
    assert curve[-1]["loss"] < 0.5 * curve[0]["loss"]
    assert curve[-1]["rewards/accuracies"] == 1.0
    assert curve[-1]["rewards/margins"] == pytest.approx(curve[-1]["rewards/chosen"] - curve[-1]["rewards/rejected"], abs=1e-5)
    assert curve[0]["pairs"] == 8  # two problems of 2 x 2 pairs
    assert {"logps/chosen", "logps/rejected", "learning_rate", "grad_norm", "step"} <= curve[0].keys()
    assert [entry["step"] for entry in curve] == list(range(1, len(curve) + 1))


def test_what_the_folder_holds(plain_run: Path, tiny: Path) -> None:
    assert {path.name for path in plain_run.iterdir()} == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "policy.json",
        "rejects.parquet",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
    }
    assert json.loads((plain_run / "config.json").read_text()) == json.loads((tiny / "config.json").read_text())
    manifest = json.loads((plain_run / "policy.json").read_text())
    assert manifest["trained_on"] == {"problems": 4, "pairs": 16, "dropped": 0}
    assert manifest["base"] == models.identity(tiny)


def test_long_solutions_are_dropped_with_their_pairs_and_counted(tmp_path: Path) -> None:
    folder = run_policy(tmp_path, max_length=50)
    rejects = pl.read_parquet(folder / "rejects.parquet")
    manifest = json.loads((folder / "policy.json").read_text())
    assert set(rejects["stage"]) == {"policy"}
    lost = rejects.filter(reason=PAIR_LOST_A_SOLUTION).height
    assert manifest["trained_on"] == {
        "problems": manifest["trained_on"]["problems"],
        "pairs": 24 - lost,
        "dropped": rejects.height,
    }
    assert 0 < lost < 24


def test_all_pairs_dropped(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="every pair was dropped") as caught:
        run_policy(tmp_path, max_length=10)
    assert caught.value.count == 24


def test_not_a_number_names_the_problem(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the loss is not a number"):
        run_policy(tmp_path, learning_rate=1e30, epochs=4)


def test_a_linear_schedule_falls_to_nothing(tmp_path: Path) -> None:
    """Four optimiser steps without warm-up: the same rate each, or 1, 3/4, 1/2, 1/4 of it."""
    rates: dict[str, list[float]] = {}
    for schedule in ("constant", "linear"):
        options = {"epochs": 4, "groups_per_step": 4, "warmup_steps": 0, "learning_rate": 1e-3, "schedule": schedule}
        folder = run_policy(tmp_path / schedule, tables=FEW, **options)
        rates[schedule] = [row["learning_rate"] for row in json.loads((folder / "training.json").read_bytes())]
    assert rates["constant"] == pytest.approx([1e-3] * 4)
    assert rates["linear"] == pytest.approx([1e-3, 7.5e-4, 5e-4, 2.5e-4])
