"""problems: the questions of a source with their gold answers, duplicates and unusable rows told apart.

    problems(Context(config=ProblemsToSolve(source=FileSource(path="builtin:sums.jsonl"), held_out=0.25), tools={}))

The first of several equal questions is kept; every other record of the source is a reject with its reason. So is a training
problem that an evaluation set holds too, where the recipe names one.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence

import polars as pl

from fullstep_data.config import FileSource, GivenSolutions, ProblemsToSolve
from fullstep_data.grading import Grader
from fullstep_data.grading.settle import settle
from fullstep_data.overlap import Index, QuestionSet, read_set
from fullstep_data.sources import Candidate, read
from fullstep_data.sources.given import read_given
from fullstep_data.sources.presets import PRESETS
from fullstep_data.stage import Context, Outcome, rejects
from schemas import TABLES, InputError
from schemas.ids import content_id, stable_fraction

Reject = tuple[str, str, str | None]  # key, reason, detail


def problems(context: Context) -> Outcome:
    """One row per usable, distinct question. InputError: an unreadable source, or one without a single usable row."""
    config: ProblemsToSolve = context.config
    found = read(config.source)
    context.tick(0, len(found))
    usable, faulty = _usable(found)
    if not usable:
        raise _nothing_usable(faulty, where=found[0].source)
    repeats = isinstance(config.source, FileSource) and config.source.repeated_questions
    kept, repeated = _distinct(usable, repeats)
    context.tick(len(found), len(found))
    rows, leaked = _without_leaks(config, kept, _frame(kept, config.held_out))
    beside = _solutions_beside(config.solutions, rows) if config.solutions else []
    return Outcome(rows, rejects("problems", "source", faulty + repeated + leaked + beside))


def _without_leaks(config: ProblemsToSolve, kept: Sequence[Candidate], rows: pl.DataFrame) -> tuple[pl.DataFrame, list[Reject]]:
    """The rows without training problems that stand in an evaluation set, and those problems. rows: of `kept`, in their order.

    InputError: a set cannot be read; every training problem stands in one.
    """
    if config.audit is None:
        return rows, []
    indexes = [(one.name, Index(one.questions, config.audit.kinds)) for one in map(_set_to_avoid, config.audit.against)]
    leaked: dict[str, Reject] = {}
    for candidate, (problem_id, question, split) in zip(kept, rows.select("problem_id", "question", "split").rows(), strict=True):
        found = ((name, index.find(question)) for name, index in indexes if split == "train")
        for name, same in found:
            if same is not None:
                leaked[problem_id] = (candidate.key, f"in an evaluation set: {same.kind}", f"{name}: {same.question}")
                break
    left = rows.filter(~pl.col("problem_id").is_in(list(leaked)))
    if leaked and left.filter(split="train").is_empty():
        raise InputError(
            "every training problem stands in an evaluation set",
            where="problems.audit",
            count=len(leaked),
            examples=[detail for _, _, detail in leaked.values()],
            next_step="take the problems from another source, or leave the set that they come from out of problems.audit.against",
        )
    return left, list(leaked.values())


def _set_to_avoid(text: str) -> QuestionSet:
    """An evaluation set that the recipe names."""
    try:
        return read_set(text)
    except InputError as error:
        where = f"problems.audit.against, {text}" + (f": {error.where}" if error.where not in ("", text) else "")
        raise InputError(error.what, where, error.count, error.examples, error.next_step) from error


def _solutions_beside(config: GivenSolutions, problems: pl.DataFrame) -> list[Reject]:
    """Rows of a file of solutions that no training problem will take up, by key `solutions/ROW`."""
    held_out = set(problems.filter(split="test")["question"])
    training = problems.filter(split="train")["question"]
    return [
        (
            f"solutions/{row.number}",
            "question is held out for evaluation" if row.question in held_out else "question is not among the problems",
            row.question,
        )
        for row in read_given(config).rows_beside(training)
    ]


def _frame(kept: Sequence[Candidate], held_out: float) -> pl.DataFrame:
    rows: list[dict[str, str | None]] = []
    for candidate in kept:
        problem_id = content_id("problem", candidate.question)
        hashed = "test" if stable_fraction("held-out", problem_id) < held_out else "train"
        rows.append(
            {
                "problem_id": problem_id,
                "question": candidate.question,
                "answer": candidate.answer,
                "reference_solution": candidate.reference_solution,
                "source": candidate.source,
                "source_row": candidate.source_row,
                "split": candidate.split or hashed,
                "domain": "math",
            }
        )
    return TABLES["problems"].frame(rows)


def _usable(found: Sequence[Candidate]) -> tuple[list[Candidate], list[Reject]]:
    """Records with a question and a gold answer that can be graded against (`grading.settle.states_answer`), and the others."""
    faults = [_fault(candidate) for candidate in found]
    golds = [candidate.answer or "" for candidate, fault in zip(found, faults, strict=True) if not fault]
    with Grader() as grader:
        parseable = iter(grader.parseable(golds))
    usable: list[Candidate] = []
    faulty: list[Reject] = []
    for candidate, fault in zip(found, faults, strict=True):
        if fault:
            faulty.append((candidate.key, fault, None))
        elif not next(parseable):
            faulty.append((candidate.key, "gold answer cannot be parsed", candidate.answer))
        else:
            usable.append(candidate)
    return usable, faulty


def _fault(candidate: Candidate) -> str:
    if candidate.question is None:
        return "no question"
    if candidate.answer is None:
        return "no gold answer"
    for text in (candidate.question, candidate.answer, candidate.reference_solution or "", candidate.source_row):
        if any("\ud800" <= character <= "\udfff" for character in text):
            return "text is not valid Unicode"  # half a surrogate pair, as JSON's "\ud83d" can smuggle in
    return ""


def _distinct(usable: Sequence[Candidate], repeats: bool) -> tuple[list[Candidate], list[Reject]]:
    """The first of equal questions (equal up to case, blanks and Unicode form), and the others with what they repeat.

    repeats: rows that repeat a question and its answer to the letter are samples of one problem, and no rejects.
    """
    first: dict[str, Candidate] = {}
    kept: list[Candidate] = []
    repeated: list[Reject] = []
    for candidate in usable:
        earlier = first.setdefault(_normalised(candidate.question or ""), candidate)
        if earlier is candidate:
            kept.append(candidate)
            continue
        verbatim = candidate.question == earlier.question
        verdict = settle(candidate.answer or "", earlier.answer or "")
        if verdict is None or not verdict.correct:
            detail = f"answer {candidate.answer!r}, but {earlier.answer!r} in row {earlier.key}"
            repeated.append((candidate.key, "duplicate question with another answer", detail))
        elif not verbatim:
            repeated.append((candidate.key, "duplicate question after normalisation", f"repeats row {earlier.key}"))
        elif not repeats:
            repeated.append((candidate.key, "duplicate question", f"repeats row {earlier.key}"))
    return kept, repeated


def _normalised(question: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", question).casefold().split())


def _nothing_usable(faulty: Sequence[Reject], where: str) -> InputError:
    reasons = Counter(reason for _, reason, _ in faulty).most_common(5)
    return InputError(
        "the source holds no usable problem: each needs a question and a gold answer",
        where=where,
        count=len(faulty),
        examples=[f"{reason} ({count} rows, the first: row {_first(faulty, reason)})" for reason, count in reasons],
        next_step="check that columns (or preset) name the columns of the question and of the final answer alone; "
        f"presets: {', '.join(PRESETS)}",
    )


def _first(faulty: Sequence[Reject], reason: str) -> str:
    key, _, detail = next(fault for fault in faulty if fault[1] == reason)
    return f"{key}: {detail!r}" if detail else key
