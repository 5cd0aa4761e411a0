"""adapters: LoRA goes where it was sent, and nowhere else."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from fullstep_train import models
from fullstep_train.adapters import merged, with_lora
from fullstep_train.config import LoRA
from fullstep_train.prm import initialise_head
from schemas import InputError
from tests.fullstep_train.frames import make_tables
from tests.fullstep_train.runs import run_policy

FEW = make_tables(problems=4)


def test_only_lora_targets_move(tmp_path: Path, tiny: Path) -> None:
    folder = run_policy(tmp_path, tables=FEW, lora=LoRA(targets=("q_proj",)))
    before = AutoModelForCausalLM.from_pretrained(tiny).state_dict()
    after = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    assert before.keys() == after.keys()
    assert {name.split(".")[-2] for name in before if not torch.equal(before[name], after[name])} == {"q_proj"}


def test_unknown_lora_targets(tmp_path: Path) -> None:
    for targets in (("no_such_proj",), ("lm_head",)):
        with pytest.raises(InputError, match=r"lora\.targets") as caught:
            run_policy(tmp_path / targets[0], lora=LoRA(targets=targets))
        assert "q_proj" in caught.value.next_step


def test_only_adapters_and_the_new_head_are_trained(tiny: Path) -> None:
    """Two layers of seven linear layers, each with A and B, and the head's weight and bias: 2 * 7 * 2 + 2 tensors."""
    model = models.load_token_classifier(tiny, torch.float32, num_labels=2)
    initialise_head(model, 0)
    wrapped = with_lora(model, LoRA(), 0, trained_whole=("score",))
    trained = [name for name, parameter in wrapped.named_parameters() if parameter.requires_grad]
    assert sum("lora_" in name for name in trained) == 28
    assert sum("score" in name for name in trained) == 2
    assert len(trained) == 30


def test_fresh_adapters_change_nothing_and_are_drawn_by_the_seed(tiny: Path) -> None:
    plain = models.load_causal(tiny, torch.float32)
    ids = torch.tensor([[5, 6, 7]])
    before = plain(input_ids=ids).logits
    drawn = []
    for seed in (0, 0, 1):
        wrapped = with_lora(models.load_causal(tiny, torch.float32), LoRA(), seed)
        drawn.append(torch.cat([value.flatten() for name, value in wrapped.named_parameters() if "lora_A" in name]))
        assert torch.equal(merged(wrapped)(input_ids=ids).logits, before)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
