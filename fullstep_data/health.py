"""What the figures of `stats` warn of, in plain words with the number behind each.

    for warned in warnings(stats(open_version("dataset"))):
        print(f"{warned.name}: {warned.text}")

The bounds are ours: rules of thumb, to make one look, and no verdict.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Warned:
    """Something about the rewards or samples that a training would suffer from. value: the number behind it."""

    name: str
    value: float
    text: str


def warnings(found: dict[str, Any]) -> list[Warned]:
    """What to look at, of rewards and labels first. found: as `stats` gives it."""
    return [*_of_rewards(found), *_of_labels(found), *_of_samples(found)]


def _of_rewards(found: dict[str, Any]) -> Iterator[Warned]:
    spread, extreme, auc = found["rewards"]["all"], found["rewards"]["extreme"], found["scores"]["auc"]["mean"]
    if extreme is not None and extreme >= 0.8:
        yield Warned(
            "saturated PRM",
            extreme,
            f"{extreme:.0%} of the rewards are below 0.02 or above 0.98: steps at one end are not told apart",
        )
    if spread["p90"] is not None and spread["p90"] - spread["p10"] <= 0.1:
        width = spread["p90"] - spread["p10"]
        yield Warned(
            "flat rewards", width, f"eight of ten rewards lie within {width:.2f} of each other: they weigh next to nothing"
        )
    if auc is not None and auc < 0.6:
        yield Warned("blind PRM", auc, f"a right solution scores higher than a wrong one in {auc:.1%} of cases; chance is 50%")
    length = found["scores"]["length_correlation"]
    if length is not None and abs(length) >= 0.5:
        kind = "longer" if length > 0 else "shorter"
        yield Warned(
            "length bias",
            length,
            f"among equally right solutions of one problem the {kind} score higher (correlation {length:+.2f})",
        )
    last, chance = found["scores"]["lowest_is_last"], found["scores"]["lowest_is_last_by_chance"]
    if last is not None and last >= max(0.5, 1.5 * chance):
        yield Warned(
            "min at last step",
            last,
            f"in {last:.0%} of the solutions the last step has the lowest reward, by chance it would in {chance:.0%}: "
            "the PRM may judge the answer, not the steps",
        )


def _of_labels(found: dict[str, Any]) -> Iterator[Warned]:
    for row in found["labels"]:
        known = row["label_1"] + row["label_0"]
        share = row["label_1"] / known if known else 0.5
        if not 0.1 <= share <= 0.9:
            rarer = f"label {int(share < 0.5)}"
            text = f"{share:.1%} of the steps labelled by {row['labeller']} are labelled 1: {rarer} is hardly learnt from it"
            yield Warned("label imbalance", share, text)
    for row in found["doubted"]:
        share = row["doubted"] / row["right_solutions"] if row["right_solutions"] else 0.0
        if share >= 0.25:
            text = f"{share:.0%} of the right solutions have a step that {row['labeller']} labels 0: luck, or wrong labels"
            yield Warned("doubted right answers", share, text)


def _of_samples(found: dict[str, Any]) -> Iterator[Warned]:
    diversity, pairs = found["diversity"], found["pairs"]
    texts, one, longer = diversity["distinct_texts"], diversity["one_answer"], pairs["chosen_longer"]
    if texts is not None and texts < 0.5:
        yield Warned("homogeneous samples", texts, f"only {texts:.0%} of a problem's samples are different texts: sample hotter")
    if one is not None and one >= 0.5:
        yield Warned(
            "homogeneous samples", one, f"in {one:.0%} of the problems all samples give the same answer: few can give pairs"
        )
    if longer is not None and not 0.25 <= longer <= 0.75:
        yield Warned(
            "length bias", longer, f"the chosen solution is the longer one in {longer:.0%} of the pairs: length can be learnt"
        )
    if pairs["pairs"] and (pairs["reversed"] + pairs["ties"]) / pairs["pairs"] >= 0.25:
        share = (pairs["reversed"] + pairs["ties"]) / pairs["pairs"]
        yield Warned("scores against labels", share, f"in {share:.0%} of the pairs the chosen solution does not score higher")
