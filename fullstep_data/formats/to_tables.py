"""Groups of any format to rows of our tables, in one pass over any number of them: what is kept in memory are ids, never texts.

    intake = Intake("math-shepherd", source="monte-carlo", pool=False, template=None, grader=grader, spill=folder)
    intake.add(groups, file="train.jsonl")      # raises Unusable, and has then added nothing
    for chunk, table, rows in intake.parts(): ...

Rows are spilled as they come, in files, and read back sorted, so that all solutions of a problem are in one part, however far
apart they stood in the file.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from fullstep_data.formats.group import Group, LabelSource, Pair, Solution, Unusable, hard
from fullstep_data.formats.spill import NUMBER, Spill
from fullstep_data.grading import GRADER_VERSION, Grader, extract
from fullstep_data.prompts import Template, plain_prompt
from schemas import TABLES
from schemas.ids import content_id
from schemas.solutions import GIVEN

_SPILL_ROWS = 20_000
_SPILL_CHARACTERS = 20_000_000  # of solutions; their steps have them once more

IMPORTED = ("problems", "solutions", "steps", "step_labels", "step_scores", "pairs")
"""The tables that an import may write, in the order of the flow."""


@dataclass
class Known:
    """What is remembered of a problem: its position, a hash of its gold answer (None: none yet), samples so far, texts pooled."""

    number: int
    gold: str | None
    samples: int = 0
    pooled: dict[str, str] = field(default_factory=dict)


class Intake:
    """Rows of an import. source: who made the labels; pool: equal texts of a problem are one solution; template: of prompts."""

    def __init__(
        self, name: str, source: LabelSource | None, pool: bool, template: Template | None, grader: Grader, spill: Path
    ) -> None:
        self._name, self._source, self._pool, self._template = name, source, pool, template
        self._grader = grader
        self._known: dict[str, Known] = {}
        self._rows: dict[str, list[dict[str, Any]]] = {table: [] for table in IMPORTED}
        self._spills = {table: Spill(TABLES[table], spill) for table in IMPORTED}
        self._to_grade: list[tuple[dict[str, Any], str]] = []
        self._characters = 0
        self.repeated = 0
        """Solutions of pooled texts that were there already: their labels and rewards are those of the first."""

    def add(self, groups: Sequence[Group], file: str, number: int) -> None:
        """Take up the groups of one record. Unusable: one of them cannot be; nothing of the record is taken then."""
        if not groups or not any(group.solutions for group in groups):
            raise Unusable("no solution in the record")
        for group in groups:
            require_sound(group)
            self._require_same_gold(group)
        for group in groups:
            self._take(group, file, number)
        if sum(map(len, self._rows.values())) >= _SPILL_ROWS or self._characters >= _SPILL_CHARACTERS:
            self._flush()

    def parts(self) -> Iterator[tuple[int, str, pl.DataFrame]]:
        """(chunk of problems, table, rows) of all that was added, table by table, the chunks of each in order."""
        self._flush()
        for table in IMPORTED:
            for chunk, rows in self._spills[table].parts():
                # a pair that came twice is one; both are of one problem, so in one chunk
                yield chunk, table, rows.unique("pair_id", keep="first", maintain_order=True) if table == "pairs" else rows

    def _require_same_gold(self, group: Group) -> None:
        known = self._known.get(content_id("problem", group.question))
        if known and known.gold and group.answer and known.gold != _digest(group.answer):
            raise Unusable("the same question has another gold answer before", group.answer)

    def _take(self, group: Group, file: str, number: int) -> None:
        problem_id = content_id("problem", group.question)
        known = self._known.get(problem_id)
        if known is None:
            gold = _digest(group.answer) if group.answer else None
            known = self._known[problem_id] = Known(len(self._known), gold)
            self._rows["problems"].append(
                {
                    NUMBER: known.number,
                    "problem_id": problem_id,
                    "question": group.question,
                    "answer": group.answer,
                    "reference_solution": group.reference,
                    "source": group.source or file,
                    "source_row": str(number),
                    "split": "train",
                    "domain": "math",
                }
            )
        ids = [self._solution(problem_id, known, group, solution) for solution in group.solutions]
        for pair in dict.fromkeys(group.pairs):
            self._pair(problem_id, known, ids[pair.chosen], ids[pair.rejected], pair)

    def _solution(self, problem_id: str, known: Known, group: Group, solution: Solution) -> str:
        """Add a solution with its steps, labels and rewards; its id. A text that is pooled already is not added again."""
        digest = _digest(solution.text)
        if self._pool and digest in known.pooled:
            self.repeated += 1
            return known.pooled[digest]
        prompt = solution.prompt or group.prompt or self._prompt(group.question)
        index, known.samples = known.samples, known.samples + 1
        solution_id = content_id("solution", problem_id, index, prompt, solution.text)
        if self._pool:
            known.pooled[digest] = solution_id
        row = {NUMBER: known.number, "solution_id": solution_id, "problem_id": problem_id, "sample_index": index, "seed": 0}
        row |= {"prompt": prompt, "text": solution.text, "finish_reason": "given" if solution.finished else "length"}
        row |= {"sampler": f"import:{self._name}", **_verdict(solution)}
        if solution.correct is None and solution.finished and group.answer:
            self._to_grade.append((row, group.answer))
        self._rows["solutions"].append(row)
        self._characters += len(solution.text)
        self._steps(problem_id, known.number, solution_id, solution)
        return solution_id

    def _steps(self, problem_id: str, number: int, solution_id: str, solution: Solution) -> None:
        start = 0
        for index, text in enumerate(solution.steps):
            stop = start + len(text)
            key = {NUMBER: number, "solution_id": solution_id, "step_index": index, "problem_id": problem_id}
            prefix = content_id("prefix", problem_id, solution.text[:stop])
            self._rows["steps"].append({**key, "start": start, "stop": stop, "text": text, "prefix_key": prefix})
            if solution.labels:  # a labelled solution has a row for every step; one that was not judged is open
                value = solution.labels[index]
                label = {"labeller": self._name, "n_rollouts": 0, "n_correct": 0, "value": value}
                label |= {"label": None, "reason": "not labelled in the file"} if value is None else {"label": hard(value)}
                self._rows["step_labels"].append({**key, **label, "source": self._source})
            if solution.rewards:
                self._rows["step_scores"].append({**key, "scorer": f"given:{self._name}", "reward": solution.rewards[index]})
            start = stop

    def _pair(self, problem_id: str, known: Known, chosen: str, rejected: str, pair: Pair) -> None:
        scores = pair.chosen_score, pair.rejected_score
        margin = None if scores[0] is None or scores[1] is None else scores[0] - scores[1]
        policy = f"import:{self._name}"
        self._rows["pairs"].append(
            {
                NUMBER: known.number,
                "pair_id": content_id("pair", chosen, rejected, policy),
                "problem_id": problem_id,
                "chosen_id": chosen,
                "rejected_id": rejected,
                "chosen_score": scores[0] if margin is not None else None,
                "rejected_score": scores[1] if margin is not None else None,
                "margin": margin,
                "policy": policy,
                "scorer": f"given:{self._name}",
            }
        )

    def _prompt(self, question: str) -> str:
        if self._template is None:
            return f"{question}\n"
        return plain_prompt(self._template.system, self._template.fill(question))

    def _flush(self) -> None:
        """Grade what is to be graded and spill all rows."""
        answers = [(row["answer"], gold) for row, gold in self._to_grade]
        for (row, _), verdict in zip(self._to_grade, self._grader.grade(answers), strict=True):
            row.update(correct=verdict.correct, grade_path=verdict.path, grader=GRADER_VERSION)
            if row["answer"] is None:
                row.update(correct=False, grade_path="no-answer")
        self._to_grade, self._characters = [], 0
        for table, rows in self._rows.items():
            if rows:
                self._spills[table].write(rows)
                self._rows[table] = []


def require_sound(group: Group) -> None:
    """Unusable: what no table could hold."""
    if not group.question.strip():
        raise Unusable("the question is blank")
    texts = [group.question, group.answer or "", group.reference or "", group.source or "", group.prompt or ""]
    for solution in group.solutions:
        texts.extend((solution.text, solution.prompt or ""))
        if not solution.steps:
            raise Unusable("a solution has no steps")
        if not all(step.strip() for step in solution.steps):
            raise Unusable("a step is blank", solution.text[:80])
        for what, values in (("labels", solution.labels), ("rewards", solution.rewards)):
            if values and len(values) != len(solution.steps):
                raise Unusable(f"not as many {what} as steps", f"{len(values)} {what}, {len(solution.steps)} steps")
            if not all(value is None or 0 <= value <= 1 for value in values):
                raise Unusable(f"{what} are not all between 0 and 1", str(values)[:80])
    if any("\ud800" <= character <= "\udfff" for text in texts for character in text):
        raise Unusable("text is not valid Unicode")
    texts_of_pairs = [(group.solutions[pair.chosen].text, group.solutions[pair.rejected].text) for pair in group.pairs]
    if any(chosen == rejected for chosen, rejected in texts_of_pairs):
        raise Unusable("chosen and rejected are the same text")


def _verdict(solution: Solution) -> dict[str, Any]:
    """Answer and verdict as the file gives them; the grader may replace the verdict."""
    if solution.stated is not None:
        answer, found = solution.stated, "phrase"
    else:
        answer, found = extract(solution.text) if solution.finished else (None, "none")
    return {"answer": answer, "answer_source": found, "correct": solution.correct, "grade_path": GIVEN, "grader": GIVEN}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:20]
