"""The columns of well-known data sets, and how each writes its gold answer. Each works on a file and on the Hub.

    PRESETS["gsm8k"].parse({"answer": "2 + 3 = <<2+3=5>>5\\n#### 5"}, "How many?")  ->  ("How many?", "5", "2 + 3 = 5")

| preset | data set on the Hub | gold answer |
|---|---|---|
| gsm8k | openai/gsm8k (config main) | after `####` in `answer`, commas removed |
| math | EleutherAI/hendrycks_math and others with `problem`, `solution` | in the last \\boxed{…} of `solution` |
| svamp | ChilleD/SVAMP | `Answer`, 145.0 as 145; the question is `Body` and `Question` |
| aqua | deepmind/aqua_rat (config raw) | the letter in `correct`; the question carries the options |
| metamath | meta-math/MetaMathQA | after the last "The answer is:" of `response` |
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fullstep_data.config import Preset
from fullstep_data.grading.answers import boxed, unwrap

Parsed = tuple[str | None, str | None, str | None]  # question, gold answer, reference solution

_CALCULATOR = re.compile(r"<<[^<>]*>>")
_THE_ANSWER_IS = "The answer is:"


@dataclass(frozen=True)
class PresetColumns:
    """question: its column or columns. columns: the others; `lists`: those of them that may hold a list. parse: (values, joined
    question) -> question, gold, reference.
    """

    question: str | tuple[str, ...]
    columns: tuple[str, ...]
    parse: Callable[[Mapping[str, Any], str | None], Parsed]
    lists: tuple[str, ...] = ()


def _gsm8k(values: Mapping[str, Any], question: str | None) -> Parsed:
    solution, found, gold = (values.get("answer") or "").rpartition("####")
    reference = _CALCULATOR.sub("", solution).strip()
    return question, (gold.strip().replace(",", "") or None) if found else None, reference or None


def _math(values: Mapping[str, Any], question: str | None) -> Parsed:
    solution = values.get("solution")
    gold = next(map(unwrap, boxed(solution or "")), None)
    return question, gold or None, solution


def _svamp(values: Mapping[str, Any], question: str | None) -> Parsed:
    gold = values.get("Answer")
    return question, re.sub(r"\.0+$", "", gold) if gold else None, None


def _aqua(values: Mapping[str, Any], question: str | None) -> Parsed:
    options = values.get("options") or []
    options = options if isinstance(options, list) else [options]
    text = None if question is None else "\n".join([question, *map(str, options)])
    return text, values.get("correct"), values.get("rationale")


def _metamath(values: Mapping[str, Any], question: str | None) -> Parsed:
    response = values.get("response")
    _, found, gold = (response or "").rpartition(_THE_ANSWER_IS)
    return question, (unwrap(gold) or None) if found else None, response


PRESETS: dict[Preset, PresetColumns] = {
    "gsm8k": PresetColumns("question", ("answer",), _gsm8k),
    "math": PresetColumns("problem", ("solution",), _math),
    "svamp": PresetColumns(("Body", "Question"), ("Answer",), _svamp),
    "aqua": PresetColumns("question", ("options", "correct"), _aqua, lists=("options",)),
    "metamath": PresetColumns("query", ("response",), _metamath),
}
