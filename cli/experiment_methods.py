"""The methods of `fs-train experiment`: each is a set of recipe keys, nothing else.

    method("full-step").policy        # what of the recipe it changes, as `--set` would
    chosen("default,gamma")           # methods by name or group

All methods of one seed learn from the same samples. `data` asks for another version of the dataset (other labels, rewards or
selection over those samples), `after` starts from what another method has made, which is then the reference too.
"""

import difflib
from dataclasses import dataclass

from schemas import InputError

TRUE = ('step_labels={kind="truth"}', 'prm={kind="labels"}')
"""True labels, and as rewards the labels themselves: what perfect step rewards and a perfect selection would give."""


@dataclass(frozen=True)
class Method:
    """One way to learn. policy, data: overrides of the recipe. group: what `--methods` may name it by."""

    name: str
    doc: str
    policy: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    after: str = ""
    group: str = "default"


BASE = "base"
"""The model that all others are made from; it is measured, not trained."""

DPO = ("policy.weighting.gamma=0",)
SFT = ("policy.objective.kind=sft",)
STEP_DPO = ("policy.objective.kind=step-dpo",)
NLL = ('policy.objective={kind="dpo", nll_weight=1.0}',)

METHODS: tuple[Method, ...] = (
    Method("sft", "SFT on the chosen", SFT),
    Method("dpo", "DPO on whole solutions", DPO),
    Method("full-step", "Full-Step-DPO, weighting step, gamma 0.5"),
    Method("step-dpo", "Step-DPO, first error by the tree of samples", STEP_DPO),
    Method("sft-dpo", "SFT on the chosen, then DPO", DPO, after="sft"),
    Method("sft-sft", "SFT on the chosen, twice: the control of what follows SFT", SFT, after="sft"),
    Method("full-step-true", "Full-Step-DPO, true rewards and true selection", (), TRUE),
    Method("sft-step-dpo", "SFT on the chosen, then Step-DPO by the tree", STEP_DPO, after="sft"),
    Method("step-dpo-oracle", "Step-DPO, first error by the truth", STEP_DPO, TRUE),
    Method("dpo-nll", "DPO with the NLL of the chosen, weight 1", DPO + NLL),
    Method("full-step-mean", "Full-Step-DPO, weighting step-mean, gamma 0.5", ('policy.weighting.kind="step-mean"',)),
    Method("full-step-token", "Full-Step-DPO, weighting token, gamma 0.5", ('policy.weighting.kind="token"',)),
    Method("sft-full-step", "SFT on the chosen, then Full-Step-DPO", (), after="sft"),
    *(
        Method(f"full-step-gamma-{gamma}", f"Full-Step-DPO, gamma {gamma}", (f"policy.weighting.gamma={gamma}",), group="gamma")
        for gamma in ("0.25", "1", "2", "5", "10")
    ),
    *(
        Method(
            f"full-step-{score}",
            f"Full-Step-DPO, solutions selected by {score}",
            (),
            (f"pairs.score={score}",),
            group="selection",
        )
        for score in ("min", "product", "last", "random")
    ),
    *(
        Method(
            f"full-step-mc{n}",
            f"Full-Step-DPO, labels of {n} rollouts",
            (),
            (f'step_labels={{kind="monte-carlo", n={n}, policy="early-stop"}}',),
            group="labels",
        )
        for n in (1, 2, 4, 8)
    ),
)


def method(name: str) -> Method:
    """A method by its name. InputError: there is none of that name."""
    found = next((one for one in METHODS if one.name == name), None)
    if found is None:
        known = [one.name for one in METHODS]
        near = difflib.get_close_matches(name, [*known, *groups()], n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InputError(
            f"there is no method {name!r}",
            where="--methods",
            next_step=f"{hint}groups: {', '.join(groups())}; methods: {', '.join(known)}",
        )
    return found


def groups() -> list[str]:
    """The names of groups, in order."""
    return list(dict.fromkeys(one.group for one in METHODS))


def chosen(text: str) -> list[Method]:
    """The methods that a list of names and groups means, in the order of METHODS, with those that they start from."""
    wanted: set[str] = set()
    for word in filter(None, (part.strip() for part in text.split(","))):
        if word in groups():
            wanted |= {one.name for one in METHODS if one.group == word}
        elif word != BASE:
            wanted.add(method(word).name)
    wanted |= {method(name).after for name in wanted if method(name).after}
    return [one for one in METHODS if one.name in wanted]
