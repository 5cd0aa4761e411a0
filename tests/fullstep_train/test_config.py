"""config: frozen, strict, the paper's defaults, and choices told apart by `kind`."""

import pytest
from pydantic import TypeAdapter, ValidationError

from fullstep_train.config import DPO, SFT, PolicyTraining, PRMConfig, PRMGiven, PRMTraining, Step, Token


def test_the_policys_defaults_are_the_papers() -> None:
    """arXiv 2502.14356 and its released configuration (design/method.md)."""
    config = PolicyTraining()
    assert (config.beta, config.weighting, config.learning_rate) == (0.05, Step(gamma=0.5), 5e-7)
    assert config.objective == DPO(nll_weight=0, length_normalised=False)
    assert (config.weighting.transform, config.weighting.advantages) == ("raw", False)
    assert (config.epochs, config.warmup_steps, config.groups_per_step) == (1, 50, 8)


def test_kinds_are_told_apart() -> None:
    prm = TypeAdapter(PRMConfig)
    assert prm.validate_python({"kind": "given", "path": "x"}) == PRMGiven(path="x")
    assert prm.validate_python({"kind": "train", "epochs": 2}) == PRMTraining(epochs=2)
    assert PolicyTraining.model_validate({"weighting": {"kind": "token", "tau": 0.5}}).weighting == Token(tau=0.5)
    assert PolicyTraining.model_validate({"objective": {"kind": "sft"}}).objective == SFT()
    assert PolicyTraining.model_validate({"objective": {"nll_weight": 1.0, "kind": "dpo"}}).objective == DPO(nll_weight=1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochz", 1),
        ("epochs", 0),
        ("beta", 0),
        ("learning_rate", -1e-6),
        ("groups_per_step", 0),
        ("lora", {"rank": 0}),
        ("lora", {"dropout": 1.0}),
        ("weighting", {"kind": "step", "tau": 1.0}),
        ("weighting", {"kind": "step", "transform": "log"}),
        ("objective", {"kind": "sft", "nll_weight": 1.0}),
        ("objective", {"kind": "dpo", "nll_weight": -1.0}),
        ("dtype", "float16"),
    ],
)
def test_wrong_values_are_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        PolicyTraining.model_validate({key: value})


def test_frozen() -> None:
    with pytest.raises(ValidationError):
        PolicyTraining().beta = 1.0  # type: ignore[misc]  # that is the test
