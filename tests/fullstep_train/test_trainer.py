"""trainer: the mean over an optimiser step, and resuming: stopped anywhere, started again, the same bytes."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from fullstep_train import models
from fullstep_train.config import LoRA, Step
from fullstep_train.forward import Runs, answer_logprobs
from fullstep_train.groups import preference_groups
from tests.fullstep_train.frames import make_tables
from tests.fullstep_train.runs import RUNS, contents, run_policy, stop_at, weights

FEW = make_tables(problems=4)
WITH_DROPOUT = LoRA(rank=2, dropout=0.1)  # so that the random state matters


@pytest.mark.parametrize("lora", [None, WITH_DROPOUT])
@pytest.mark.parametrize("kind", ["prm", "policy"])
def test_an_interrupted_run_goes_on_to_the_same_bytes(tmp_path: Path, kind: str, lora: Any) -> None:
    """Stopped in the first step, after a checkpoint, and between two; seeds set differently between."""
    settings = {"lora": lora, "epochs": 2, "save_every": 1}
    whole = RUNS[kind](tmp_path / "whole", **settings)
    broken = tmp_path / "broken"
    for place, moment in enumerate((1, 4, 6) if kind == "prm" else (1, 5, 8)):
        torch.manual_seed(100 + place)
        with pytest.raises(KeyboardInterrupt):
            RUNS[kind](broken, stop_at(moment), **settings)
    assert list((broken / "checkpoints").glob("checkpoint-*"))
    seen: list[int] = []
    RUNS[kind](broken, lambda done, total: seen.append(done), **settings)
    assert contents(broken) == contents(whole)
    assert not (broken / "checkpoints").exists()
    # What was done before the last checkpoint is not done again.
    assert len(seen) < 10


def test_mean_over_pairs_whatever_the_sizes_of_the_groups(tmp_path: Path, tiny: Path, tiny_tokenizer: Any) -> None:
    """One step over a problem of 4 pairs and one of 1: the logged gradient norm is that of the mean over all 5 pairs."""
    tables = make_tables(problems=2)
    problems = tables.pairs["problem_id"].unique().sort()
    few = pl.concat([tables.pairs.filter(problem_id=problems[0]), tables.pairs.filter(problem_id=problems[1]).head(1)])
    tables = type(tables)(**(vars(tables) | {"pairs": few}))
    folder = run_policy(tmp_path, tables=tables, weighting=Step(gamma=0), beta=0.1)
    first = json.loads((folder / "training.json").read_text())[0]
    model = models.load_causal(tiny, torch.float32)
    answer_logprobs(model)
    groups, _ = preference_groups(
        tables.pairs, tables.solutions, tables.steps, tables.step_scores, tiny_tokenizer, max_length=2048
    )
    margins = []
    for group in groups:
        total = [logps.sum() for logps in Runs(9999, torch.float32).logprobs(model, [s.tokens for s in group.solutions])]
        rho = [0.1 * (value - value.detach()) for value in total]
        margins += [rho[chosen] - rho[rejected] for chosen, rejected in group.pairs.tolist()]
    assert len(margins) == first["pairs"] == 5
    (-torch.nn.functional.logsigmoid(torch.stack(margins))).mean().backward()
    norm = torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]).norm()
    assert first["grad_norm"] == pytest.approx(float(norm), rel=1e-4)


def test_ticks_count_up_to_the_whole(tmp_path: Path) -> None:
    """4 groups, one at a time, or two where they have a long prompt in common."""
    longer = pl.lit("An example. " * 20) + pl.col("prompt")
    tables = type(FEW)(**(vars(FEW) | {"solutions": FEW.solutions.with_columns(prompt=longer)}))
    for pack_tokens, training in ((1, [1, 2, 3, 4]), (4096, [2, 4])):
        seen: list[tuple[int, int]] = []
        run_policy(tmp_path / str(pack_tokens), lambda *now: seen.append(now), tables=tables, pack_tokens=pack_tokens)  # noqa: B023  # called at once
        assert {total for _, total in seen} == {4}
        assert [done for done, _ in seen] == training


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["prm", "policy"])
def test_two_processes_train_as_one(tmp_path: Path, kind: str, model_cache: Path) -> None:
    """By gloo on the CPU; 5 training problems in steps of 4 and 1, so one process has nothing to do in the last step."""
    settings = {"groups_per_step": 4, "save_every": 1, "epochs": 1.25}
    alone = RUNS[kind](tmp_path / "alone", **settings)
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command += ["-m", "tests.fullstep_train.runs", kind, str(tmp_path / "both"), json.dumps(settings)]
    subprocess.run(command, check=True, capture_output=True, timeout=400)
    one, two = (json.loads((folder / "training.json").read_text()) for folder in (alone, tmp_path / "both"))
    assert len(one) == len(two) == 2
    for row, other in zip(one, two, strict=True):
        assert other == pytest.approx(row, rel=1e-4, abs=1e-6)
    assert torch.allclose(weights(alone), weights(tmp_path / "both"), atol=1e-5)
    assert contents(alone).keys() == contents(tmp_path / "both").keys()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["prm", "policy"])
def test_kill_9(tmp_path: Path, kind: str) -> None:
    """Killed by signal 9 three ticks later than the last time, over and over to the end."""
    settings = {"lora": WITH_DROPOUT.model_dump(), "save_every": 1}
    whole = RUNS[kind](tmp_path / "whole", **settings)
    broken = tmp_path / "broken"
    command = [sys.executable, "-m", "tests.fullstep_train.runs", kind, str(broken), json.dumps(settings)]
    for patience in range(1, 30, 3):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(patience):
            if not process.stdout.readline():
                break
        process.send_signal(signal.SIGKILL)
        process.stdout.close()
        process.wait()
        if (broken / f"{kind}.json").exists():
            break
    RUNS[kind](broken, **settings)
    assert contents(broken) == contents(whole)
