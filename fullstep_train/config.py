"""The training half of a recipe, typed: frozen and inert, like fullstep_data.config.

    PRMTraining(epochs=2, lora=LoRA(rank=16))
    PolicyTraining(weighting=Token(gamma=0.5))

Choices that cannot stand together are different types, told apart by `kind`. The defaults of PolicyTraining are those
of the paper (arXiv 2502.14356) and its released configuration: beta 0.05, gamma 0.5, learning rate 5e-7, one epoch, 50
warm-up steps, eight problems per optimiser step.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

DType = Literal["auto", "float32", "bfloat16"]


class Config(BaseModel):
    """Base of every section: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LoRA(Config):
    """Low-rank adapters (peft), merged into the saved model. alpha / rank scales them.

    targets: endings of module names, or `all-linear`: every linear layer but the head.
    """

    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"


class Training(Config):
    """What PRM and policy training have in common.

    epochs: passes over the groups, fractions allowed. groups_per_step: problems per optimiser step (gradient
    accumulation; the result does not depend on their sizes). max_group_tokens: most tokens in one forward pass; a
    larger group is run in several, each recomputed in the backward pass, so memory is that of one. max_length: longest
    prompt + solution in tokens; longer ones are rejected, never cut. dtype: of the computation; auto = bfloat16 on a
    GPU that has it, else float32 (what is trained is kept in float32). save_every: optimiser steps between two
    checkpoints.
    """

    epochs: float = Field(default=1, gt=0)
    groups_per_step: int = Field(default=8, ge=1)
    max_group_tokens: int = Field(default=8192, ge=1)
    max_length: int = Field(default=2048, ge=2)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    dtype: DType = "auto"
    lora: LoRA | None = None
    save_every: int = Field(default=50, ge=1)
    seed: int = 0


class PRMTraining(Training):
    """Train a PRM: a two-class head on `base` (None: the recipe's model), cross-entropy at each step's last token.

    target: label = hard 0/1, value = the soft share of correct rollouts. validation_share: share of the problems held
    back to measure the PRM. warmup_share: share of the optimiser steps in which the learning rate rises; it falls
    linearly to 0 after.
    """

    kind: Literal["train"] = "train"
    base: str | None = None
    target: Literal["label", "value"] = "label"
    learning_rate: float = Field(default=1e-5, gt=0)
    validation_share: float = Field(default=0.1, ge=0, lt=1)
    warmup_share: float = Field(default=0.1, ge=0, lt=1)


class PRMGiven(Config):
    """Use a PRM that exists: a folder as `train_prm` leaves it (a *ForTokenClassification with two labels)."""

    kind: Literal["given"] = "given"
    path: str


PRMConfig = Annotated[PRMTraining | PRMGiven, Field(discriminator="kind")]


class Step(Config):
    """A_k = K * softmax_k(±gamma * r_k): gamma 0 is vanilla DPO, exactly (method.md, weighting `step`)."""

    kind: Literal["step"] = "step"
    gamma: float = Field(default=0.5, ge=0)


class StepMean(Config):
    """A_k = softmax_k(±gamma * r_k): gamma 0 is DPO with a factor 1/K per solution (method.md, weighting `step-mean`)."""

    kind: Literal["step-mean"] = "step-mean"
    gamma: float = Field(default=0.5, ge=0)


class Token(Config):
    """The released trainer: softmax over tokens, times sigmoid(∓tau * log-ratio of the token), no outer beta
    (weighting `token`).
    """

    kind: Literal["token"] = "token"
    gamma: float = Field(default=0.5, ge=0)
    tau: float = Field(default=1.0, ge=0)


Weighting = Annotated[Step | StepMean | Token, Field(discriminator="kind")]


class PolicyTraining(Training):
    """Step-wise DPO. base: the model to train and the reference (None: the recipe's model).

    warmup_steps: optimiser steps in which the learning rate rises; it is constant after.
    """

    base: str | None = None
    weighting: Weighting = Step()
    beta: float = Field(default=0.05, gt=0)
    learning_rate: float = Field(default=5e-7, gt=0)
    warmup_steps: int = Field(default=50, ge=0)
