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
Attention = Literal["auto", "dense"]


class Config(BaseModel):
    """Base of every section: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LoRA(Config):
    """Low-rank adapters (peft), merged into the saved model. alpha / rank scales them.

    targets: endings of module names, or `all-linear`: every linear layer but the head. quantised: the frozen weights are held
    in 4-bit NormalFloat (QLoRA, Dettmers et al., arXiv 2305.14314; extra `qlora`); the saved model is the unquantised one plus
    what was learnt. The reference is then the quantised model, as that is what the policy starts from.
    """

    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    quantised: Literal["nf4"] | None = None


class Training(Config):
    """What PRM and policy training have in common.

    epochs: passes over the groups, fractions allowed. groups_per_step: problems per optimiser step, over all processes.
    pack_tokens: most tokens of several problems that go through the model together, where that is cheaper (equal beginnings,
    such as a few-shot prompt, count once, and cost once); 1 = each alone. max_group_tokens: most tokens in one forward pass; a
    larger group is run in several, each recomputed in the backward pass, so memory is that of one; 1 = one solution at a time,
    the least memory. gradient_checkpointing: keep of each layer only its input, and compute it again in the backward pass:
    less memory, about a third more time. attention: how the solutions of a pass are kept apart; dense = by a mask of slots x
    slots; auto = on a GPU by the block masks of FlexAttention, where a trial gives what the dense mask does. None of these
    changes the gradient. max_length: longest prompt + solution in tokens; longer ones are rejected, never cut. dtype: of the
    computation; auto = bfloat16 on a GPU that has it, else float32 (what is trained is kept in float32). save_every: optimiser
    steps between two checkpoints.
    """

    epochs: float = Field(default=1, gt=0)
    groups_per_step: int = Field(default=8, ge=1)
    pack_tokens: int = Field(default=4096, ge=1)
    max_group_tokens: int = Field(default=8192, ge=1)
    gradient_checkpointing: bool = False
    attention: Attention = "auto"
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


class LabelsAsRewards(Config):
    """No PRM: the reward of a step is the value of its label. With the bench's true labels: what a perfect PRM would give."""

    kind: Literal["labels"] = "labels"


PRMConfig = Annotated[PRMTraining | PRMGiven | LabelsAsRewards, Field(discriminator="kind")]


class Weights(Config):
    """What the step weights have in common: softmax_k(±gamma * a_k), where a_k comes from the rewards r_k of a problem.

    transform, of all rewards of a problem's solutions: raw = r; logit = log(r / (1 - r)), r first kept within 1e-6 of 0
    and 1; standardised = (r - mean) / standard deviation over the problem's steps (all 0 where they are all equal).
    advantages: a_k = r_k - r_(k-1) of the transformed rewards with r_0 = 0, instead of a_k = r_k.
    """

    gamma: float = Field(default=0.5, ge=0)
    transform: Literal["raw", "logit", "standardised"] = "raw"
    advantages: bool = False


class Step(Weights):
    """A_k = K * softmax_k(±gamma * a_k): gamma 0 is vanilla DPO, exactly (method.md, weighting `step`)."""

    kind: Literal["step"] = "step"


class StepMean(Weights):
    """A_k = softmax_k(±gamma * a_k): gamma 0 is DPO with a factor 1/K per solution (method.md, weighting `step-mean`)."""

    kind: Literal["step-mean"] = "step-mean"


class Token(Weights):
    """The released trainer: softmax over tokens, times sigmoid(∓tau * log-ratio of the token), no outer beta
    (weighting `token`).
    """

    kind: Literal["token"] = "token"
    tau: float = Field(default=1.0, ge=0)


Weighting = Annotated[Step | StepMean | Token, Field(discriminator="kind")]


class Preference(Config):
    """What objectives on preferences have in common.

    nll_weight: what -log pi of the chosen, as a mean over its tokens, is multiplied by when it is added to the loss of a
    pair (Pang et al., arXiv 2404.19733, equation 1); it holds the chosen up where DPO would let both fall.
    length_normalised: rho is beta * the MEAN log-ratio of a solution's tokens instead of their sum (beta is then larger
    by about their number, 2.0 to 2.5 in SimPO, arXiv 2405.14734), and so its gradient; `token` weights, which are shares
    of 1 already, change in the sigmoid only.
    """

    nll_weight: float = Field(default=0.0, ge=0)
    length_normalised: bool = False


class DPO(Preference):
    """Step-wise DPO on pairs of whole solutions (the table pairs)."""

    kind: Literal["dpo"] = "dpo"


class StepDPO(Preference):
    """Step-DPO on pairs of next steps (the table step_pairs; Lai et al., arXiv 2406.18629): the steps before are context, the
    loss is on one step, and the end token follows only a step that ends its solution. The weighting is not used.
    """

    kind: Literal["step-dpo"] = "step-dpo"


class SFT(Config):
    """Supervised fine-tuning on the distinct chosen solutions: mean of -log pi over their tokens (rejection-sampling
    fine-tuning, Yuan et al., arXiv 2308.01825). The rejected and the weighting are not learnt from; beta only scales the
    rewards that are logged.
    """

    kind: Literal["sft"] = "sft"


Objective = Annotated[DPO | StepDPO | SFT, Field(discriminator="kind")]


class PolicyTraining(Training):
    """Step-wise DPO, or another objective on the same pairs.

    base: the model to train and the reference (None: the recipe's model). beta: what log-ratios to the reference are
    multiplied by. warmup_steps: optimiser steps in which the learning rate rises. schedule: after them it is constant, as in the
    released configuration, or falls linearly to 0.
    """

    base: str | None = None
    objective: Objective = DPO()
    weighting: Weighting = Step()
    beta: float = Field(default=0.05, gt=0)
    learning_rate: float = Field(default=5e-7, gt=0)
    warmup_steps: int = Field(default=50, ge=0)
    schedule: Literal["constant", "linear"] = Field(default="constant", exclude_if=lambda kind: kind == "constant")
