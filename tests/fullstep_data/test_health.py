"""A warning for each thing that can be wrong, with the number that is behind it, and none where all is well."""

from copy import deepcopy
from typing import Any

import pytest

from fullstep_data.health import warnings

HEALTHY: dict[str, Any] = {
    "rewards": {"all": {"p10": 0.1, "p90": 0.9}, "extreme": 0.1},
    "labeller": "outcome",
    "labels": [{"labeller": "judge", "label_1": 4, "label_0": 5}, {"labeller": "outcome", "label_1": 50, "label_0": 50}],
    "doubted": [{"labeller": "judge", "right_solutions": 10, "doubted": 1}],
    "scores": {"auc": {"mean": 0.8}, "length_correlation": 0.1, "lowest_is_last": 0.3, "lowest_is_last_by_chance": 0.3},
    "diversity": {"distinct_texts": 0.9, "one_answer": 0.1},
    "pairs": {"pairs": 10, "reversed": 0, "ties": 0, "chosen_longer": 0.5},
}


@pytest.mark.parametrize(
    ("path", "value", "name", "words"),
    [
        (("rewards", "extreme"), 0.85, "saturated PRM", "85% of the rewards"),
        (("rewards", "all", "p90"), 0.15, "flat rewards", "within 0.05"),
        (("scores", "auc", "mean"), 0.52, "blind PRM", "in 52.0% of cases"),
        (("scores", "length_correlation"), -0.7, "length bias", "the shorter score higher (correlation -0.70)"),
        (("scores", "length_correlation"), 0.7, "length bias", "the longer score higher"),
        (("scores", "lowest_is_last"), 0.6, "min at last step", "in 60% of the solutions"),
        (("diversity", "distinct_texts"), 0.3, "homogeneous samples", "only 30%"),
        (("diversity", "one_answer"), 0.5, "homogeneous samples", "in 50% of the problems"),
        (("labels", 1, "label_1"), 950, "label imbalance", "95.0% of the steps labelled by outcome"),
        (("labels", 1, "label_0"), 950, "label imbalance", "label 1 is hardly learnt from it"),
        (("labels", 0, "label_1"), 95, "label imbalance", "95.0% of the steps labelled by judge are labelled 1: label 0 is"),
        (("doubted", 0, "doubted"), 4, "doubted right answers", "40% of the right solutions have a step that judge labels 0"),
        (("pairs", "chosen_longer"), 0.9, "length bias", "in 90% of the pairs"),
        (("pairs", "ties"), 3, "scores against labels", "in 30% of the pairs"),
    ],
)
def test_each_ill_has_its_warning_with_the_number(path: tuple[Any, ...], value: float, name: str, words: str) -> None:
    assert warnings(HEALTHY) == []
    ill = deepcopy(HEALTHY)
    place = ill
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (warned,) = warnings(ill)
    assert warned.name == name
    assert words in warned.text
    assert warned.value == pytest.approx(
        {"p90": 0.05, "ties": 0.3, "label_1": 0.95, "label_0": 0.05, "doubted": 0.4}.get(path[-1], value)
    )


def test_short_solutions_end_on_their_lowest_reward_by_chance() -> None:
    """Of two steps one is the lowest: 55 % of last ones is what chance gives, and no bias."""
    found = deepcopy(HEALTHY)
    found["scores"] |= {"lowest_is_last": 0.55, "lowest_is_last_by_chance": 0.5}
    assert warnings(found) == []
    found["scores"] |= {"lowest_is_last": 0.8}
    (warned,) = warnings(found)
    assert warned.text.startswith("in 80% of the solutions the last step has the lowest reward, by chance it would in 50%")


def test_labels_that_none_made_out_are_no_imbalance() -> None:
    found = deepcopy(HEALTHY)
    found["labels"][1] |= {"label_1": 0, "label_0": 0}
    found["doubted"][0] |= {"right_solutions": 0, "doubted": 0}
    assert warnings(found) == []
