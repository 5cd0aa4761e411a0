r"""Grading: from a solution's text to "is its final answer the gold answer?". Never a substring match.

    extract(text)                        answers.py   the answer and where it stood: \boxed{…}, then `#### …`, then "answer is …"
    Grader().grade([(answer, gold), …])  grader.py    a Verdict each, equal pairs once

Text and numbers settle most pairs (settle.py, rational.py); math-verify the rest, in killable processes (pool.py, worker.py).
"""

from fullstep_data.grading.answers import extract
from fullstep_data.grading.grader import GRADER_VERSION, Grader, GraderTool
from fullstep_data.grading.settle import Verdict

__all__ = ["GRADER_VERSION", "Grader", "GraderTool", "Verdict", "extract"]
