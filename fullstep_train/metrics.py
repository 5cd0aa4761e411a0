"""How good a PRM is, on steps that it was not trained on.

    validation_metrics(labels, rewards)      # one array [K] per solution each; label NaN = left open

Numbers that the data do not define (no steps, one class) are null, with the reason beside them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import brier_score_loss, roc_auc_score

ECE_BINS = 10


def validation_metrics(labels: Sequence[np.ndarray], rewards: Sequence[np.ndarray]) -> dict[str, Any]:
    """AUC, accuracy at 0.5, Brier score and ECE over steps; share of solutions whose lowest reward is that of the last
    step.
    """
    known = [np.isfinite(label) for label in labels]
    truth = np.concatenate([label[mask] for label, mask in zip(labels, known, strict=True)] or [np.empty(0)])
    score = np.concatenate([reward[mask] for reward, mask in zip(rewards, known, strict=True)] or [np.empty(0)])
    found: dict[str, Any] = {"auc": None, "accuracy": None, "brier": None, "ece": None, "lowest_is_last": None}
    if not len(truth):
        return found | {"undefined": "no labelled steps in the validation problems"}
    truth = (truth >= 0.5).astype(np.int64)
    found["accuracy"] = float(np.mean((score >= 0.5) == truth))
    found["brier"] = float(brier_score_loss(truth, score, pos_label=1))
    found["ece"] = expected_calibration_error(truth, score)
    found["lowest_is_last"] = lowest_is_last(rewards)
    if len(np.unique(truth)) < 2:
        return found | {"undefined": f"auc: every validation step has the label {truth[0]}"}
    return found | {"auc": float(roc_auc_score(truth, score))}


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
