"""Small tables for training tests: sums worked out step by step, the wrong solutions wrong from their second step on.

tables = make_tables(problems=4)      # .solutions .steps .step_labels .step_scores .pairs, each keeping its contract
"""

from dataclasses import dataclass

import polars as pl

from fullstep_train.config import PolicyTraining, StepDPO
from fullstep_train.preferences import Preferences, SolutionPairs, StepPairs
from schemas import TABLES
from schemas.ids import content_id

SCORER = "scorer-of-tests"


@dataclass(frozen=True)
class Tables:
    solutions: pl.DataFrame
    steps: pl.DataFrame
    step_labels: pl.DataFrame
    step_scores: pl.DataFrame
    pairs: pl.DataFrame

    def preferences(self, config: PolicyTraining | None = None) -> Preferences:
        """What a policy of this config learns from."""
        if config and isinstance(config.objective, StepDPO):
            return StepPairs(self.step_pairs())
        return SolutionPairs(self.pairs, self.solutions, self.steps, self.step_scores)

    def step_pairs(self) -> pl.DataFrame:
        """The second step of each first correct solution against those of the incorrect ones, where solutions differ first."""
        spans = self.steps.join(self.solutions.drop("problem_id"), on="solution_id")
        second = spans.filter(pl.col("step_index") == 1).with_columns(
            prefix=pl.struct("text_right", "start").map_elements(lambda row: row["text_right"][: row["start"]], pl.String)
        )
        right = second.filter(pl.col("correct") & (pl.col("sample_index") == 0))
        wrong = second.filter(~pl.col("correct"))
        made = right.join(wrong, on=("problem_id", "prompt", "prefix"), suffix="_rejected")
        rows = [
            {
                "step_pair_id": content_id(row["solution_id"], row["solution_id_rejected"]),
                "problem_id": row["problem_id"],
                "prompt": row["prompt"],
                "prefix": row["prefix"],
                "step_index": 1,
                "chosen": row["text"],
                "rejected": row["text_rejected"],
                "chosen_finished": False,
                "rejected_finished": False,
                "chosen_id": row["solution_id"],
                "rejected_id": row["solution_id_rejected"],
                "policy": "tests",
            }
            for row in made.sort("problem_id", "sample_index_rejected").to_dicts()
        ]
        return TABLES["step_pairs"].check(TABLES["step_pairs"].frame(rows), where="step_pairs")


def solution_text(a: int, b: int, c: int, error: int) -> list[str]:
    """The steps of a + b - c; from the second on they are off by `error`, in three wordings by its size."""
    total, answer = a + b, a + b - c + error
    words = ("The answer is", "So we get", "Answer:")[abs(error) % 3]
    return [f"Step 1: {a} + {b} = {total}.\n", f"Step 2: {total} - {c} = {answer}.\n", f"Step 3: {words} \\boxed{{{answer}}}."]


def make_tables(problems: int = 4, good: int = 2, bad: int = 2, finish_reason: str = "eos") -> Tables:
    """good correct and bad incorrect solutions of each problem, all of them paired."""
    solutions, steps, labels, scores, pairs = [], [], [], [], []
    for number in range(problems):
        a, b, c = 3 + number, 5 + 2 * number, 1 + number % 3
        problem_id = content_id("problem", number)
        prompt = f"Problem: {a} + {b} - {c} =\nSolution:\n"
        ids: dict[bool, list[str]] = {True: [], False: []}
        for sample in range(good + bad):
            correct = sample < good
            error = 0 if correct else sample - good + 1
            texts = solution_text(a, b, c, error)
            if correct and sample:
                texts.insert(1, f"Step 1b: check {sample}.\n")
            solution_id = content_id(problem_id, sample)
            ids[correct].append(solution_id)
            text = "".join(texts)
            solutions.append(
                {
                    "solution_id": solution_id,
                    "problem_id": problem_id,
                    "sample_index": sample,
                    "seed": sample,
                    "prompt": prompt,
                    "text": text,
                    "finish_reason": finish_reason,
                    "answer": str(a + b - c + error),
                    "answer_source": "boxed",
                    "correct": correct,
                    "grade_path": "exact",
                    "grader": "tests",
                    "sampler": "tests",
                }
            )
            start = 0
            for index, step in enumerate(texts):
                key = {"solution_id": solution_id, "step_index": index, "problem_id": problem_id}
                span = {"start": start, "stop": start + len(step), "text": step}
                steps.append(key | span | {"prefix_key": content_id(problem_id, text[: start + len(step)])})
                start += len(step)
                judged = {"labeller": "outcome", "n_rollouts": 1, "n_correct": int(correct), "source": "outcome"}
                labels.append(key | judged | {"label": correct, "value": float(correct)})
                reward = 0.9 - 0.1 * index if correct or index == 0 else 0.2 * index - 0.2
                scores.append(key | {"scorer": SCORER, "reward": reward})
        for rank, chosen in enumerate(ids[True]):
            for other, rejected in enumerate(ids[False]):
                pairs.append(
                    {
                        "pair_id": content_id(chosen, rejected),
                        "problem_id": problem_id,
                        "chosen_id": chosen,
                        "rejected_id": rejected,
                        "chosen_score": 0.8,
                        "rejected_score": 0.3,
                        "margin": 0.5,
                        "chosen_rank": rank,
                        "rejected_rank": other,
                        "policy": "mean-top2",
                        "scorer": SCORER,
                    }
                )
    rows = {"solutions": solutions, "steps": steps, "step_labels": labels, "step_scores": scores, "pairs": pairs}
    return Tables(**{name: TABLES[name].check(TABLES[name].frame(made), where=name) for name, made in rows.items()})
