"""OpenR / OmegaPRM: Monte-Carlo values of prefixes, as a tree, as a flat list, or as training lines.

    {"text": "2 + 2?", "mc_value": 0.5, "children": [{"text": "2 + 2 = 4.", "mc_value": 1.0, "children": []}]}      a tree
    {"solution_prefix": "2 + 2?\\n\\n2 + 2 = 4.", "mc_value": 1.0}                                           a node of a flat list
    {"question": "2 + 2?", "process": "2 + 2 = 4. \\n\\n\\n\\n\\n …", "label": ["+", "-"]}          a training line

Trees and flat lists also stand under `reasoning_steps`, beside `question` and `final_answer`. The root of a tree is the question;
each path to a leaf is a solution, a shared step labelled once. A prefix has its value at its last step; prefixes of one problem
are put together like a tree. In a training line a first piece that is the question goes with its label, and one label for
several paragraphs is the last one's. Leaves are stumps or whole solutions, the format does not say: they count as unfinished
unless they state an answer. Where question and steps are one text, `question_ends` says where the question ends.
"""

from collections.abc import Iterator
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
from fullstep_data.grading import extract

BREAK = "\n\n"
MAX_DEPTH = 500


class ReadOptions(Config):
    """Options of the import."""

    question_ends: Literal["first-break"] | None = Field(
        default=None, description="where the question ends in a flat prefix: at its first blank line"
    )
    step_tag: str = Field(default="\n\n\n\n\n", min_length=1, description="what ends each step in `process`")


def read(record: Record, options: ReadOptions) -> Iterator[Group]:
    """One record is a tree, a prefix, all prefixes of a problem or a training line."""
    if "process" in record:
        yield _line(record, options)
    elif "solution_prefix" in record:
        question, texts = _cut(record, record.get("question"), options)
        if not texts:
            raise Unusable("the prefix is the question alone", "its value is of the question, not of a step")
        yield Group(question, solutions=(_solution(texts, (*(None for _ in texts[:-1]), _value(record))),))
    elif isinstance(record.get("reasoning_steps"), list):
        yield _prefixes(record, options)
    else:
        yield _tree(record)


def _line(record: Record, options: ReadOptions) -> Group:
    process, signs = text_of(record, "process"), record.get("label")
    texts = [piece.strip() for piece in process.split(options.step_tag)]
    texts = texts[:-1] if not texts[-1] else texts
    if not isinstance(signs, list) or not all(sign in ("+", "-") for sign in signs):
        raise Unusable("label is not a list of + and -")
    labels: list[float | None] = [float(sign == "+") for sign in signs]
    question = text_of(record, "question").strip()
    notes: tuple[str, ...] = ()
    if len(texts) == 1 == len(labels) and BREAK in texts[0]:
        texts = _paragraphs(texts[0].removeprefix(question))
        labels = [*(None for _ in texts[:-1]), *labels]
        notes = ("one label for several paragraphs: the last one's, the others are open",)
    elif texts[0] == question:
        texts, labels = texts[1:], labels[1:]
    if not texts:
        raise Unusable("the process is the question alone", "its label is of the question, not of a step")
    return Group(question, solutions=(_solution(texts, tuple(labels)),), notes=notes)


def _cut(node: dict[str, Any], question: Any, options: ReadOptions) -> tuple[str, list[str]]:
    """The question and the steps of a prefix."""
    text = text_of(node, "solution_prefix")
    if isinstance(question, str) and text.startswith(question):
        return question.strip(), _paragraphs(text[len(question) :])
    if options.question_ends is None:
        choices = {"first-break": "at the first blank line"}
        raise Question("question_ends", f"question and steps are one text: {text[:60]!r}", choices)
    question, _, steps = text.partition(BREAK)
    return question.strip(), _paragraphs(steps)


def _paragraphs(text: str) -> list[str]:
    return [piece.strip() for piece in text.split(BREAK) if piece.strip()]


def _prefixes(record: Record, options: ReadOptions) -> Group:
    """All prefixes of a problem as solutions: the longest ones, each step with the value of the prefix that ends there."""
    question = text_of(record, "question")
    values: dict[tuple[str, ...], float | None] = {}
    for node in record["reasoning_steps"]:
        if not isinstance(node, dict):
            raise Unusable("reasoning_steps is not a list of prefixes")
        _, texts = _cut(node, question, options)
        values.setdefault(tuple(texts), _value(node))
    inner = {texts[:end] for texts in values for end in range(len(texts))}
    seen: set[tuple[str, ...]] = set()
    solutions: list[Solution] = []
    for texts in (one for one in values if one not in inner):
        ends = [texts[: place + 1] for place in range(len(texts))]
        solutions.append(_solution(list(texts), tuple(None if end in seen else values.get(end) for end in ends)))
        seen.update(ends)
    return Group(question.strip(), answer=optional_text(record, "final_answer"), solutions=tuple(solutions))


def _tree(record: Record) -> Group:
    root = record.get("reasoning_steps", record)
    if not isinstance(root, dict):
        raise Unusable("the tree is not an object")
    seen: set[tuple[int, ...]] = set()
    solutions: list[Solution] = []
    for path, nodes in _leaves(root, ()):
        labels = [None if path[: depth + 1] in seen else _value(node) for depth, node in enumerate(nodes)]
        seen.update(path[: depth + 1] for depth in range(len(path)))
        solutions.append(_solution([text_of(node, "text").strip() for node in nodes], tuple(labels)))
    return Group(text_of(root, "text").strip(), answer=optional_text(record, "final_answer"), solutions=tuple(solutions))


def _leaves(node: dict[str, Any], path: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], list[dict[str, Any]]]]:
    """(places, nodes) of every path below a node to a leaf, the node itself left out."""
    children = node.get("children") or []
    if not isinstance(children, list) or not all(isinstance(child, dict) for child in children) or len(path) > MAX_DEPTH:
        raise Unusable("children is not a list of nodes, or the tree is too deep")
    for place, child in enumerate(children):
        below = list(_leaves(child, (*path, place)))
        for places, nodes in below or [((*path, place), [])]:
            yield places, [child, *nodes]


def _solution(texts: list[str], labels: tuple[float | None, ...]) -> Solution:
    steps = separated(texts, BREAK)
    return Solution(steps, labels=labels, finished=bool(texts) and extract(texts[-1])[0] is not None)


def _value(node: dict[str, Any]) -> float | None:
    value = node.get("mc_value")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unusable("mc_value is not a number", repr(value)[:40])
    return float(value)


def _looks_like(record: Record) -> bool:
    keys = set(record)
    tree = record.get("reasoning_steps", record)
    if isinstance(tree, list):
        tree = tree[0] if tree and isinstance(tree[0], dict) else {}
    is_tree = isinstance(tree, dict) and ({"text", "children"} <= set(tree) or "solution_prefix" in tree)
    return {"question", "process", "label"} <= keys or is_tree


OPENR = Format(
    name="openr",
    about="OpenR / OmegaPRM: trees and prefixes with mc_value, or question, process, label",
    looks_like=_looks_like,
    reader=Reader(
        read,
        ReadOptions,
        labels="monte-carlo",
        lost=(
            "n_rollouts 0: the format gives the share of right rollouts and not their number",
            "a text that states no answer counts as unfinished",
            "the value of the question itself (the root) is not kept",
        ),
    ),
)
