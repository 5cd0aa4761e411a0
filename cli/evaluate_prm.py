"""What `fs-train eval-prm` does: steps with known labels → rewards of a PRM → how good they are.

evaluate_prm("out/tiny", "out/tiny", Measured())                       # the problems that its training held back
evaluate_prm("prm", "processbench/gsm8k", Measured(threshold=None))    # F1 of first errors, the threshold tuned out of fold
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from rich.text import Text

from cli.plot import require_plot, write_reliability
from cli.prm_summary import prm_summary
from cli.progress import ProgressReporter, progress
from cli.render import show
from fullstep_data.engines.tokenizer import load_tokenizer
from fullstep_data.evaluation import is_dataset
from fullstep_data.formats.judged import Annotated, Form, annotated, read_judged
from fullstep_data.prompts import Chat, load_template
from fullstep_data.stage import Context
from fullstep_data.step_scores import step_scores
from fullstep_data.store import Version, open_version
from schemas import InputError
from schemas.ids import stable_fraction

TUNED = "tuned: the F1 of each half of the problems is at the threshold that is best on the other half"
FIXED = "fixed"


@dataclass(frozen=True)
class Measured:
    """How it is measured. threshold: a reward below it is an error; None: tuned out of fold. everything: also the problems that
    the PRM was trained on. labeller: whose labels, where there are several. limit: so many rows of a file. template, chat, form:
    how problems and steps of a file are written for the PRM. plot: a PNG file for the reliability of the rewards.
    """

    threshold: float | None = 0.5
    everything: bool = False
    labeller: str | None = None
    limit: int | None = None
    template: str = "steps-few-shot"
    chat: Chat | None = None
    form: Form = "step-labels"
    output: Literal["text", "json"] = "text"
    plot: Path | None = None


def evaluate_prm(prm: str, data: str, how: Measured) -> None:
    """Score labelled steps and show what came of it."""
    if how.plot:
        require_plot(how.plot)
    from cli.tools import find_prm  # torch

    with progress() as reporter:
        report = {"prm": prm, "data": data, **prm_report(find_prm(prm, reporter), data, how, reporter)}
    if how.plot:
        write_reliability(report["reliability"], how.plot)
    if how.output == "json":
        print(json.dumps(report, indent=1))
        return
    show([*prm_summary(report), *([Text(f"\nthe reliability of the rewards: {how.plot}")] if how.plot else [])])


def prm_report(folder: Path, data: str, how: Measured, reporter: ProgressReporter) -> dict[str, Any]:
    """`measure` on a dataset, a set or a file, with a note on which of its problems count and what was left out by reason."""
    if is_dataset(data):
        known, note = _of_dataset(open_version(data), folder, how)
    else:
        rows = read_judged(data, how.limit)
        known, note = annotated(rows, _renderer(folder, how), how.form), f"{len(rows):,} judged solutions"
    scored, dropped = _scored(known, folder, reporter)
    left_out = dict(dropped["reason"].value_counts(sort=True).iter_rows())
    return {"note": note, **measure(known, scored, how.threshold), "left_out": left_out}


def measure(known: Annotated, scored: pl.DataFrame, threshold: float | None) -> dict[str, Any]:
    """Every figure of the report: of steps, by position, by source, bins, and first errors with the policy of the threshold."""
    from fullstep_train.metrics import by_position, reliability, step_f1, validation_metrics

    at = 0.5 if threshold is None else threshold

    def figures(labels: Sequence[np.ndarray], rewards: Sequence[np.ndarray]) -> dict[str, Any]:
        return validation_metrics(labels, rewards) | step_f1(labels, rewards, at)

    frame = known.step_labels.join(scored, on=("solution_id", "step_index"), how="inner")
    if frame.is_empty():
        raise InputError(
            "no labelled step was scored, so there is nothing to measure", next_step="see what was left out, and why"
        )
    rows = frame.sort("solution_id", "step_index").group_by("solution_id", "problem_id", maintain_order=True)
    listed = rows.agg(pl.col("label").cast(pl.Float64), pl.col("reward").cast(pl.Float64))
    labels = [np.array(label, dtype=np.float64) for label in listed["label"].to_list()]  # null -> NaN
    rewards = [np.array(reward, dtype=np.float64) for reward in listed["reward"].to_list()]
    problems = listed["problem_id"].to_list()
    sources = [known.source.get(solution_id, "") for solution_id in listed["solution_id"]]
    by_source = {
        name: _part(labels, rewards, [source == name for source in sources], figures)
        for name in sorted(set(sources))
        if len(set(sources)) > 1
    }
    size = {"solutions": len(labels), "problems": len(set(problems)), "steps": int(sum(np.isfinite(one).sum() for one in labels))}
    return {
        **size,
        "label_source": sorted(set(frame["source"])),
        "steps_all": figures(labels, rewards),
        "by_source": by_source,
        "by_position": by_position(labels, rewards),
        "reliability": [asdict(one) for one in reliability(labels, rewards)],
        "first_errors": _first_errors(frame, labels, rewards, problems, sources, threshold),
    }


def _part(
    labels: Sequence[np.ndarray], rewards: Sequence[np.ndarray], taken: Sequence[bool], metrics: Callable[..., dict[str, Any]]
) -> dict[str, Any]:
    chosen = [place for place, take in enumerate(taken) if take]
    return {"solutions": len(chosen)} | metrics([labels[i] for i in chosen], [rewards[i] for i in chosen])


def _first_errors(
    frame: pl.DataFrame,
    labels: Sequence[np.ndarray],
    rewards: Sequence[np.ndarray],
    problems: Sequence[str],
    sources: Sequence[str],
    threshold: float | None,
) -> dict[str, Any]:
    """F1 of first errors by source and over all; labels that only repeat the outcome say nothing of where an error is."""
    if set(frame["source"]) == {"outcome"}:
        return {"undefined": "outcome labels call every step of a wrong solution wrong: they do not say where its error is"}
    errors = [int(below[0]) if len(below := np.flatnonzero(label < 0.5)) else -1 for label in labels]
    whole = [error >= 0 or bool(np.isfinite(label).all()) for error, label in zip(errors, labels, strict=True)]
    halves = [int(stable_fraction("eval-prm", problem_id) < 0.5) for problem_id in problems]
    found: dict[str, Any] = {"policy": FIXED if threshold is not None else TUNED, "by_source": {}}
    for name in (None, *(sorted(set(sources)) if len(set(sources)) > 1 else ())):
        places = [i for i in range(len(errors)) if whole[i] and name in (None, sources[i])]
        result = _at(errors, rewards, halves, places, threshold)
        if name is None:
            found |= result | {"by_position": _by_position(errors, rewards, halves, result)}
        else:
            found["by_source"][name] = result
    return found


def _at(
    errors: Sequence[int], rewards: Sequence[np.ndarray], halves: Sequence[int], places: Sequence[int], threshold: float | None
) -> dict[str, Any]:
    """F1 at a threshold; None: each half at the best threshold of the other, as rewards that are shifted to 0.5."""
    from fullstep_train.metrics import best_threshold, first_error_f1

    chosen = [errors[i] for i in places]
    if threshold is not None:
        return asdict(first_error_f1(chosen, [rewards[i] for i in places], threshold))
    best = [
        best_threshold(*zip(*other, strict=True))
        if (other := [(errors[i], rewards[i]) for i in places if halves[i] != half])
        else 0.5
        for half in (0, 1)
    ]
    # below the half's own threshold is below 0
    shifted = [rewards[i] - best[halves[i]] for i in places]
    return asdict(first_error_f1(chosen, shifted, 0.0)) | {"threshold": None, "thresholds": best}


MOST = 8
"""First errors from this step on are counted together."""


def _by_position(
    errors: Sequence[int], rewards: Sequence[np.ndarray], halves: Sequence[int], found: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Of the solutions whose first error is at step 1, 2 … (from MOST on together): how many, and the share found exactly."""
    from fullstep_train.metrics import first_error

    thresholds = found.get("thresholds") or [found["threshold"]] * 2
    hits: dict[int, list[bool]] = {}
    for error, reward, half in zip(errors, rewards, halves, strict=True):
        if error >= 0:
            hits.setdefault(min(error + 1, MOST), []).append(first_error(reward, thresholds[half]) == error)
    return [
        {"position": place, "last": place == MOST, "solutions": len(hits[place]), "exact": float(np.mean(hits[place]))}
        for place in sorted(hits)
    ]


def _of_dataset(version: Version, folder: Path, how: Measured) -> tuple[Annotated, str]:
    """Labelled steps of a dataset: where it trained this PRM, only those of the problems that the training held back."""
    from fullstep_train.prm import held_back
    from fullstep_train.run_folder import data_record

    solutions, steps, labels = (version.frame(name) for name in ("solutions", "steps", "step_labels"))
    manifest = folder / "prm.json"
    record = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else {}
    trained_here = record.get("data") == data_record(solutions=solutions, steps=steps, step_labels=labels)
    labels = _one_labeller(labels, how.labeller, version)
    note = "all problems: other data than the PRM was trained on"
    if trained_here and how.everything:
        note = "all problems, those that the PRM was trained on among them: figures are too good"
    elif trained_here:
        held = held_back(labels["problem_id"].unique().to_list(), record["config"]["validation_share"])
        if not held:
            raise InputError(
                "the PRM was trained on every problem of this dataset (prm.validation_share = 0), so nothing is held out",
                where=version.place,
                next_step="give another dataset, or see figures that are too good with --everything",
            )
        labels = labels.filter(pl.col("problem_id").is_in(list(held)))
        note = f"the {len(held):,} problems that the training held back"
    if labels.is_empty():
        raise InputError("the dataset has no labelled steps", where=version.place, next_step="give one with step_labels")
    ids = labels["solution_id"].unique().implode()
    problems = version.frame("problems").select("problem_id", "source")
    source = dict(solutions.join(problems, on="problem_id").select("solution_id", "source").iter_rows())
    solutions, steps = (frame.filter(pl.col("solution_id").is_in(ids)) for frame in (solutions, steps))
    return Annotated(solutions, steps, labels, source), note


def _one_labeller(labels: pl.DataFrame, wanted: str | None, version: Version) -> pl.DataFrame:
    known = sorted(labels["labeller"].unique().to_list())
    if (wanted is None and len(known) > 1) or (wanted is not None and wanted not in known):
        raise InputError(
            f"there are no labels by {wanted!r}" if wanted else "several labellers have judged these steps",
            where=version.place,
            count=len(known),
            examples=known,
            next_step=f"name one of them: --labeller {known[0] if known else 'NAME'}",
        )
    return labels if wanted is None else labels.filter(labeller=wanted)


def _scored(known: Annotated, folder: Path, reporter: ProgressReporter) -> tuple[pl.DataFrame, pl.DataFrame]:
    """solution_id, step_index, reward of every step that the PRM can take; and what it cannot."""
    from cli.tools import ScorerTool

    reporter.stage_started("step_scores", 1, 0)

    def tick(done: int, total: int, note: str = "") -> None:
        reporter.part_progress("step_scores", done / total if total else 1.0, note)

    context = Context(None, {"scorer": ScorerTool(folder).open({})}, tick=tick)
    outcome = step_scores(known.solutions, known.steps, context)
    reporter.part_done("step_scores")
    return outcome.rows.select("solution_id", "step_index", "reward"), outcome.rejects


def _renderer(folder: Path, how: Measured) -> Callable[[str], str]:
    """A problem's text to a prompt, by the template and the PRM's own tokenizer."""
    template, tokenizer = load_template(how.template), load_tokenizer(folder)
    return lambda problem: tokenizer.render(template.system, template.fill(problem), how.chat or template.chat)
