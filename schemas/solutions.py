"""solutions: samples with their answer extracted and graded. Written by the stage `solutions`."""

import polars as pl

from schemas.samples import FINISH_REASONS
from schemas.table import Column, Reference, Rule, Table

ANSWER_SOURCES = ("boxed", "hashes", "phrase", "none")
GRADE_PATHS = ("exact", "rational", "math-verify", "no-answer", "timeout", "error")
GIVEN = "given"
"""What decided `correct` of an imported solution: its file (correct is null where the file does not say either)."""

SOLUTIONS = Table(
    name="solutions",
    version=2,
    grain="one sampled solution",
    doc="A sampled solution with its final answer and whether that equals the gold answer.",
    key=("solution_id",),
    columns=(
        Column("solution_id", pl.String, "Hash of problem, sample index, prompt and text."),
        Column("problem_id", pl.String, "The problem."),
        Column("sample_index", pl.Int32, "Index of the sample among the problem's samples, from 0."),
        Column("seed", pl.Int64, "Seed of the request that gave it."),
        Column("prompt", pl.String, "The whole rendered prompt, special tokens included: tokenise it adding none."),
        Column("text", pl.String, "The solution."),
        Column("finish_reason", pl.String, "How it ended (see samples).", values=FINISH_REASONS),
        Column("prompt_tokens", pl.Int32, "Length of the prompt.", unit="tokens", nullable=True),
        Column("tokens", pl.Int32, "Length of the solution.", unit="tokens", nullable=True),
        Column("answer", pl.String, "Extracted final answer; null where there is none.", nullable=True),
        Column("answer_source", pl.String, "Where the answer stood in the text.", values=ANSWER_SOURCES),
        Column("correct", pl.Boolean, "Answer equals gold; null where that could not be decided.", nullable=True),
        Column("grade_path", pl.String, "What decided `correct`; given: the imported file.", values=(*GRADE_PATHS, GIVEN)),
        Column("grader", pl.String, "Version of the grader."),
        Column("sampler", pl.String, "Identity of engine, model and sampling settings."),
    ),
    rules=(
        Rule("answer is null exactly where answer_source is none", "(answer IS NULL) = (answer_source = 'none')"),
        Rule(
            "a solution without an answer is not correct, unless a file says so",
            "answer IS NOT NULL OR correct = FALSE OR grade_path = 'given'",
        ),
        Rule(
            "correct is null only after a timeout or error, or where a file leaves it open",
            "correct IS NOT NULL OR grade_path IN ('timeout', 'error', 'given')",
        ),
    ),
    references=(Reference(("problem_id",), "problems"),),
)
