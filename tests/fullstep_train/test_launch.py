"""launch: what a training in its own processes gives, says and refuses is what one in this process does."""

import importlib.util
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from fullstep_train.checks import Kind
from fullstep_train.config import PolicyTraining, PRMTraining
from fullstep_train.launch import SHIPPED, Launch, launch
from fullstep_train.progress import Watch
from schemas import InputError
from tests.fullstep_train.frames import make_tables
from tests.fullstep_train.runs import FAST, RUNS, reference_of, weights

FEW = make_tables(problems=4)


def launched(
    kind: Kind,
    folder: Path,
    how: Launch,
    seen: list[tuple[int, int]],
    rows: list[Mapping[str, float]] | None = None,
    **changes: Any,
) -> Path:
    config = PRMTraining(**(FAST | changes)) if kind == "prm" else PolicyTraining(**(FAST | {"warmup_steps": 1} | changes))
    if isinstance(config, PRMTraining):
        tables = {"solutions": FEW.solutions, "steps": FEW.steps, "step_labels": FEW.step_labels}
    else:
        tables = {**FEW.preferences().tables, "reference_logprobs": reference_of(FEW.preferences(), config)}
    watch = Watch(lambda *now: seen.append(now), ([] if rows is None else rows).append)
    launch(how, kind, tables, config, "tiny-random", folder, watch)
    return folder


def test_a_policy_from_a_process_of_its_own(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    rows: list[Mapping[str, float]] = []
    launched("policy", tmp_path / "launched", Launch(1), seen, rows)
    alone = RUNS["policy"](tmp_path / "alone", tables=FEW)
    assert torch.allclose(weights(tmp_path / "launched"), weights(alone), atol=1e-6)
    assert seen[-1] == (4, 4)
    assert rows == json.loads((tmp_path / "launched" / "training.json").read_text())


def test_what_the_processes_refuse_is_refused_here(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="every pair was dropped") as told:
        launched("policy", tmp_path / "run", Launch(1), [], max_length=10)
    assert told.value.count == 16


def test_what_the_processes_warn_of_is_said_here(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = launched("policy", tmp_path / "run", Launch(1), [], learning_rate=3e-2, epochs=6, beta=0.05)
    said = [record.message for record in caplog.records if record.name == "fullstep_train.launch"]
    assert said == json.loads((folder / "policy.json").read_text())["warnings"]
    assert len(said) == 1
    assert "the chosen solutions are falling" in said[0]


def test_a_config_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        launched("prm", tmp_path / "run", Launch(1, tmp_path / "absent.yaml"), [])


def test_a_config_file_is_handed_on(tmp_path: Path) -> None:
    """accelerate itself refuses this one, which is no mapping: the end of what it says is told."""
    (tmp_path / "broken.yaml").write_text("- 1\n")
    with pytest.raises(RuntimeError, match="ended with code"):
        launched("prm", tmp_path / "run", Launch(1, tmp_path / "broken.yaml"), [])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["prm", "policy"])
def test_two_processes_launched(tmp_path: Path, kind: Kind) -> None:
    launched(kind, tmp_path / "both", Launch(2), [], groups_per_step=4)
    alone = RUNS[kind](tmp_path / "alone", tables=FEW, groups_per_step=4)
    one, two = (json.loads((folder / "training.json").read_text()) for folder in (alone, tmp_path / "both"))
    for row, other in zip(one, two, strict=True):
        assert other == pytest.approx(row, rel=1e-4, abs=1e-6)


def test_the_configurations_that_come_along() -> None:
    """accelerate reads each, and each is what its name says."""
    from accelerate.commands.config.config_args import load_config_from_file

    kinds = {name: load_config_from_file(str(file)) for name, file in SHIPPED.items()}
    assert {name: str(kind.distributed_type.value) for name, kind in kinds.items()} == {
        "fsdp2": "FSDP",
        "zero2": "DEEPSPEED",
        "zero3": "DEEPSPEED",
    }
    assert [kinds[name].deepspeed_config["zero_stage"] for name in ("zero2", "zero3")] == [2, 3]
    assert kinds["fsdp2"].fsdp_config["fsdp_version"] == 2


def test_deepspeed_is_asked_for_where_it_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullstep_train.launch.find_spec", lambda name: None)
    with pytest.raises(InputError, match="DeepSpeed is not installed") as told:
        launched("prm", tmp_path / "run", Launch(1, "zero2"), [])
    assert "fullstep[deepspeed]" in told.value.next_step


NO_GATHERING = """
compute_environment: LOCAL_MACHINE
distributed_type: DEEPSPEED
deepspeed_config:
  deepspeed_config_file: {json}
  zero3_init_flag: false
"""


def zero3_in_shares(tmp_path: Path, gather: bool) -> Path:
    """ZeRO 3 that divides even the smallest weights, which it would leave whole by default."""
    shares = {"stage": 3, "stage3_param_persistence_threshold": 0, "stage3_gather_16bit_weights_on_model_save": gather}
    more = {"train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 1, "gradient_clipping": 1.0}
    (tmp_path / "zero3.json").write_text(json.dumps({"zero_optimization": shares} | more))
    (tmp_path / "zero3.yaml").write_text(NO_GATHERING.format(json=tmp_path / "zero3.json"))
    return tmp_path / "zero3.yaml"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["prm", "policy"])
@pytest.mark.parametrize("way", ["fsdp2", "zero2", "zero3"])
def test_two_processes_with_the_model_in_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind, way: str) -> None:
    """Every figure and weight is that of one process. Groups that fall unevenly: two for one process, one for the other."""
    if way == "fsdp2":
        started = subprocess.Popen

        def on_cpu(command: list[str], **more: Any) -> Any:
            place = command.index("fullstep_train.launch")
            return started([*command[:place], "tests.fullstep_train.fsdp_on_cpu", *command[place + 1 :]], **more)

        monkeypatch.setattr("fullstep_train.launch.subprocess.Popen", on_cpu)
    elif importlib.util.find_spec("deepspeed") is None:
        pytest.skip("DeepSpeed is not installed")
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    config = zero3_in_shares(tmp_path, gather=True) if way == "zero3" else way
    settings = {"groups_per_step": 3, "pack_tokens": 1, "epochs": 3}
    launched(kind, tmp_path / "both", Launch(2, config), [], **settings)
    alone = RUNS[kind](tmp_path / "alone", tables=FEW, **settings)
    one, two = (json.loads((folder / "training.json").read_text()) for folder in (alone, tmp_path / "both"))
    for row, other in zip(one, two, strict=True):
        if row.get("rewards/margins") == 0:  # before the first update every pair is a tie, which rounding decides
            row["rewards/accuracies"] = other["rewards/accuracies"]
        assert other == pytest.approx(row, rel=1e-4, abs=1e-5)
    difference = weights(tmp_path / "both") - weights(alone)
    # Adam moves a weight by about the rate even where its gradient is all rounding, so a single one may go another way.
    # All together they differ by less than a thousandth of one such move of every weight.
    assert difference.norm() < 1e-3 * FAST["learning_rate"] * len(difference) ** 0.5


@pytest.mark.slow
def test_zero3_that_could_not_be_saved_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("deepspeed") is None:
        pytest.skip("DeepSpeed is not installed")
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    seen: list[tuple[int, int]] = []
    with pytest.raises(InputError, match="does not gather them"):
        launched("policy", tmp_path / "run", Launch(2, zero3_in_shares(tmp_path, gather=False)), seen)
    assert not seen
