"""forward: the shared-prompt way is the plain way, in value and gradient; models that cannot are found out."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from fullstep_train import forward, models
from fullstep_train.adapters import with_lora
from fullstep_train.config import LoRA, Step
from fullstep_train.forward import Runs, answer_logprobs, no_dropout, probe
from fullstep_train.losses import stepwise_dpo
from fullstep_train.prm import initialise_head
from fullstep_train.tokens import Tokenised

SMALL = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def solutions_of_one_problem(prompt: int = 9, shared: int = 3) -> list[Tokenised]:
    """Five solutions after one prompt; the first three begin alike. Steps of two tokens."""
    drawn = np.random.default_rng(0)
    start = drawn.integers(3, 50, prompt).tolist()
    first = drawn.integers(3, 50, shared).tolist()
    ends = [drawn.integers(3, 50, length).tolist() for length in (4, 2, 6, 7, 1)]
    texts = [first + end if place < 3 else end for place, end in enumerate(ends)]
    return [Tokenised(tuple(start + text), prompt, np.arange(len(text)) // 2) for text in texts]


def naive_logprobs(model: Any, solutions: list[Tokenised]) -> list[Tensor]:
    """One sequence at a time, all logits, log-softmax: what the chunks, packs and masks must come to."""
    found = []
    for solution in solutions:
        logits = model(input_ids=torch.tensor([solution.ids])).logits[0, :-1].log_softmax(-1)
        taken = logits.gather(1, torch.tensor(solution.ids[1:])[:, None])[:, 0]
        found.append(taken[solution.prompt_tokens - 1 :])
    return found


def gradient(model: Any, values: list[Tensor]) -> Tensor:
    """The gradient of a fixed uneven sum, as one vector."""
    total = sum((value * torch.linspace(0.5, 1.5, len(value), dtype=value.dtype)).sum() for value in values)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    found = torch.autograd.grad(total, trained, allow_unused=True)
    return torch.cat([grad.flatten() for grad in found if grad is not None])


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("max_tokens", [10_000, 20, 1])
def test_shared_prompt_gives_the_plain_gradient(tiny: Path, lora: bool, max_tokens: int) -> None:
    """One pack, several packs, a pack per solution.

    float64, but for the norms, which Llama computes in float32 (~1e-7).
    """
    model = models.load_causal(tiny, torch.float64)
    if lora:
        model = with_lora(model, LoRA(rank=2), seed=0)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter)
    solutions = solutions_of_one_problem()
    expected = naive_logprobs(model, solutions)
    expected_gradient = gradient(model, expected)
    answer_logprobs(model.get_base_model() if lora else model)
    for trees in (True, False):
        runs = Runs(max_tokens, torch.float64, trees=trees)
        assert (len(runs.packs([solution.ids for solution in solutions])) == 1) == (max_tokens == 10_000)
        found = runs.logprobs(model, solutions)
        assert all(torch.allclose(a, b, rtol=1e-10) for a, b in zip(found, expected, strict=True))
        difference = (gradient(model, found) - expected_gradient).norm() / expected_gradient.norm()
        assert float(difference) < 1e-6


def test_shared_prompt_in_float32(tiny: Path) -> None:
    model = models.load_causal(tiny, torch.float32)
    solutions = solutions_of_one_problem()
    expected = gradient(model, naive_logprobs(model, solutions))
    answer_logprobs(model)
    found = gradient(model, Runs(10_000, torch.float32).logprobs(model, solutions))
    assert float((found - expected).norm() / expected.norm()) <= 1e-5


def test_step_at_gamma_zero_is_the_dpo_of_a_naive_trainer(tiny: Path) -> None:
    """Parity with a pairwise DPO trainer: padded sequences one by one, -log sigmoid of the summed log-ratios, mean
    over pairs.
    """
    solutions, beta = solutions_of_one_problem(), 0.3
    pairs = torch.tensor([[0, 3], [0, 4], [1, 3], [1, 4], [2, 3]])
    model = models.load_causal(tiny, torch.float64)
    reference = [value.detach() + 0.1 * torch.randn(len(value)) for value in naive_logprobs(model, solutions)]
    rho = [beta * (value - ref).sum() for value, ref in zip(naive_logprobs(model, solutions), reference, strict=True)]
    loss = torch.stack(
        [-torch.nn.functional.logsigmoid(rho[chosen] - rho[rejected]) for chosen, rejected in pairs.tolist()]
    ).mean()
    parameters = list(model.parameters())
    expected = torch.cat([grad.flatten() for grad in torch.autograd.grad(loss, parameters)])
    answer_logprobs(model)
    steps = [torch.from_numpy(solution.step_of_token) for solution in solutions]
    rewards = [torch.rand(int(step[-1]) + 1) for step in steps]
    logps = Runs(10_000, torch.float64).logprobs(model, solutions)
    surrogate, logged = stepwise_dpo(logps, reference, steps, rewards, pairs, beta, Step(gamma=0))
    found = torch.cat([grad.flatten() for grad in torch.autograd.grad(surrogate / len(pairs), parameters)])
    assert logged["loss"] / len(pairs) == pytest.approx(float(loss.detach()), rel=1e-10)
    assert float((found - expected).norm() / expected.norm()) < 1e-6


def test_step_logits_are_those_of_each_sequence_alone(tiny: Path) -> None:
    model = models.load_token_classifier(tiny, torch.float64, num_labels=2)
    initialise_head(model, 0)
    model.to(torch.float64)
    solutions = solutions_of_one_problem()
    for max_tokens in (10_000, 20):
        found = Runs(max_tokens, torch.float64).step_logits(model, solutions)
        for solution, logits in zip(solutions, found, strict=True):
            last = solution.prompt_tokens + solution.last_token_of_step()
            alone = model(input_ids=torch.tensor([solution.ids])).logits[0, last]
            assert torch.allclose(logits, alone, rtol=1e-10)


def test_several_packs_keep_the_activations_of_one(tiny: Path) -> None:
    """What autograd keeps for the backward pass: a pack per solution keeps less than a tenth of what one pack keeps."""
    model = models.load_causal(tiny, torch.float32)
    answer_logprobs(model)
    kept = []
    for max_tokens in (10_000, 1):
        numbers = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal numbers
            numbers += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            Runs(max_tokens, torch.float32).logprobs(model, solutions_of_one_problem(prompt=40))
        kept.append(numbers)
    assert kept[1] < kept[0] / 10


def probed(model: Any) -> Runs:
    no_dropout(model)
    answer_logprobs(model)
    return probe(model, 10_000, torch.float32)


def agrees(model: Any, runs: Runs) -> bool:
    solutions = solutions_of_one_problem(prompt=20)
    with torch.no_grad():
        found = torch.cat(runs.logprobs(model, solutions))
        del model.forward
        expected = torch.cat(naive_logprobs(model, solutions))
    return torch.allclose(found, expected, atol=1e-4)


def test_llama_sees_by_trees(tiny: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = models.load_causal(tiny, torch.float32)
    state = torch.random.get_rng_state()
    assert probed(model).trees
    assert torch.equal(state, torch.random.get_rng_state())
    assert not caplog.records


def test_sliding_windows_are_kept() -> None:
    """Window 8: sequences of more than 8 tokens cannot be a tree, whose mask would let them see further."""
    torch.manual_seed(0)
    model = MistralForCausalLM(MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=8, initializer_range=0.3)).eval()
    runs = probed(model)
    assert runs.window == 8
    assert runs.packs([(1, 2, 3, 4), (1, 2, 5)])[0].ends is not None
    assert runs.packs([tuple(range(9))])[0].ends is None
    assert agrees(model, runs)


def test_capped_logits() -> None:
    """Gemma 2 caps its logits with a tanh: the head's log-probs are those of the model's own forward."""
    torch.manual_seed(0)
    config = Gemma2Config(**SMALL, num_key_value_heads=2, head_dim=8, final_logit_softcapping=0.5, initializer_range=0.3)
    config._attn_implementation = "eager"
    model = Gemma2ForCausalLM(config).eval()
    runs = probed(model)
    assert model.plain_head
    assert agrees(model, runs)


def test_a_head_that_is_more_than_a_linear_layer(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A model that scales its logits in a way we do not know is asked through its own forward, and says so once."""
    model = models.load_causal(tiny, torch.float32)
    own = model.forward

    def scaled(**inputs: Any) -> Any:
        made = own(**inputs)
        made.logits = made.logits * 3
        return made

    monkeypatch.setattr(model, "forward", scaled)
    with caplog.at_level(logging.WARNING):
        answer_logprobs(model)
        runs = probe(model, 10_000, torch.float32)
    assert [record.message.split(":")[0] for record in caplog.records] == ["the head of LlamaForCausalLM is not one linear layer"]
    solutions = solutions_of_one_problem()
    found = runs.logprobs(model, solutions)
    model.forward = scaled
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(found, naive_logprobs(model, solutions), strict=True))


def test_a_recurrent_model_falls_back_to_one_row_per_solution(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    model = MambaForCausalLM(MambaConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2, state_size=4)).eval()
    with caplog.at_level(logging.WARNING, logger=forward.__name__):
        runs = probed(model)
    assert not runs.trees
    assert [record.message for record in caplog.records if record.name == forward.__name__] == [
        "MambaForCausalLM does not see by a tree mask: prompts are computed once per solution"
    ]
    assert agrees(model, runs)


def test_no_dropout_is_left_in_training() -> None:
    """GPT-2 has a dropout of .1 everywhere and learnt positions: in training mode it must give what it gives in eval
    mode.
    """
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=4, n_positions=64))
    runs = probed(model)
    solutions = solutions_of_one_problem()
    assert runs.trees
    assert torch.equal(torch.cat(runs.logprobs(model.train(), solutions)), torch.cat(runs.logprobs(model.eval(), solutions)))


def test_bfloat16_is_near(tiny: Path) -> None:
    model = models.load_causal(tiny, torch.float32)
    answer_logprobs(model)
    solutions = solutions_of_one_problem()
    exact = torch.cat(Runs(10_000, torch.float32).logprobs(model, solutions))
    rough = torch.cat(probe(model, 10_000, torch.bfloat16).logprobs(model, solutions))
    assert rough.dtype == torch.float32
    assert not torch.equal(exact, rough)
    assert torch.allclose(exact, rough, atol=0.2)


def by_flex(model: Any, solutions: list[Tokenised]) -> Tensor:
    """Their log-probs by FlexAttention, which on a CPU has a forward pass only."""
    model.set_attn_implementation("flex_attention")
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        return torch.cat(Runs(10_000, torch.float32, flex=True).logprobs(model, solutions))


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile", "ignore:`torch.jit")
def test_block_masks_give_what_the_dense_mask_gives(tiny: Path) -> None:
    """More slots than a block of 128 has."""
    model = models.load_causal(tiny, torch.float32)
    answer_logprobs(model)
    solutions = solutions_of_one_problem(prompt=150, shared=60)
    with torch.no_grad():
        dense = torch.cat(Runs(10_000, torch.float32).logprobs(model, solutions))
    assert torch.allclose(by_flex(model, solutions), dense, atol=1e-5)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile", "ignore:`torch.jit")
def test_flex_attention_is_tried_where_it_may_be_and_left_where_it_fails(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Tried on a CPU it has no gradient: the model is left as it was, that is said once, and `dense` does not even try."""
    model = models.load_causal(tiny, torch.float32)
    monkeypatch.setattr(forward, "FLEX_ON", ("cpu",))
    answer_logprobs(model)
    with caplog.at_level(logging.WARNING, logger=forward.__name__), torch.compiler.set_stance("force_eager"):
        assert probe(model, 10_000, torch.float32, "dense") == Runs(10_000, torch.float32)
        assert not caplog.records
        assert probe(model, 10_000, torch.float32, "auto") == Runs(10_000, torch.float32)
    (said,) = [record.message for record in caplog.records if record.name == forward.__name__]
    assert said.startswith(
        "LlamaForCausalLM is run with a dense mask, not by FlexAttention: FlexAttention does not support backward"
    )
    assert model.config._attn_implementation == "sdpa"
    assert agrees(model, Runs(10_000, torch.float32))
