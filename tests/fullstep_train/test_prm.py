"""prm: it learns, it says how well, each option does what it says, and bad input is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from fullstep_train import models
from fullstep_train.config import LoRA, PRMTraining
from fullstep_train.groups import Group
from fullstep_train.prm import classifier, initialise_head, split
from fullstep_train.tokens import TOO_LONG
from schemas import TABLES, InputError
from tests.fullstep_train.frames import Tables, make_tables
from tests.fullstep_train.runs import contents, run_prm, stop_at, weights

# What each option is changed to, against the run without a change (1 epoch over 3 of 4 problems, 2 a step).
CHANGES: dict[str, Any] = {
    "epochs": 2,
    "groups_per_step": 3,
    "weight_decay": 10.0,
    "max_grad_norm": 0.01,
    "dtype": "bfloat16",
    "lora": LoRA(),
    "seed": 1,
    "learning_rate": 2e-3,
    "validation_share": 0.5,
    "warmup_share": 0.8,
    "target": "value",
}


@pytest.fixture(scope="module")
def soft_tables() -> Tables:
    """Labels whose soft value is not the hard label."""
    tables = make_tables(problems=4)
    labels = tables.step_labels.with_columns(value=(pl.col("label").cast(pl.Float32) * 0.5 + 0.2))
    return Tables(**(vars(tables) | {"step_labels": labels}))


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory, soft_tables: Tables) -> Path:
    return run_prm(tmp_path_factory.mktemp("prm"), tables=soft_tables)


@pytest.mark.parametrize("name", CHANGES)
def test_every_option_has_an_effect(tmp_path: Path, plain_run: Path, soft_tables: Tables, name: str) -> None:
    changed = run_prm(tmp_path, tables=soft_tables, **{name: CHANGES[name]})
    assert not torch.equal(weights(changed), weights(plain_run))


def test_options_of_the_machine_do_not_change_the_result(tmp_path: Path, plain_run: Path, soft_tables: Tables) -> None:
    """Smaller packs and more checkpoints cost time; the weights agree up to rounding."""
    changed = run_prm(tmp_path, tables=soft_tables, max_group_tokens=60, save_every=1)
    assert torch.allclose(weights(changed), weights(plain_run), atol=1e-4)


def test_it_learns(tmp_path: Path) -> None:
    """Wrong solutions are worded otherwise: on problems that it has not seen, the PRM tells right from wrong better
    than chance.
    """
    folder = run_prm(tmp_path, tables=make_tables(problems=12, good=3, bad=3), epochs=6, validation_share=0.3, lora=LoRA(rank=8))
    curve = [entry["loss"] for entry in json.loads((folder / "training.json").read_text())]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert curve[0] == pytest.approx(np.log(2), abs=0.2)
    assert curve[-1] < 0.8 * curve[0]
    assert metrics["validation"]["auc"] > 0.65  # the first steps of right and wrong solutions read the same
    assert metrics["validation"]["problems"] + metrics["training"]["problems"] == 12
    assert metrics["training"]["steps"] > metrics["validation"]["steps"] > 0


def test_its_auc_on_validation_is_logged_at_every_checkpoint_and_at_the_end(tmp_path: Path) -> None:
    """Steps 2, 4 and 5 of 5; the last is what metrics.json says of the finished PRM."""
    settings = {"epochs": 1.25, "groups_per_step": 1, "save_every": 2}
    folder = run_prm(tmp_path / "whole", **settings)
    curve = json.loads((folder / "training.json").read_text())
    assert [row["step"] for row in curve if "validation/auc" in row] == [2, 4, 5]
    assert curve[-1]["validation/auc"] == json.loads((folder / "metrics.json").read_text())["validation"]["auc"]
    with pytest.raises(KeyboardInterrupt):
        run_prm(tmp_path / "broken", stop_at(3), **settings)
    assert contents(run_prm(tmp_path / "broken", **settings)) == contents(folder)


def test_what_the_folder_holds(plain_run: Path, soft_tables: Tables) -> None:
    assert {path.name for path in plain_run.iterdir()} == {
        "config.json",
        "metrics.json",
        "model.safetensors",
        "prm.json",
        "rejects.parquet",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
    }
    settings = json.loads((plain_run / "config.json").read_text())
    assert settings["architectures"] == ["LlamaForTokenClassification"]
    assert settings["id2label"] == {"0": "incorrect", "1": "correct"}
    manifest = json.loads((plain_run / "prm.json").read_text())
    assert manifest["data"]["step_labels"]["rows"] == soft_tables.step_labels.height
    assert manifest["config"]["epochs"] == 1
    assert not TABLES["rejects"].violations(pl.read_parquet(plain_run / "rejects.parquet"))


def test_too_long_solutions_are_counted_not_cut(tmp_path: Path) -> None:
    tables = make_tables(problems=4)
    folder = run_prm(tmp_path, tables=tables, max_length=50)
    rejects = pl.read_parquet(folder / "rejects.parquet")
    assert set(rejects["reason"]) == {TOO_LONG}
    metrics = json.loads((folder / "metrics.json").read_text())
    used = metrics["training"]["solutions"] + metrics["validation"]["solutions"]
    assert 0 < rejects.height == tables.solutions.height - used < tables.solutions.height


def test_nothing_left(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no solution is left") as caught:
        run_prm(tmp_path, max_length=5)
    assert caught.value.examples == [TOO_LONG]


def test_not_a_number_names_the_problem(tmp_path: Path) -> None:
    tables = make_tables(problems=6)
    with pytest.raises(InputError, match="the loss is not a number") as caught:
        run_prm(tmp_path, tables=tables, learning_rate=1e30, epochs=4)
    assert any(problem in caught.value.where for problem in tables.solutions["problem_id"])
    assert "learning_rate" in caught.value.next_step


def groups_named(names: str) -> list[Group]:
    return [Group(name, (), np.empty((0, 2), dtype=np.int64)) for name in names]


def test_split_is_by_problem_and_stable_under_growth() -> None:
    names = "abcdefghijklmnopqrstuvwxyz"
    training, validation = split(groups_named(names), 0.3)
    assert {group.problem_id for group in training} | {group.problem_id for group in validation} == set(names)
    fewer_training, fewer_validation = split(groups_named(names[:20]), 0.3)
    assert {group.problem_id for group in fewer_training} <= {group.problem_id for group in training}
    assert {group.problem_id for group in fewer_validation} <= {group.problem_id for group in validation}


@pytest.mark.parametrize(
    ("names", "share", "sizes"), [("ab", 0.01, (1, 1)), ("ab", 0.99, (1, 1)), ("a", 0.99, (1, 0)), ("abc", 0.0, (3, 0))]
)
def test_split_leaves_something_on_each_side(names: str, share: float, sizes: tuple[int, int]) -> None:
    training, validation = split(groups_named(names), share)
    assert (len(training), len(validation)) == sizes


def test_without_validation_the_metrics_say_why(tmp_path: Path) -> None:
    metrics = json.loads((run_prm(tmp_path, validation_share=0.0) / "metrics.json").read_text())
    assert metrics["validation"]["auc"] is None
    assert metrics["validation"]["undefined"] == "no labelled steps in the validation problems"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_head_is_drawn_in_float32_whatever_the_base(tiny: Path, dtype: torch.dtype) -> None:
    model = models.load_token_classifier(tiny, dtype, num_labels=2)
    with torch.no_grad():
        model.score.weight.fill_(float("nan"))  # as transformers has left it
    initialise_head(model, seed=3)
    first = model.score.weight.detach().clone()
    assert first.dtype == torch.float32
    assert float(first.std()) == pytest.approx(0.1, rel=0.3)  # initializer_range of the tiny model
    assert not model.score.bias.any()
    initialise_head(model, seed=3)
    assert torch.equal(first, model.score.weight)


@pytest.mark.parametrize("lora", [None, LoRA()])
def test_the_classifier_is_trained_without_dropout(tiny: Path, lora: LoRA | None) -> None:
    """transformers puts a dropout of .1 before the head of a fresh classifier (its config may or may not hold another)."""
    assert 0.1 in {module.p for module in models.load_token_classifier(tiny, torch.float32).modules() if is_dropout(module)}
    model = classifier(tiny, PRMTraining(dtype="float32", lora=lora), torch.float32)
    assert {module.p for module in model.modules() if is_dropout(module)} == {0.0}
    ids = torch.arange(5, 25, device=model.device)[None]
    assert torch.equal(model.train()(input_ids=ids).logits, model.eval()(input_ids=ids).logits)


def is_dropout(module: torch.nn.Module) -> bool:
    return isinstance(module, torch.nn.Dropout)


def test_defaults_are_valid() -> None:
    assert PRMTraining().kind == "train"
