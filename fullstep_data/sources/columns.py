"""From rows of a source to candidates for problems: which column holds what, checked, and its values as text.

    candidates(rows, Columns(question="problem", answer="final"), None, name="my.jsonl", where="data/my.jsonl")

Values become text on the way: 145.0 is "145", null and blank are None.
"""

import difflib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fullstep_data.config import Columns, Preset
from fullstep_data.sources.files import Row
from fullstep_data.sources.presets import PRESETS
from schemas import InputError

SPLITS = {"train": "train", "test": "test", "validation": "test"}


@dataclass(frozen=True)
class Candidate:
    """One record of a source, not judged yet. key: what `rejects` calls it. split: None where the source does not say."""

    key: str
    question: str | None
    answer: str | None
    reference_solution: str | None
    source: str
    source_row: str
    split: str | None = None


def candidates(
    rows: Sequence[Row], columns: Columns, preset: Preset | None, *, name: str, where: str, unique_ids: bool = True
) -> list[Candidate]:
    """One candidate per row. InputError: a column that no row has, an id used twice, a split that is none of ours."""
    if preset is None:
        question, parse = columns.question, None
    else:
        _no_contradiction(columns, preset, where)
        question, parse = PRESETS[preset].question, PRESETS[preset].parse
    wanted = [*_names(question), *(PRESETS[preset].columns if preset else _mapped(columns))]
    wanted += [column for column in (columns.row_id, columns.split) if column]
    check_columns(rows, wanted, where, f"preset = {preset!r}" if preset else "columns")
    lists = PRESETS[preset].lists if preset else ()
    _check_texts(rows, [column for column in wanted if column not in lists], where)
    if columns.row_id and unique_ids:
        _check_ids(rows, columns.row_id, where)
    splits = _splits(rows, columns.split, where) if columns.split else [None] * len(rows)
    found: list[Candidate] = []
    for row, split in zip(rows, splits, strict=True):
        if parse is None:
            text = joined(row.values, question)
            answer = as_text(row.values.get(columns.answer))
            reference = as_text(row.values.get(columns.reference_solution)) if columns.reference_solution else None
        else:
            texts = {column: as_text(value) for column, value in row.values.items() if not isinstance(value, list)}
            text, answer, reference = parse({**row.values, **texts}, joined(row.values, question))
        identifier = as_text(row.values.get(columns.row_id)) if columns.row_id else None
        found.append(Candidate(str(row.number), text, answer, reference, name, identifier or str(row.number), split))
    return found


def check_columns(rows: Sequence[Row], wanted: Sequence[str], where: str, setting: str) -> None:
    """InputError for a column that no row has; it names those there are, and the nearest."""
    there = list(dict.fromkeys(column for row in rows for column in row.values))
    missing = [column for column in dict.fromkeys(wanted) if column not in there]
    if not missing:
        return
    near = [match for column in missing for match in difflib.get_close_matches(column, there, n=1, cutoff=0.6)]
    hint = f"did you mean {', '.join(repr(name) for name in dict.fromkeys(near))}? " if near else ""
    raise InputError(
        f"no row has the column {', '.join(repr(column) for column in missing)}",
        where=f"{where} (asked for by {setting})",
        count=len(rows),
        examples=[f"columns there are: {', '.join(there)}"],
        next_step=f'{hint}map the columns in the recipe, as: columns = {{ question = "…", answer = "…" }}',
    )


def joined(values: Mapping[str, Any], question: str | tuple[str, ...]) -> str | None:
    """The question: one column as it is, or several joined with a blank (each trimmed, as sources pad them)."""
    parts = [as_text(values.get(column)) for column in _names(question)]
    if len(parts) == 1:
        return parts[0]
    return " ".join(part.strip() for part in parts if part) or None


def as_text(value: Any) -> str | None:
    """A value as text: 145.0 -> "145", True -> "true"; None for null, NaN and blank text."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value)
    return text if text.strip() else None


def _names(question: str | tuple[str, ...]) -> tuple[str, ...]:
    return (question,) if isinstance(question, str) else question


def _mapped(columns: Columns) -> list[str]:
    return [columns.answer, *([columns.reference_solution] if columns.reference_solution else [])]


def _no_contradiction(columns: Columns, preset: Preset, where: str) -> None:
    both = columns.model_fields_set & {"question", "answer", "reference_solution"}
    if both:
        what = f"preset {preset!r} already says which columns hold {', '.join(sorted(both))}"
        raise InputError(what, where=where, next_step="drop either the preset or these columns (row_id and split may stay)")


def _check_texts(rows: Sequence[Row], columns: Sequence[str], where: str) -> None:
    """InputError where a column holds lists, objects or bytes: str() of those is no text that anyone wrote."""
    for column in columns:
        nested = [row for row in rows if isinstance(row.values.get(column), list | dict | bytes)]
        if nested:
            kinds = " and ".join(sorted({type(row.values[column]).__name__ for row in nested}))
            raise InputError(
                f"the column {column!r} holds values that are neither text nor numbers ({kinds})",
                where=where,
                count=len(nested),
                examples=[f"row {row.number}: {str(row.values[column])[:80]}" for row in nested[:5]],
                next_step="map a column of text or numbers, or write the value itself into the column",
            )


def _check_ids(rows: Sequence[Row], row_id: str, where: str) -> None:
    by_id: dict[str, list[int]] = {}
    for row in rows:
        identifier = as_text(row.values.get(row_id))
        if identifier is not None:
            by_id.setdefault(identifier, []).append(row.number)
    repeated = {identifier: numbers for identifier, numbers in by_id.items() if len(numbers) > 1}
    if repeated:
        raise InputError(
            f"ids in the column {row_id!r} are used more than once",
            where=where,
            count=len(repeated),
            examples=[f"{identifier!r} in rows {', '.join(map(str, rows))}" for identifier, rows in list(repeated.items())[:5]],
            next_step="make the ids unique or leave row_id out: rows are then numbered",
        )


def _splits(rows: Sequence[Row], column: str, where: str) -> list[str | None]:
    given = [as_text(row.values.get(column)) for row in rows]
    splits = [SPLITS.get((value or "").strip().lower()) for value in given]
    wrong = Counter(repr(value) for value, split in zip(given, splits, strict=True) if split is None)
    if wrong:
        raise InputError(
            f"the column {column!r} holds splits other than {', '.join(SPLITS)}",
            where=where,
            count=wrong.total(),
            examples=[f"{value} ({count} rows)" for value, count in wrong.most_common(5)],
            next_step="rename them, or leave columns.split out and set held_out",
        )
    return list(splits)
