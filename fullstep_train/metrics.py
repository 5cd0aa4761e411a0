"""How good a PRM is, on steps that it was not trained on.

    validation_metrics(labels, rewards)      # one array [K] per solution each; label NaN = left open
    by_position(labels, rewards)             # the same for first steps, second steps …
    reliability(labels, rewards)             # rewards in bins: what was promised, what came true
    first_error_f1(errors, rewards, 0.5)     # ProcessBench: errors[i] = index of the first wrong step, -1 for none
    step_f1(labels, rewards, 0.5)            # PRMBench: are right and wrong steps told apart, wherever they stand

Numbers that the data do not define (no steps, one class) are null, with the reason beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import brier_score_loss, f1_score, roc_auc_score

ECE_BINS = 10


def validation_metrics(labels: Sequence[np.ndarray], rewards: Sequence[np.ndarray]) -> dict[str, Any]:
    """AUC, accuracy at 0.5, Brier score and ECE over steps; share of solutions whose lowest reward is that of the last
    step.
    """
    truth, score = _known(labels, rewards)
    found: dict[str, Any] = {"auc": None, "accuracy": None, "brier": None, "ece": None, "lowest_is_last": None}
    if not len(truth):
        return found | {"undefined": "no labelled steps in the validation problems"}
    found["accuracy"] = float(np.mean((score >= 0.5) == truth))
    found["brier"] = float(brier_score_loss(truth, score, pos_label=1))
    found["ece"] = expected_calibration_error(truth, score)
    found["lowest_is_last"] = lowest_is_last(rewards)
    if len(np.unique(truth)) < 2:
        return found | {"undefined": f"auc: every validation step has the label {truth[0]}"}
    return found | {"auc": float(roc_auc_score(truth, score))}


def _known(labels: Sequence[np.ndarray], rewards: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Hard labels (0, 1) and rewards of all steps that have a label."""
    known = [np.isfinite(label) for label in labels]
    truth = np.concatenate([label[mask] for label, mask in zip(labels, known, strict=True)] or [np.empty(0)])
    score = np.concatenate([reward[mask] for reward, mask in zip(rewards, known, strict=True)] or [np.empty(0)])
    return (truth >= 0.5).astype(np.int64), score


def by_position(labels: Sequence[np.ndarray], rewards: Sequence[np.ndarray], most: int = 8) -> list[dict[str, Any]]:
    """`validation_metrics` of the first steps, the second … and of all from the `most`-th on together.

    Each has position (from 1), last (is it the open end), steps, label_mean and reward_mean; positions without a label are
    left out.
    """
    found: list[dict[str, Any]] = []
    longest = max((len(label) for label in labels), default=0)
    for position in range(min(longest, most)):
        last = position == most - 1 and longest > most
        cut = slice(position, None if last else position + 1)
        of_place = [label[cut] for label in labels], [reward[cut] for reward in rewards]
        truth, score = _known(*of_place)
        if len(truth):
            size = {"position": position + 1, "last": last, "steps": len(truth)}
            means = {"label_mean": float(truth.mean()), "reward_mean": float(score.mean())}
            found.append(size | means | validation_metrics(*of_place))
    return found


@dataclass(frozen=True)
class Bin:
    """Steps whose reward is in [low, high): their mean reward, and the share of them that is correct."""

    low: float
    high: float
    steps: int
    reward_mean: float
    share: float


def reliability(labels: Sequence[np.ndarray], rewards: Sequence[np.ndarray]) -> list[Bin]:
    """The bins of the ECE that hold steps, in order; the last one holds a reward of 1 too."""
    truth, score = _known(labels, rewards)
    place = np.minimum((score * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    return [
        Bin(
            b / ECE_BINS,
            (b + 1) / ECE_BINS,
            int(np.sum(place == b)),
            float(score[place == b].mean()),
            float(truth[place == b].mean()),
        )
        for b in range(ECE_BINS)
        if np.any(place == b)
    ]


def first_error(values: np.ndarray, threshold: float) -> int:
    """Index of the first of [K] values below a threshold, -1 where none is."""
    below = np.flatnonzero(values < threshold)
    return int(below[0]) if len(below) else -1


@dataclass(frozen=True)
class FirstErrors:
    """How well first errors are found at a threshold. error_accuracy: share of the n_error solutions with an error whose first
    wrong step is the first with a reward below the threshold. correct_accuracy: share of the n_correct others in which no
    reward is. f1: their harmonic mean (ProcessBench, Zheng et al., arXiv 2412.06559, section 4); None where one kind is missing.
    exact: share of all in which the place, or its absence, is right.
    """

    threshold: float
    n_error: int
    n_correct: int
    error_accuracy: float | None
    correct_accuracy: float | None
    f1: float | None
    exact: float | None


def first_error_f1(errors: Sequence[int], rewards: Sequence[np.ndarray], threshold: float) -> FirstErrors:
    """errors: index of the first wrong step of each solution, -1 for none. rewards: [K] of each."""
    hits = [first_error(reward, threshold) == error for error, reward in zip(errors, rewards, strict=True)]
    wrong = [hit for hit, error in zip(hits, errors, strict=True) if error >= 0]
    right = [hit for hit, error in zip(hits, errors, strict=True) if error < 0]
    shares = [float(np.mean(kind)) if kind else None for kind in (wrong, right, hits)]
    error_accuracy, correct_accuracy, exact = shares
    f1 = None
    if error_accuracy is not None and correct_accuracy is not None:
        total = error_accuracy + correct_accuracy
        f1 = 2 * error_accuracy * correct_accuracy / total if total else 0.0
    return FirstErrors(threshold, len(wrong), len(right), error_accuracy, correct_accuracy, f1, exact)


def best_threshold(errors: Sequence[int], rewards: Sequence[np.ndarray]) -> float:
    """The threshold with the greatest F1 on these solutions, the lowest of equals; 0.5 where F1 is not defined.

    Candidates are 0 to 1 in steps of 0.01. What is measured on the same solutions afterwards is too good to be true.
    """
    scored = [(first_error_f1(errors, rewards, candidate / 100).f1, candidate / 100) for candidate in range(101)]
    known = [(f1, candidate) for f1, candidate in scored if f1 is not None]
    return max(known, key=lambda pair: (pair[0], -pair[1]))[1] if known else 0.5


def step_f1(labels: Sequence[np.ndarray], rewards: Sequence[np.ndarray], threshold: float) -> dict[str, float | None]:
    """f1_right, f1_wrong: F1 of finding right steps (reward at or above the threshold) and wrong ones. prm_score: their mean,
    PRMBench's PRMScore (Song et al., arXiv 2501.03124). None where the labels are of one kind.
    """
    truth, score = _known(labels, rewards)
    if len(np.unique(truth)) < 2:
        return {"f1_right": None, "f1_wrong": None, "prm_score": None}
    found = (score >= threshold).astype(np.int64)
    right, wrong = (float(f1_score(truth, found, pos_label=kind)) for kind in (1, 0))
    return {"f1_right": right, "f1_wrong": wrong, "prm_score": (right + wrong) / 2}


def expected_calibration_error(truth: np.ndarray, score: np.ndarray) -> float:
    """Mean gap between score and frequency over ECE_BINS equal bins of [0, 1], each weighted by its steps (Guo et al.

    2017, eq. 3).
    """
    place = np.minimum((score * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    gaps = [abs(float(np.sum(score[place == b] - truth[place == b]))) for b in range(ECE_BINS)]
    return sum(gaps) / len(truth)


def lowest_is_last(rewards: Sequence[np.ndarray]) -> float | None:
    """Share of the solutions of two steps or more whose lowest reward is that of the last step (Zhang et al.

    2025, arXiv 2501.07301, figure 8).
    """
    longer = [reward for reward in rewards if len(reward) > 1]
    if not longer:
        return None
    return float(np.mean([reward[-1] <= reward[:-1].min() for reward in longer]))
