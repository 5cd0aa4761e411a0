"""PRM800K (openai/prm800k): one labelled trajectory per line, at each step one or more completions rated -1, 0 or 1 by people.

    {"labeler": "…", "question": {"problem": "…", "ground_truth_answer": "48", "pre_generated_steps": [...], …},
     "label": {"steps": [{"completions": [{"text": "…", "rating": 1}], "human_completion": null, "chosen_completion": 0}],
               "finish_reason": "found_error"}}

The chosen completions are one solution; each other completion is a solution of its own that stops after it. A step that several
of them share is labelled once. Where the chosen steps are those of the sampled solution (phase 2), its unlabelled rest is kept
too, so that the solution is whole and can be graded. What rating 0 (neutral) means is asked: `neutral`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from fullstep_data.config import Config
from fullstep_data.formats.group import (
    Format,
    Group,
    Question,
    Reader,
    Record,
    Solution,
    Unusable,
    optional_text,
    separated,
    text_of,
)

ANSWER = re.compile(r"^#[ \t]*Answer[ \t]*\n+(.+?)\s*\Z", re.MULTILINE | re.DOTALL)


class ReadOptions(Config):
    """Options of the import."""

    neutral: Literal["right", "wrong", "open"] | None = Field(default=None, description="what rating 0 means")
    separator: str = Field(default="\n", description="what stands between two steps")


@dataclass(frozen=True)
class _Step:
    """A rated completion. place: (step, completion), by which a shared step is known."""

    text: str
    rating: int | None
    place: tuple[int, int]


def read(record: Record, options: ReadOptions) -> Iterator[Group]:
    """One record is one problem with the chosen solution and the stumps beside it."""
    question, label = record.get("question"), record.get("label")
    if not isinstance(question, dict) or not isinstance(label, dict) or not isinstance(label.get("steps"), list):
        raise Unusable("no question or no label in the record")
    if label.get("finish_reason") == "bad_problem":
        raise Unusable("the labeller found the problem bad")
    chosen, beside = _paths(label["steps"])
    seen: set[tuple[int, int]] = set()
    solutions: list[Solution] = []
    notes = ["completions beside the chosen ones: stumps, labelled at their last step"] * bool(beside)
    notes += ["a step that the labeller wrote is not rated: its label is open"] * any(step.place[1] < 0 for step in chosen)
    if record.get("is_quality_control_question") or record.get("is_initial_screening_question"):
        notes.append("served to every labeller (quality control, screening): one solution for each of them")
    if chosen:
        whole, stated = _rest(chosen, question, label)
        solutions.append(_solution(chosen, whole, stated, seen, options))
    solutions += [_solution(path, (), None, seen, options) for path in beside]
    yield Group(
        text_of(question, "problem"),
        answer=optional_text(question, "ground_truth_answer"),
        reference=optional_text(question, "ground_truth_solution"),
        solutions=tuple(solutions),
        notes=tuple(notes),
    )


def _paths(steps: list[Any]) -> tuple[list[_Step], list[list[_Step]]]:
    """The chosen path, and for each other completion the path to it."""
    path: list[_Step] = []
    beside: list[list[_Step]] = []
    for index, step in enumerate(steps):
        completions = (step.get("completions") or []) if isinstance(step, dict) else None
        if not isinstance(completions, list):
            raise Unusable("a step is not an object with a list of completions", repr(step)[:80])
        rated = [_Step(_text(one), one.get("rating"), (index, place)) for place, one in enumerate(completions)]
        chosen, written = step.get("chosen_completion"), step.get("human_completion")
        # Other tools than the authors' write a number beside empty cells as 0.0.
        follow = next((one for place, one in enumerate(rated) if place == chosen), None)
        if follow is None and isinstance(written, dict):  # the labeller wrote the step: right by construction, but not rated
            follow = _Step(_text(written), written.get("rating"), (index, -1))
        if follow is None and len(rated) == 1 and index == len(steps) - 1:
            follow = rated[0]  # the only completion of the last step ends the path, whether or not it was marked as chosen
        beside += [[*path, one] for one in rated if one is not follow]
        if follow is None:
            break
        path.append(follow)
    return path, beside


def _rest(chosen: list[_Step], question: dict[str, Any], label: dict[str, Any]) -> tuple[tuple[str, ...], str | None]:
    """The steps after the chosen ones that make the solution whole, and the answer it states; (), None where it is not known."""
    sampled = question.get("pre_generated_steps")
    texts = [step.text for step in chosen]
    if isinstance(sampled, list) and [str(text).strip() for text in sampled[: len(texts)]] == texts:
        rest = tuple(str(text).strip() for text in sampled[len(texts) :])
        return rest, optional_text(question, "pre_generated_answer") or _stated(str(sampled[-1]))
    return (), _stated(texts[-1]) if label.get("finish_reason") == "solution" else None


def _solution(
    path: list[_Step], rest: tuple[str, ...], stated: str | None, seen: set[tuple[int, int]], options: ReadOptions
) -> Solution:
    """A path as a solution: finished where it states an answer; a step that was labelled before is not labelled again."""
    labels = tuple(None if step.place in seen else _label(step.rating, options) for step in path)
    seen.update(step.place for step in path)
    steps = separated([*(step.text for step in path), *rest], options.separator)
    return Solution(steps, labels=(*labels, *(None for _ in rest)), stated=stated, finished=stated is not None)


def _label(rating: Any, options: ReadOptions) -> float | None:
    if rating in (1, -1):
        return float(rating == 1)
    if rating is None:
        return None
    if rating != 0:
        raise Unusable("a rating is none of -1, 0, 1", repr(rating))
    if options.neutral is None:
        choices = {"right": "as Qwen reads it", "wrong": "as TRL reads it", "open": "the step stays without a label"}
        raise Question("neutral", "a step is rated 0, neutral", choices)
    return {"right": 1.0, "wrong": 0.0, "open": None}[options.neutral]


def _text(completion: Any) -> str:
    text = completion.get("text") if isinstance(completion, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise Unusable("a completion has no text")
    return text.strip()


def _stated(text: str) -> str | None:
    found = ANSWER.search(text)
    return found[1] if found else None


def _looks_like(record: Record) -> bool:
    question, label = record.get("question"), record.get("label")
    return isinstance(question, dict) and "problem" in question and isinstance(label, dict) and "steps" in label


PRM800K = Format(
    name="prm800k",
    about="PRM800K: question, label.steps with rated completions",
    looks_like=_looks_like,
    reader=Reader(
        read,
        ReadOptions,
        labels="human",
        lost=(
            "flags and times are not kept",
            "4,500 of the 5,000 MATH test problems are among its training problems: test such a PRM on MATH-500 only",
        ),
    ),
)
