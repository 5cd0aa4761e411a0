"""adapters: LoRA goes where it was sent, and nowhere else."""

import json
from pathlib import Path

import pytest
import torch
from bitsandbytes.nn import Linear4bit
from transformers import AutoModelForCausalLM

from fullstep_train import models
from fullstep_train.adapters import merged, with_lora
from fullstep_train.config import LoRA, PolicyTraining
from fullstep_train.prm import initialise_head
from fullstep_train.reference import load_causal, reference_identity
from schemas import InputError
from tests.fullstep_train.frames import make_tables
from tests.fullstep_train.runs import contents, run_policy, run_prm, stop_at
from tests.fullstep_train.test_forward import solutions_of_one_problem

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


QLORA = LoRA(rank=2, targets=("q_proj",), quantised="nf4")


def test_quantised_weights_below_the_head(tiny: Path) -> None:
    model, _ = load_causal(str(tiny), PolicyTraining(lora=QLORA, dtype="float32"))
    assert isinstance(model.model.layers[0].self_attn.q_proj, Linear4bit)
    assert not isinstance(model.lm_head, Linear4bit)
    plain = PolicyTraining(lora=LoRA(rank=2), dtype="float32")
    assert reference_identity(str(tiny), PolicyTraining(lora=QLORA, dtype="float32")).endswith(":nf4:float32")
    assert reference_identity(str(tiny), plain).endswith(":float32:float32")


def test_quantised_weights_have_a_gradient_after_a_pass_without(tiny: Path) -> None:
    """Through the second layer to the adapters of the first, and of the length that plain weights give: 4 bits are coarse."""
    norms = []
    for quantised in ("nf4", None):
        model, runs = load_causal(tiny, PolicyTraining(lora=QLORA.model_copy(update={"quantised": quantised}), dtype="float32"))
        adapted = with_lora(model, QLORA, seed=0)
        solutions = solutions_of_one_problem()
        torch.cat(runs.logprobs(adapted.train(), solutions)).sum().backward()
        grads = [parameter.grad for name, parameter in adapted.named_parameters() if "layers.0" in name and "lora_B" in name]
        norms.append(sum(float(grad.norm()) for grad in grads if grad is not None))
    assert 0.5 < norms[0] / norms[1] < 2


def test_a_policy_over_quantised_weights_is_saved_whole(tmp_path: Path, tiny: Path) -> None:
    """The reference is the quantised model, so all rewards begin at 0 and the loss at ln 2; what is saved is the base model as
    it was, plus what the adapters learnt.
    """
    folder = run_policy(tmp_path, tables=FEW, lora=QLORA, pack_tokens=1)
    assert json.loads((folder / "training.json").read_text())[0]["loss"] == pytest.approx(0.6931472, abs=1e-6)
    before = AutoModelForCausalLM.from_pretrained(tiny).state_dict()
    after = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    assert before.keys() == after.keys()
    assert {name.split(".")[-2] for name in before if not torch.equal(before[name], after[name])} == {"q_proj"}
    change = after["model.layers.0.self_attn.q_proj.weight"] - before["model.layers.0.self_attn.q_proj.weight"]
    assert torch.linalg.matrix_rank(change.double(), atol=1e-6) == 2
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())


def test_a_prm_over_quantised_weights_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    whole = run_prm(tmp_path / "whole", tables=FEW, lora=QLORA, epochs=2, save_every=1)
    with pytest.raises(KeyboardInterrupt):
        run_prm(tmp_path / "broken", stop_at(5), tables=FEW, lora=QLORA, epochs=2, save_every=1)
    run_prm(tmp_path / "broken", tables=FEW, lora=QLORA, epochs=2, save_every=1)
    assert contents(tmp_path / "broken") == contents(whole)


def test_quantised_weights_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullstep_train.models.find_spec", lambda name: None)
    with pytest.raises(InputError, match="not installed") as told:
        run_policy(tmp_path, tables=FEW, lora=QLORA)
    assert "fullstep[qlora]" in told.value.next_step
