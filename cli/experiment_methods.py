"""The methods of `fs-train experiment`: each is a set of recipe keys, nothing else.

    method("full-step").policy        # what of the recipe it changes, as `--set` would
    chosen("default,gamma")           # methods by name or group

All methods of one seed learn from the same problems, and unless they say so from the same samples. `data` asks for another
version of the dataset (other labels, rewards or selection over those samples), `after` starts from what another method has made,
which is then the reference too, `sampler` lets that write the samples.
"""

import difflib
from dataclasses import dataclass

from schemas import InputError

TRUE = ('step_labels={kind="truth"}', 'prm={kind="labels"}')
"""True labels, and as rewards the labels themselves: what perfect step rewards and a perfect selection would give."""


@dataclass(frozen=True)
class Method:
    """One way to learn. policy, data: overrides of the recipe. group: what `--methods` may name it by.

    sampler: the method whose policy writes the samples (else the base model does). prm: recipe keys of a dataset of other
    problems, whose PRM gives the rewards. searched: is its learning rate? Else it is the recipe's, as for a step on the way.
    """

    name: str
    doc: str
    policy: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    after: str = ""
    sampler: str = ""
    prm: tuple[str, ...] = ()
    group: str = "default"
    searched: bool = True

    @property
    def needs(self) -> tuple[str, ...]:
        """The methods that have to be finished before this one begins."""
        return tuple(dict.fromkeys(filter(None, (self.after, self.sampler))))

    @property
    def of_bench(self) -> bool:
        """Does it ask for what only problems of the bench have: the truth of steps, or others of a seed or length?"""
        return any("problems.source" in key or 'kind="truth"' in key for key in (*self.data, *self.prm))

    @property
    def knows_truth(self) -> bool:
        """Does it learn from the truth of steps, which only a bench can tell?"""
        return any('kind="truth"' in key for key in (*self.data, *self.prm))

    @property
    def has_prm(self) -> bool:
        """Does a PRM of its own learn for it: from other problems, or from other labels that are no rewards themselves?"""
        labelled = any(key.startswith("step_labels=") for key in self.data)
        return bool(self.prm) or (labelled and not any(key.startswith("prm=") for key in self.data))

    @property
    def changes(self) -> tuple[str, ...]:
        """All that it changes, as a page shows it."""
        start = [f"policy.base = that of {self.after}"] if self.after else []
        writer = [f"samples.engine.model = that of {self.sampler}"] if self.sampler else []
        rewards = [f"prm = that of a dataset with {', '.join(self.prm)}"] if self.prm else []
        return (*self.data, *self.policy, *start, *writer, *rewards)


RECIPE = "long-dpo"
"""The recommended method, chosen on seeds that no study uses; it is tested under all decoding rules."""
RIVALS = ("usual-step-dpo", "copies-step-dpo")
"""Methods that were to take its place: the first by seed 0, the second by what came out of the first."""
BASE = "base"
"""The model that all others are made from; it is measured, not trained."""

DPO = ("policy.weighting.gamma=0",)
SFT = ("policy.objective.kind=sft",)
STEP_DPO = ("policy.objective.kind=step-dpo",)
NLL = ('policy.objective={kind="dpo", nll_weight=1.0}',)
FALLING = "policy.schedule=linear"
QUARTER = ("samples.samples=4", 'prm={kind="labels"}')
"""Rounds share out the samples, so that as many are drawn in all as by other methods at once. They need no PRM: of the right and
of the wrong samples any are taken.
"""
HALF = ("samples.samples=8", 'prm={kind="labels"}')
"""As QUARTER, in two rounds."""
LONG = ("policy.epochs=4", FALLING)
LONGER = ("policy.epochs=10", FALLING)
USUAL = ("pairs.score=usual", "pairs.min_score=0.5")
"""Of the right solutions only those each of whose steps at least half of the right samples of the problem take."""
COPIES = ("pairs.top=16", "pairs.copies=true")
"""All right samples, each as often as it was drawn: what comes right by luck, which is rare, counts little."""
RIGHT = (*TRUE, "pairs.score=min", "pairs.min_score=1")
"""Of the right solutions only those whose every step is true: what no selection can better."""
VOTE = 'step_labels={kind="vote"}'
VOTED = (VOTE, 'prm={kind="labels"}')
"""Votes of the right samples, and as rewards the votes themselves."""
VOUCHED = (*VOTED, "pairs.score=min", "pairs.min_score=0.001")
"""Of the right solutions only those each of whose steps at least one other right sample of the problem takes."""
OTHERS = "problems.source.first=100000"
"""Far from the problems of the dataset."""


def _full_step(name: str, doc: str, group: str, *data: str, policy: tuple[str, ...] = (), prm: tuple[str, ...] = ()) -> Method:
    return Method(f"full-step-{name}", f"Full-Step-DPO, {doc}", policy, data, prm=prm, group=group)


def _on_chosen(name: str, doc: str, data: tuple[str, ...], group: str) -> tuple[Method, ...]:
    """`sft-NAME`: sft-long on what `data` chooses; NAME-dpo and NAME-step-dpo go on from its policy."""
    first = f"sft-{name}"
    rest = (
        Method(f"{name}-{then}", f"{first}, then {what}, the rate falling to 0", (*policy, FALLING), data, first, group=group)
        for then, what, policy in (("dpo", "DPO", DPO), ("step-dpo", "Step-DPO", STEP_DPO))
    )
    return (Method(first, f"sft-long on {doc}", SFT + LONG, data, group=group), *rest)


METHODS: tuple[Method, ...] = (
    Method("sft", "SFT on the chosen", SFT),
    Method("dpo", "DPO on whole solutions", DPO),
    Method("full-step", "Full-Step-DPO, weighting step, gamma 0.5"),
    Method("full-step-mean", "Full-Step-DPO, weighting step-mean, gamma 0.5", ('policy.weighting.kind="step-mean"',)),
    Method("full-step-token", "Full-Step-DPO, weighting token, gamma 0.5", ('policy.weighting.kind="token"',)),
    Method("step-dpo", "Step-DPO, first error by the tree of samples", STEP_DPO),
    Method("step-dpo-oracle", "Step-DPO, first error by the truth", STEP_DPO, TRUE),
    Method("full-step-true", "Full-Step-DPO, true rewards, solutions selected by their mean", (), TRUE),
    Method("sft-sft", "SFT on the chosen, twice: the control of what follows SFT", SFT, after="sft"),
    Method("sft-dpo", "SFT on the chosen, then DPO", DPO, after="sft"),
    Method("sft-full-step", "SFT on the chosen, then Full-Step-DPO", after="sft"),
    Method("sft-step-dpo", "SFT on the chosen, then Step-DPO by the tree", STEP_DPO, after="sft"),
    *(
        Method(
            f"{name}-long",
            f"{doc}, four passes, the rate falling to 0",
            (*policy, *LONG),
            group="long",
        )
        for name, doc, policy in (
            ("sft", "SFT on the chosen", SFT),
            ("dpo", "DPO", DPO),
            ("full-step", "Full-Step-DPO", ()),
            ("step-dpo", "Step-DPO", STEP_DPO),
        )
    ),
    *(
        Method(
            f"long-{name}",
            f"sft-long, then {doc}, the rate falling to 0",
            (*policy, FALLING),
            after="sft-long",
            group="long",
        )
        for name, doc, policy in (("dpo", "DPO", DPO), ("full-step", "Full-Step-DPO", ()), ("step-dpo", "Step-DPO", STEP_DPO))
    ),
    *(
        Method(
            f"round-{number}",
            f"SFT on the chosen, round {number} of four with a quarter of the samples each",
            SFT,
            QUARTER,
            after=f"round-{number - 1}" if number > 1 else "",
            sampler=f"round-{number - 1}" if number > 1 else "",
            group="rounds",
            searched=False,
        )
        for number in (1, 2, 3)
    ),
    *(
        Method(
            f"rounds-{name}",
            f"round-3, then {doc} on as many samples of its own",
            policy,
            QUARTER,
            "round-3",
            "round-3",
            group="rounds",
        )
        for name, doc, policy in (("sft", "SFT", SFT), ("dpo", "DPO", DPO), ("step-dpo", "Step-DPO", STEP_DPO))
    ),
    Method("half-sft", "sft-long on half of the samples", SFT + LONG, HALF, group="candidates"),
    *(
        Method(
            f"half-{name}",
            f"half-sft, then {doc} on as many samples of its own",
            policy,
            HALF,
            "half-sft",
            "half-sft",
            group="candidates",
        )
        for name, doc, policy in (
            ("sft-sft", "sft-long again", SFT + LONG),
            ("dpo", "DPO, the rate falling to 0,", (*DPO, FALLING)),
            ("step-dpo", "Step-DPO, the rate falling to 0,", (*STEP_DPO, FALLING)),
        )
    ),
    Method("dpo-nll-long", "DPO with the NLL of the chosen, weight 1, four passes", DPO + NLL + LONG, group="candidates"),
    Method("sft-all-long", "sft-long on all right solutions", SFT + LONG, ("pairs.top=16",), group="candidates"),
    Method(
        "sft-lora-long", "sft-long by adapters of rank 8", SFT + LONG + ("policy.lora={rank=8, alpha=16}",), group="candidates"
    ),
    Method("sft-longer", "SFT on the chosen, ten passes, the rate falling to 0", SFT + LONGER, group="candidates"),
    *(
        Method(f"sft-usual-{name}", f"sft-usual, {doc}", SFT + LONG, data, group="candidates")
        for name, doc, data in (
            ("0.3", "steps that 0.3 of the right samples take", ("pairs.score=usual", "pairs.min_score=0.3")),
            ("all", "at most 16 a problem, steps that 0.3 take", ("pairs.top=16", "pairs.score=usual", "pairs.min_score=0.3")),
        )
    ),
    *_on_chosen("usual", "the chosen of which most right samples take each step", USUAL, "usual"),
    *_on_chosen("copies", "all right samples, each as often as it was drawn", COPIES, "copies"),
    *_on_chosen("vouched", "the chosen each of whose steps another right sample takes", VOUCHED, "vote"),
    *_on_chosen("voted", "the chosen by the mean vote of their steps", VOTED, "vote"),
    Method("step-dpo-vote", "Step-DPO, first error by vote", STEP_DPO, VOTED, group="vote"),
    Method("dpo-voted", "DPO, solutions selected by votes", DPO, VOTED, group="vote"),
    _full_step("vote", "a PRM of labels by vote", "vote", VOTE),
    _full_step("voted", "votes as rewards", "vote", *VOTED),
    _full_step("voted-gamma-5", "votes as rewards, gamma 5", "vote", *VOTED, policy=("policy.weighting.gamma=5",)),
    *_on_chosen("true", "chosen whose every step is true", RIGHT, "bounds"),
    Method("dpo-nll", "DPO with the NLL of the chosen, weight 1", DPO + NLL, group="losses"),
    _full_step("nll", "with the NLL of the chosen, weight 1", "losses", policy=NLL),
    *(
        _full_step(f"gamma-{gamma}", f"gamma {gamma}", "gamma", policy=(f"policy.weighting.gamma={gamma}",))
        for gamma in ("0.25", "0.75", "1", "2", "5", "10")
    ),
    *(
        _full_step(
            f"{transform}-{gamma}",
            f"gamma {gamma} on {transform} rewards",
            "gamma",
            policy=(f"policy.weighting.gamma={gamma}", f"policy.weighting.transform={transform}"),
        )
        for transform in ("logit", "standardised")
        for gamma in ("1", "3")
    ),
    *(
        _full_step(score, f"solutions selected by {score}", "selection", f"pairs.score={score}")
        for score in ("min", "product", "last", "random", "diverse")
    ),
    _full_step("margin", "pairs whose mean rewards differ by 0.001 or more", "selection", "pairs.min_margin=0.001"),
    *(
        _full_step(
            f"mc{n}", f"labels of {n} rollouts", "labels", f'step_labels={{kind="monte-carlo", n={n}, policy="early-stop"}}'
        )
        for n in (2, 4, 8)  # of one rollout, the solution itself: the outcome labels
    ),
    *(
        _full_step(
            f"prm-{problems}x{samples}",
            f"PRM of {problems} other problems, {samples} samples each",
            "prm",
            prm=(OTHERS, f"problems.source.size={problems}", "problems.held_out=0", f"samples.samples={samples}"),
        )
        for problems, samples in ((100, 32), (400, 8), (800, 4))
    ),
    _full_step(
        "prm-true",
        "PRM of 800 other problems, 4 samples each, whose labels are true",
        "bounds",
        prm=(OTHERS, "problems.source.size=800", "problems.held_out=0", "samples.samples=4", 'step_labels={kind="truth"}'),
    ),
    *(
        Method(
            f"{name}-short",
            f"{name} on problems of 3 operations",
            policy,
            ("problems.source.operations=3",),
            group="lengths",
        )
        for name, policy in (("sft", SFT), ("dpo", DPO))
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
    while more := {need for name in wanted for need in method(name).needs} - wanted:
        wanted |= more
    return [one for one in METHODS if one.name in wanted]
