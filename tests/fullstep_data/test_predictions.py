"""Stage `predictions`: greedy answers and those of rules over samples, graded by the real grader."""

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl
import pytest

from fullstep_data.config import Calibration, Platt, PredictionsConfig, PromptConfig, SampledPredictionsConfig, StepsConfig
from fullstep_data.engines.protocol import Completion, Failure, Generator, Request, ScoreRequest
from fullstep_data.engines.scripted import ScriptedGenerator
from fullstep_data.grading import GRADER_VERSION, Grader
from fullstep_data.predictions import NO_SAMPLES, predictions, predictions_key, sampled_predictions
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
    assert predictions_key(PredictionsConfig(max_tokens=300, steps=StepsConfig(splitter="newline"))) != same


class Doubter:
    """Rewards 0.9 for a step, 0.2 where it holds a 5; refuses texts that hold a 7."""

    identity = "doubter"

    def score(self, groups: Sequence[Sequence[ScoreRequest]], tick: Tick = no_tick) -> list[list[list[float] | str]]:
        return [[self._one(request) for request in group] for group in groups]

    def _one(self, request: ScoreRequest) -> list[float] | str:
        if "7" in request.text:
            return "longer than max_length"
        starts = (0, *request.stops[:-1])
        return [0.2 if "5" in request.text[start:stop] else 0.9 for start, stop in zip(starts, request.stops, strict=True)]


def test_a_prm_gives_each_greedy_answer_its_least_reward(grader: Grader) -> None:
    texts = {
        "What is 4 - 1?": "Step 1: 4 - 1 = 3\nStep 2: \\boxed{3}",
        "What is 7 + 2 - 3?": "Step 1: 9\nStep 2: 5\nStep 3: \\boxed{6}",
        "What is 6 * 7?": "Step 1: 7",
        "What is 1 + 1?": "",
    }
    rows = predicted(Fixed(texts), grader, scorer=Doubter()).rows
    assert rows["lowest_reward"].to_list() == [pytest.approx(0.9), pytest.approx(0.2), None, None]
    assert predicted(Fixed(texts), grader).rows["lowest_reward"].to_list() == [None] * 4
    assert rows["sampled_tokens"].to_list() == rows["tokens"].to_list()
    assert set(rows["n_samples"]) == {1}


# Four samples of one problem whose gold answer is 3: answers, tokens, rewards of their two steps.
SAMPLED = [
    ("4", 10, (0.6, 0.6)),
    ("3", 20, (0.9, 0.5)),
    ("3.0", 30, (0.8, 0.4)),
    (None, 40, (1.0, 1.0)),
]


def decided(rules: tuple[str, ...], grader: Grader, scored: bool = True, **config: Any) -> Outcome:
    problem = {"question": "What is 4 - 1?", "answer": "3", "source": "sums", "split": "test", "domain": "math"}
    problems = TABLES["problems"].frame([{"problem_id": "p", **problem}, {"problem_id": "q", **problem}])
    rest = {"problem_id": "p", "prompt": "?", "text": "t", "finish_reason": "eos", "grader": "g", "sampler": "s"}
    solutions = TABLES["solutions"].frame(
        [
            {
                "solution_id": f"s{index}",
                "sample_index": index,
                "seed": 100 + index,
                "tokens": tokens,
                "answer": answer,
                "answer_source": "none" if answer is None else "boxed",
                "correct": answer in ("3", "3.0"),
                "grade_path": "no-answer" if answer is None else "rational",
                **rest,
            }
            for index, (answer, tokens, _) in enumerate(SAMPLED)
        ]
    )
    scores = TABLES["step_scores"].frame(
        [
            {"solution_id": f"s{index}", "step_index": step, "scorer": "prm", "problem_id": "p", "reward": reward}
            for index, (_, _, rewards) in enumerate(SAMPLED)
            for step, reward in enumerate(rewards)
        ]
    )
    context = Context(SampledPredictionsConfig(model="m", rules=rules, **config), {"grader": grader})
    outcome = sampled_predictions(problems, solutions[::-1], scores if scored else scores.clear(), context)
    TABLES["predictions"].check(outcome.rows, "test")
    return outcome


def test_one_set_of_samples_serves_every_rule_at_every_n(grader: Grader) -> None:
    rows = decided(("sc@4", "bon-last@4", "wsc-mean@4"), grader).rows
    chosen = {row["decoding"]: (row["sample_index"], row["correct"]) for row in rows.to_dicts() if row["decoding"] != "sample"}
    assert chosen == {
        # sc: 4 and 3 draw at two samples, so the first stands; at four, 3 has two votes of three.
        "sc@1": (0, False),
        "sc@2": (0, False),
        "sc@4": (1, True),
        # bon-last: 0.6 > 0.5 > 0.4; the sample without an answer scores 1.0 and is not taken.
        "bon-last@1": (0, False),
        "bon-last@2": (0, False),
        "bon-last@4": (0, False),
        # wsc-mean: 0.6 against 0.7 at two samples, against 0.7 + 0.6 at four.
        "wsc-mean@1": (0, False),
        "wsc-mean@2": (1, True),
        "wsc-mean@4": (1, True),
    }


def test_a_row_says_what_the_answer_cost_and_how_sure_the_rule_was(grader: Grader) -> None:
    rows = {row["decoding"]: row for row in decided(("sc@4", "wsc-mean@2"), grader).rows.to_dicts()}
    # sc@4: two of three votes, 10 + 20 + 30 + 40 tokens sampled, the chosen text has 20 and a least reward of 0.5.
    assert rows["sc@4"]["score"] == pytest.approx(2 / 3)
    assert (rows["sc@4"]["n_samples"], rows["sc@4"]["sampled_tokens"], rows["sc@4"]["tokens"]) == (4, 100, 20)
    assert rows["sc@4"]["lowest_reward"] == pytest.approx(0.5)
    assert (rows["sc@4"]["seed"], rows["sc@4"]["source"], rows["sc@4"]["model"]) == (101, "sums", "m")
    assert rows["wsc-mean@2"]["score"] == pytest.approx(0.7 / 1.3)
    assert rows["wsc-mean@2"]["sampled_tokens"] == 30


def test_the_samples_themselves_are_rows(grader: Grader) -> None:
    rows = decided(("sc@3",), grader).rows.filter(decoding="sample")
    assert rows.select("sample_index", "correct", "answer").rows() == [(0, False, "4"), (1, True, "3"), (2, True, "3.0")]
    assert rows["score"].to_list() == [None] * 3


def test_a_calibration_weighs_the_votes_of_the_hybrid(grader: Grader) -> None:
    # logit p = 4 * score - 2, base 0.5, weight 1: vote = 1 + (4 * score - 2). By the least reward 0.6, 0.5, 0.4:
    # 1.4 for answer 4, 1.0 + 0.6 for answer 3. By the last two samples alone (n = 2): 1.4 against 1.0.
    curve = Platt(slope=4, intercept=-2)
    calibration = Calibration(score="min", curve=curve, base=0.5, weight=1, problems=1)
    rows = decided(("hybrid-min@4",), grader, calibrations=(calibration,)).rows
    chosen = dict(rows.filter(pl.col("decoding") != "sample").select("decoding", "answer").iter_rows())
    assert chosen == {"hybrid-min@1": "4", "hybrid-min@2": "4", "hybrid-min@4": "3"}
    # Weight 3: 1 + 3 * 0.4 = 2.2 against 1 + (1 - 3 * 0.4) = 0.8: the PRM overrules the majority.
    surer = calibration.model_copy(update={"weight": 3.0})
    rows = decided(("hybrid-min@4",), grader, calibrations=(surer,)).rows
    assert rows.filter(decoding="hybrid-min@4")["answer"].to_list() == ["4"]


def test_without_rewards_a_best_of_n_has_nothing_to_choose_by(grader: Grader) -> None:
    (row,) = decided(("bon-min@4",), grader, scored=False).rows.filter(decoding="bon-min@4").to_dicts()
    assert (row["sample_index"], row["score"], row["lowest_reward"]) == (0, None, None)


def test_a_problem_without_samples_is_a_reject(grader: Grader) -> None:
    outcome = decided(("sc@2",), grader)
    assert set(outcome.rows["problem_id"]) == {"p"}
    assert outcome.rejects.select("table", "key", "reason").rows() == [("problems", "q", NO_SAMPLES)]
