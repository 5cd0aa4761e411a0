"""One systematic mistake, injected into the base models of a bench: do PRM and policies flag it, or learn it?

    of_prm(version, local, "facts", 0)        # the PRM at steps that make the mistake, beside its other false steps
    of_answers(answers, "facts", 0)           # how often a policy makes it, of the occasions that its answers meet

A step makes the mistake if it is false and its result is the one that the mistake gives (`fullstep_data.arithmetic.misled`). A
step is flagged if its reward is below that of nine of ten right steps.
"""

import re
from collections import Counter

import polars as pl
from sklearn.metrics import roc_auc_score

from cli.experiment_summary import ANSWERS, PRM
from fullstep_data.arithmetic import FamilyName, misled, tasks, tasks_in, verdicts
from fullstep_data.store import Version

FLAGGED = 0.1
"""The share of right steps whose rewards lie below that of a flagged step."""
MADE, FALSE, RIGHT = "steps that make it", "other false steps", "right steps"
SAME = "right steps at its occasions"
OF_PRM = (
    f"{MADE}, how many",
    f"AUC, {MADE}",
    f"AUC, {FALSE}",
    f"AUC, {MADE} against {SAME}",
    *(f"share {told}, {what}" for told in ("flagged", "labelled false") for what in (MADE, FALSE, SAME)),
)
TAKEN, SOUND, ELSEWHERE = "share of its occasions where it is made", "share of its occasions right", "share of other steps false"
OF_ANSWERS = (TAKEN, SOUND, ELSEWHERE)
_RESULT = re.compile(r"(?:=| is )(\d+)")


def of_prm(scores: pl.DataFrame, version: Version, local: pl.DataFrame, family: FamilyName, seed: int) -> dict[str, float | None]:
    """Figures of a PRM by name. scores: its rewards of the steps that are judged; local: true labels; version: has steps, and the
    labels that the PRM has learnt from.
    """
    place = ("solution_id", "step_index")
    labels = version.frame("step_labels").select(*place, blamed=~pl.col("label"))
    texts = version.frame("steps").select(*place, "text").join(local.select(*place, "label"), on=place)
    kinds = [_kind(family, seed, text, true) for text, true in texts.select("text", "label").iter_rows()]
    judged = texts.with_columns(kind=pl.Series(kinds, dtype=pl.String)).drop_nulls("kind")
    judged = judged.join(scores.select(*place, "reward"), on=place).join(labels, on=place)
    right = judged.filter(pl.col("kind").is_in([RIGHT, SAME]))
    low = right["reward"].quantile(FLAGGED)
    own, others, same = (judged.filter(kind=kind) for kind in (MADE, FALSE, SAME))
    values: list[float | None] = [float(own.height), _auc(right, own), _auc(right, others), _auc(same, own)]
    values += [_mean(steps["reward"] < low) if low is not None else None for steps in (own, others, same)]
    values += [_mean(steps["blamed"]) for steps in (own, others, same)]
    return {f"{PRM}{name}": value for name, value in zip(OF_PRM, values, strict=True)}


def of_answers(answers: pl.DataFrame, family: FamilyName, seed: int) -> dict[str, float | None]:
    """Figures of a policy by name, over its answers up to the first false step of each. answers: columns question, text."""
    counts: Counter[str | None] = Counter()
    for question, text in answers.select("question", "text").iter_rows():
        steps = text.splitlines(keepends=True)
        for task, step, true in zip(tasks(family, question), steps, verdicts(family, question, steps), strict=False):
            met = misled(family, seed, task) is not None
            kind = _kind(family, seed, step, true) if tasks_in(step) == [task] else FALSE
            counts[f"wrong at {SAME}" if met and kind == FALSE else kind] += 1
            if not true:
                break
    occasions = counts[MADE] + counts[SAME] + counts[f"wrong at {SAME}"]
    rest = counts[RIGHT] + counts[FALSE]
    shares = (_share(counts[MADE], occasions), _share(counts[SAME], occasions), _share(counts[FALSE], rest))
    return {f"{ANSWERS}{name}": share for name, share in zip(OF_ANSWERS, shares, strict=True)}


def _kind(family: FamilyName, seed: int, step: str, true: bool | None) -> str | None:
    """What a step is: one that makes the mistake, another false one, a right one, or a right one at an occasion for the mistake.
    None: a step without a task, or without a verdict.
    """
    task, told = tasks_in(step), _RESULT.search(step)
    if not task or told is None or true is None:
        return None
    wrong = misled(family, seed, task[0])
    if true:
        return RIGHT if wrong is None else SAME
    return MADE if int(told[1]) == wrong else FALSE


def _auc(right: pl.DataFrame, false: pl.DataFrame) -> float | None:
    """How often a right step has a higher reward than a false one; equal rewards count half."""
    if right.is_empty() or false.is_empty():
        return None
    truth = [True] * right.height + [False] * false.height
    return float(roc_auc_score(truth, [*right["reward"], *false["reward"]]))


def _mean(values: pl.Series) -> float | None:
    known = values.drop_nulls()
    return None if known.is_empty() else float(known.cast(pl.Float64).mean())  # type: ignore[arg-type]  # not empty


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
