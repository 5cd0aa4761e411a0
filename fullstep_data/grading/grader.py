r"""The grader: is an answer the gold answer?

    with Grader() as grader:
        grader.grade([("18 dollars", "18"), (r"\sqrt{12}", r"2\sqrt{3}")])
        ->  [Verdict(True, "rational"), Verdict(True, "math-verify")]

Text and numbers settle nearly all pairs, math-verify the rest, within a time limit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

from fullstep_data.config import SolutionsConfig
from fullstep_data.grading.pool import Pool
from fullstep_data.grading.rational import last_side
from fullstep_data.grading.settle import Verdict, settle, states_answer

# Raise the number when a verdict changes; the column `grader` carries the whole.
GRADER_VERSION = f"fullstep-1+math-verify-{version('math-verify')}"
_CACHE_SIZE = 200_000


class Grader:
    """Grades answers. Equal (answer, gold) pairs are graded once. Processes start only when a pair needs math-verify."""

    def __init__(self, timeout_seconds: float = 5.0, workers: int = 2) -> None:
        self._pool = Pool(workers, timeout_seconds)
        self._known: dict[tuple[str, str], Verdict] = {}

    @property
    def identity(self) -> str:
        return GRADER_VERSION

    def __enter__(self) -> "Grader":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the worker processes (they also end with the grader, and with this process, however it ends)."""
        self._pool.close()

    def grade(self, pairs: Sequence[tuple[str | None, str]]) -> list[Verdict]:
        """A verdict for each (answer, gold). No answer is not correct; a timeout or a crash leaves `correct` None."""
        if len(self._known) > _CACHE_SIZE:
            self._known = {}
        verdicts = {pair: self._quick(*pair) for pair in dict.fromkeys(pairs)}
        asked = [pair for pair, verdict in verdicts.items() if verdict is None]
        replies = self._pool.ask([_question(answer or "", gold) for answer, gold in asked]) if asked else []
        for pair, reply in zip(asked, replies, strict=True):
            verdicts[pair] = _verdict(reply)
        found = {pair: verdict for pair, verdict in verdicts.items() if verdict is not None}
        self._known.update(
            ((answer, gold), verdict) for (answer, gold), verdict in found.items() if answer and verdict.path != "error"
        )
        return [found[pair] for pair in pairs]

    def parseable(self, golds: Sequence[str]) -> list[bool]:
        """Can each gold answer be graded against? `settle.states_answer` says so, or math-verify reads an expression in it."""
        found = {gold: states_answer(gold) for gold in dict.fromkeys(golds)}
        asked = [gold for gold, known in found.items() if known is None]
        replies = self._pool.ask([{"gold": last_side(gold)} for gold in asked]) if asked else []
        found.update((gold, bool(reply.get("parsed"))) for gold, reply in zip(asked, replies, strict=True))
        return [bool(found[gold]) for gold in golds]

    def _quick(self, answer: str | None, gold: str) -> Verdict | None:
        if answer is None:
            return Verdict(correct=False, path="no-answer")
        return self._known.get((answer, gold)) or settle(answer, gold)


@dataclass(frozen=True)
class GraderTool:
    """The tool `grader` of the stages that grade (see `fullstep_data.stage.Tool`)."""

    config: SolutionsConfig

    def identity(self, models: Mapping[str, Path]) -> str:
        return GRADER_VERSION

    def open(self, models: Mapping[str, Path]) -> Grader:
        return Grader(self.config.timeout_seconds, self.config.workers)


def _question(answer: str, gold: str) -> dict[str, str]:
    """What math-verify is asked. `6 = 2*3` is asked as its result 2*3, on both sides: asked whole, it equals 6 one way only."""
    return {"answer": last_side(answer), "gold": last_side(gold)}


def _verdict(reply: Mapping[str, Any]) -> Verdict:
    if "correct" in reply:
        return Verdict(bool(reply["correct"]), "math-verify")
    return Verdict(None, "timeout" if reply.get("timeout") else "error")
