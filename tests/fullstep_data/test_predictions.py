"""Stage `predictions`: greedy answers, graded by the real grader."""

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl
import pytest

from fullstep_data.config import PredictionsConfig, PromptConfig
from fullstep_data.engines.protocol import Completion, Failure, Generator, Request
from fullstep_data.engines.scripted import ScriptedGenerator
from fullstep_data.grading import GRADER_VERSION, Grader
from fullstep_data.predictions import predictions, predictions_key
from fullstep_data.prompts import Chat, plain_prompt
from fullstep_data.stage import Context, Outcome, Tick, no_tick
from schemas import TABLES
from schemas.ids import content_id

QUESTIONS = (("What is 4 - 1?", "3"), ("What is 7 + 2 - 3?", "6"), ("What is 6 * 7?", "42"), ("What is 1 + 1?", "3"))
CONFIG = PredictionsConfig(max_tokens=300)


class Fixed:
    """An engine that writes what it is told for each question, and keeps the requests."""

    identity = "fixed"

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = texts
        self.requests: list[Request] = []

    def render(self, system: str, user: str, chat: Chat) -> str:
        return plain_prompt(system, user)

    def generate(self, requests: Sequence[Request], tick: Tick = no_tick) -> list[Completion | Failure]:
        self.requests.extend(requests)
        return [self._answer(request.prompt) for request in requests]

    def _answer(self, prompt: str) -> Completion | Failure:
        for question, text in self.texts.items():
            if question in prompt:
                return Completion(text, tuple(text.encode()), "eos", len(prompt))
        return Failure("prompt longer than the context", "too long")


@pytest.fixture
def grader() -> Iterator[Grader]:
    with Grader() as opened:
        yield opened


def predicted(generator: Generator, grader: Grader, model: str = "before", **tools: Any) -> Outcome:
    problems = TABLES["problems"].frame(
        [
            {
                "problem_id": content_id(question),
                "question": question,
                "answer": answer,
                "source": "test",
                "split": "test",
                "domain": "math",
            }
            for question, answer in QUESTIONS
        ]
    )
    context = Context(CONFIG, {"generator": generator, "grader": grader, **tools}, {"model": model})
    outcome = predictions(problems, context)
    TABLES["predictions"].check(outcome.rows, "test")
    TABLES["rejects"].check(outcome.rejects, "test")
    return outcome


def test_answers_are_graded_against_the_gold_answer(grader: Grader) -> None:
    texts = {
        "What is 4 - 1?": "Step 1: The answer is \\boxed{3}.",
        "What is 7 + 2 - 3?": "Step 1: The answer is \\boxed{5}.",
        "What is 6 * 7?": "I cannot tell.",
        "What is 1 + 1?": "The answer is 3",
    }
    rows = predicted(Fixed(texts), grader).rows
    assert rows.select("answer", "answer_source", "correct").rows() == [
        ("3", "boxed", True),
        ("5", "boxed", False),
        (None, "none", False),
        ("3", "phrase", True),
    ]
    assert rows["grade_path"][2] == "no-answer"
    assert rows["question"].to_list() == [question for question, _ in QUESTIONS]
    assert rows["gold"].to_list() == [gold for _, gold in QUESTIONS]
    assert set(rows["grader"]) == {GRADER_VERSION}


def test_answers_are_greedy_and_say_whose_they_are(grader: Grader) -> None:
    engine = Fixed({"What": "The answer is \\boxed{3}."})
    rows = predicted(engine, grader, model="after").rows
    assert {(request.temperature, request.max_tokens) for request in engine.requests} == {(0.0, 300)}
    assert set(rows.select("model", "decoding", "sample_index").rows()) == {("after", "greedy", 0)}
    assert rows["sampler"][0].startswith("fixed T=0 top_p=1 max_tokens=300 stop=")
    assert rows["tokens"][0] == len("The answer is \\boxed{3}.")


def test_a_problem_that_the_engine_cannot_serve_is_a_reject(grader: Grader) -> None:
    outcome = predicted(Fixed({"What is 4 - 1?": "\\boxed{3}", "What is 6 * 7?": "\\boxed{42}"}), grader)
    assert outcome.rows["question"].to_list() == ["What is 4 - 1?", "What is 6 * 7?"]
    assert outcome.rows["correct"].to_list() == [True, True]
    assert outcome.rejects["key"].to_list() == [content_id("What is 7 + 2 - 3?"), content_id("What is 1 + 1?")]
    assert set(outcome.rejects["table"]) == {"problems"}
    assert set(outcome.rejects["reason"]) == {"prompt longer than the context"}


def test_each_model_is_asked_by_its_own_engine(grader: Grader) -> None:
    after = Fixed({"What": "\\boxed{3}"})
    rows = predicted(Fixed({}), grader, model="after", generator_after=after).rows
    assert rows.height == len(after.requests) == len(QUESTIONS)


def test_the_scripted_engine_without_mistakes_is_right(grader: Grader) -> None:
    rows = predicted(ScriptedGenerator(0.0), grader).rows.filter(pl.col("answer").is_not_null())
    assert rows.height > 1
    assert rows["correct"].to_list() == (rows["question"] != "What is 1 + 1?").to_list()


def test_the_key_holds_what_decides_an_answer() -> None:
    same = predictions_key(CONFIG)
    assert predictions_key(PredictionsConfig(max_tokens=300)) == same
    assert predictions_key(PredictionsConfig(max_tokens=301)) != same
    assert predictions_key(PredictionsConfig(max_tokens=300, prompt=PromptConfig(template="steps-zero-shot"))) != same
