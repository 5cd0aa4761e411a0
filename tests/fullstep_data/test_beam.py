"""Step-wise Beam Search with the scripted engine and a scorer that can add up; and with engines that write what a test wants."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import polars as pl
import pytest

from fullstep_data.beam import beam_predictions
from fullstep_data.config import BeamConfig, StepsConfig
from fullstep_data.engines.continuation import cut
from fullstep_data.engines.protocol import Completion, Failure, Request, ScoreRequest
from fullstep_data.engines.scripted import ScriptedGenerator
from fullstep_data.grading import Grader
from fullstep_data.prompts import Chat, plain_prompt
from fullstep_data.stage import Context, Outcome, Tick, no_tick
from schemas import TABLES, InputError

SUMS = {"What is 4 - 1 + 7 - 3 + 2?": "9", "What is 12 + 5 - 8 + 6 - 4?": "11", "What is 20 - 7 + 3 + 9 - 5?": "20"}
CONFIG = BeamConfig(max_tokens=300)


class Adder:
    """Rewards 0.9 for a step whose sum is right (or that has none), 0.1 for a wrong one; counts its calls."""

    identity = "adder"
    calls = 0

    def score(self, groups: Sequence[Sequence[ScoreRequest]], tick: Tick = no_tick) -> list[list[list[float] | str]]:
        self.calls += 1
        return [[self._steps(request) for request in group] for group in groups]

    def _steps(self, request: ScoreRequest) -> list[float] | str:
        starts = (0, *request.stops[:-1])
        return [self._one(request.text[start:stop]) for start, stop in zip(starts, request.stops, strict=True)]

    def _one(self, step: str) -> float:
        found = re.search(r"(-?\d+) ([+-]) (-?\d+) = (-?\d+)", step)
        if not found:
            return 0.9
        left, sign, right, result = found.groups()
        change = int(right) if sign == "+" else -int(right)
        return 0.9 if int(left) + change == int(result) else 0.1


class Flat(Adder):
    """The same reward for everything."""

    def _one(self, step: str) -> float:
        return 0.5


class Written:
    """An engine that gives each request what `write` makes of the text after the prompt."""

    identity = "written"

    def __init__(self, write: Callable[[str, Request], Completion | Failure]) -> None:
        self.write = write
        self.calls: list[Sequence[Request]] = []

    def render(self, system: str, user: str, chat: Chat) -> str:
        return plain_prompt(system, user)

    def generate(self, requests: Sequence[Request], tick: Tick = no_tick) -> list[Completion | Failure]:
        self.calls.append(requests)
        return [self.write(self.so_far(request), request) for request in requests]

    def so_far(self, request: Request) -> str:
        """The text after the prompt, as text or as ids (its bytes)."""
        return request.prompt.rpartition("?\n")[2] + bytes(request.prefix).decode()

    def cut(self, text: str, token_ids: Sequence[int], stops: Sequence[int]) -> list[tuple[int, int]]:
        return cut(lambda ids: bytes(ids).decode(), text, token_ids, stops)


@pytest.fixture
def grader() -> Iterator[Grader]:
    with Grader() as opened:
        yield opened


def searched(
    grader: Grader, engine: Any, scorer: Any = None, rule: str = "beam@4x4", config: BeamConfig = CONFIG, sums: Any = SUMS
) -> Outcome:
    rest = {"source": "sums", "split": "test", "domain": "math"}
    problems = TABLES["problems"].frame([{"problem_id": q, "question": q, "answer": a, **rest} for q, a in sums.items()])
    tools = {"generator": engine, "scorer": scorer or Adder(), "grader": grader}
    outcome = beam_predictions(problems, Context(config, tools, {"model": "m", "rule": rule}))
    TABLES["predictions"].check(outcome.rows, "test")
    return outcome


def done(text: str, reason: Any = "eos") -> Completion:
    return Completion(text, tuple(text.encode()), reason, 1)


def test_a_prm_that_adds_up_leads_an_engine_that_errs_to_the_answer(grader: Grader) -> None:
    # One step in five is wrong: four right ones have odds of 0.8^4 = 0.41. The search fails at a step only where all four
    # of the right text's next steps are wrong: 0.2^4 = 0.0016.
    rows = searched(grader, ScriptedGenerator(0.2)).rows
    assert rows["correct"].to_list() == [True] * 3
    assert rows["text"][0].startswith("Step 1: 4 - 1 = 3\nStep 2: 3 + 7 = 10\n")
    assert set(rows["finish_reason"]) == {"eos"}
    assert rows["lowest_reward"].to_list() == pytest.approx([0.9] * 3)


def test_a_prm_that_sees_no_difference_leads_nowhere(grader: Grader) -> None:
    # Every second step is wrong: 1/16 of the answers are right by chance, 2 of 30. With the PRM: 16 first steps hold a right one,
    # and three times 4 next steps do with odds of 15/16: 0.82, 25 of 30.
    many = {f"What is {n} + 5 - 8 + 6 - 4?": str(n - 1) for n in range(10, 40)}
    blind = searched(grader, ScriptedGenerator(0.5), Flat(), sums=many).rows["correct"].sum()
    seeing = searched(grader, ScriptedGenerator(0.5), sums=many).rows["correct"].sum()
    assert blind < 8
    assert seeing > 18


def test_all_problems_go_through_a_round_together(grader: Grader) -> None:
    # Four sums and a box are five rounds, perhaps a few more for texts that never end; not five for each problem.
    scorer = Adder()
    searched(grader, ScriptedGenerator(0.2), scorer)
    assert 5 <= scorer.calls < 10


def test_the_first_round_has_all_candidates_and_each_later_one_as_many(grader: Grader) -> None:
    # Three steps, each numbered by its seed so that all texts differ. beam@2x3: 6 first steps, then 2 * 3 twice.
    def write(text: str, request: Request) -> Completion:
        k = text.count("Step") + 1
        return done(f"Step {k}: {request.seed % 1000}", "stop" if k < 3 else "eos")

    engine = Written(write)
    (row,) = searched(grader, engine, rule="beam@2x3", sums={"How many?": "1"}).rows.to_dicts()
    assert [len(requests) for requests in engine.calls] == [6, 6, 6]
    assert len({request.seed for requests in engine.calls for request in requests}) == 18
    assert row["n_samples"] == 18
    assert row["text"].count("\n") == 2
    assert row["decoding"] == "beam@2x3"
    assert row["seed"] in {request.seed for request in engine.calls[-1]}
    # what was sampled: 18 texts, each as long as it is; the answer is three of them
    lengths = [len(engine.write(engine.so_far(request), request).token_ids) for r in engine.calls for request in r]
    assert row["sampled_tokens"] == sum(lengths)
    assert row["tokens"] == len(row["text"].replace("\n", ""))


def test_equal_texts_are_kept_once(grader: Grader) -> None:
    # Every candidate is the same step: one text is left, so the second round asks 1 * 3 times, not 2 * 3.
    engine = Written(lambda text, _: done("Step 2: \\boxed{1}") if text else done("Step 1: one", "stop"))
    searched(grader, engine, rule="beam@2x3", sums={"How many?": "1"})
    assert [len(requests) for requests in engine.calls] == [6, 3]


@pytest.mark.parametrize(("rule", "answer"), [("beam-last@2x2", "2"), ("beam@2x2", "1")])
def test_the_score_is_that_of_the_worst_step_unless_named(rule: str, answer: str, grader: Grader) -> None:
    # Two paths: a right sum, then a wrong one, and the other way round. By the last step the second ends higher (0.9 against
    # 0.1); by the least they are equal at 0.1, and the path that was kept first stays first.
    def write(text: str, request: Request) -> Completion:
        if not text:
            return done("Step 1: 1 + 1 = 2" if request.seed % 2 else "Step 1: 1 + 1 = 3", "stop")
        return done("Step 2: 2 + 1 = 1 so \\boxed{1}" if "= 2" in text else "Step 2: 3 - 1 = 2 so \\boxed{2}")

    (row,) = searched(
        grader,
        Written(write),
        rule=rule,
        sums={
            "How many, 1 or 2?": "1",
        },
    ).rows.to_dicts()
    assert row["answer"] == answer


def test_a_text_ends_where_the_template_says(grader: Grader) -> None:
    # The template stops at a blank line; an engine that runs on to the next step of another problem is cut there.
    engine = Written(lambda text, _: done("Step 1: \\boxed{1}\n\nProblem: 2 + 2", "stop"))
    (row,) = searched(grader, engine, sums={"How many?": "1"}).rows.to_dicts()
    assert (row["text"], row["finish_reason"], row["correct"]) == ("Step 1: \\boxed{1}", "stop", True)


def test_steps_that_the_engine_does_not_stop_at_are_cut_off(grader: Grader) -> None:
    # "step 2" in small letters is a step for the splitter, and no stop string: only the first is taken, the rest asked for anew.
    engine = Written(lambda text, _: done("step 2: \\boxed{1}") if text else done("step 1: a\nstep 2: b\nstep 3: c"))
    (row,) = searched(grader, engine, rule="beam@1x1", sums={"How many?": "1"}).rows.to_dicts()
    assert row["text"] == "step 1: a\nstep 2: \\boxed{1}"


def test_no_text_is_longer_than_it_may_be(grader: Grader) -> None:
    # Ten tokens a step, 25 allowed: the third request may have five.
    engine = Written(
        lambda text, request: done("Step 1: ab"[: request.max_tokens], "stop" if request.max_tokens >= 10 else "length")
    )
    (row,) = searched(grader, engine, rule="beam@1x1", config=BeamConfig(max_tokens=25), sums={"How many?": "1"}).rows.to_dicts()
    assert [requests[0].max_tokens for requests in engine.calls] == [25, 15, 5]
    assert (row["tokens"], row["finish_reason"]) == (25, "length")


def test_an_engine_that_adds_nothing_ends_the_text(grader: Grader) -> None:
    engine = Written(lambda text, _: done("", "stop") if text else done("Step 1: \\boxed{1}", "stop"))
    (row,) = searched(grader, engine, rule="beam@1x1", sums={"How many?": "1"}).rows.to_dicts()
    assert (row["text"], row["finish_reason"]) == ("Step 1: \\boxed{1}", "stop")


def test_a_problem_that_cannot_be_begun_is_a_reject_and_a_full_context_ends_a_text(grader: Grader) -> None:
    def write(text: str, request: Request) -> Completion | Failure:
        if "long" in request.prompt or text:
            return Failure("prompt longer than the context", "9 tokens")
        return done("Step 1: \\boxed{1}", "stop")

    outcome = searched(grader, Written(write), sums={"How many?": "1", "How long?": "2"})
    assert outcome.rows.select("problem_id", "finish_reason").rows() == [("How many?", "length")]
    assert outcome.rejects.select("key", "reason").rows() == [("How long?", "prompt longer than the context")]


def test_a_text_that_the_prm_cannot_take_is_the_last_choice(grader: Grader) -> None:
    class Partly(Adder):
        def _steps(self, request: ScoreRequest) -> list[float] | str:
            return "longer than max_length" if "long" in request.text else super()._steps(request)

    def write(text: str, request: Request) -> Completion:
        return done("Step 1: long \\boxed{2}" if request.seed % 2 else "Step 1: \\boxed{1}")

    (row,) = searched(grader, Written(write), Partly(), sums={"How many?": "1"}).rows.to_dicts()
    assert row["answer"] == "1"
    (row,) = searched(grader, Written(lambda *_: done("long \\boxed{2}")), Partly(), sums={"How many?": "1"}).rows.to_dicts()
    assert (row["answer"], row["score"], row["lowest_reward"]) == ("2", None, None)


def test_the_settings_of_the_sampler_reach_the_engine(grader: Grader) -> None:
    engine = Written(lambda *_: done("\\boxed{1}"))
    config = BeamConfig(max_tokens=7, temperature=0.3, top_p=0.5, seed=1, steps=StepsConfig(splitter="newline"))
    rows = searched(grader, engine, config=config, sums={"How many?": "1"}).rows
    ((first, *_),) = engine.calls
    assert (first.max_tokens, first.temperature, first.top_p, first.stop) == (7, 0.3, 0.5, ("\n",))
    assert rows["sampler"][0].startswith("written T=0.3 top_p=0.5 max_tokens=7")
    other = Written(lambda *_: done("\\boxed{1}"))
    searched(grader, other, config=config.model_copy(update={"seed": 2}), sums={"How many?": "1"})
    assert other.calls[0][0].seed != first.seed


def test_steps_by_a_pattern_cannot_be_searched(grader: Grader) -> None:
    config = BeamConfig(steps=StepsConfig(splitter="regex", pattern="x"))
    with pytest.raises(InputError, match="splitter regex") as caught:
        searched(grader, ScriptedGenerator(0.1), config=config)
    assert "newline" in caught.value.next_step


def test_the_same_search_gives_the_same_answer(grader: Grader) -> None:
    first, second = (searched(grader, ScriptedGenerator(0.3), rule="beam@2x2").rows for _ in range(2))
    assert first.equals(second)
    assert isinstance(first, pl.DataFrame)


class Recorded(ScriptedGenerator):
    """The scripted engine, which keeps its requests."""

    def __init__(self) -> None:
        super().__init__(0.3)
        self.requests: list[Request] = []

    def generate(self, requests: Sequence[Request], tick: Tick = no_tick) -> list[Completion | Failure]:
        self.requests += requests
        return super().generate(requests, tick)


def test_a_text_goes_on_from_the_ids_that_were_sampled_for_it(grader: Grader) -> None:
    engine = Recorded()
    rows = searched(grader, engine, rule="beam@2x2").rows
    later = [request for request in engine.requests if request.prefix]
    assert len(later) > 3
    for request in later:
        assert request.prompt.rpartition("\n")[0].endswith("?")  # nothing of the text stands in the prompt
        assert bytes(request.prefix).decode().endswith("\nStep ")  # whole steps, and the stop string
    prefixes = {bytes(request.prefix).decode() for request in later}
    assert all(any(text.startswith(prefix) for prefix in prefixes) for text in rows["text"])
    assert all("\nStep 2: " in text for text in rows["text"])


def test_a_token_across_the_end_of_a_step_makes_the_text_go_on_as_text(grader: Grader) -> None:
    """The end of the stop string and the number after it are one token here."""
    stop = 1000
    known = {stop: "\nStep 2"}

    def text_of(ids: Sequence[int]) -> str:
        return "".join(known.get(token) or chr(token) for token in ids)

    class Whole(Written):
        def cut(self, text: str, token_ids: Sequence[int], stops: Sequence[int]) -> list[tuple[int, int]]:
            return cut(text_of, text, token_ids, stops)

    def write(text: str, request: Request) -> Completion:
        step = "Step 2: \\boxed{1}" if text else "Step 1: one"
        return Completion(step, tuple(map(ord, step)), "eos" if text else "stop", 1, () if text else (stop,))

    engine = Whole(write)
    (row,) = searched(grader, engine, rule="beam@1x1", sums={"How many?": "1"}).rows.to_dicts()
    ((first,), (second,)) = engine.calls
    assert (first.prefix, second.prefix) == ((), ())
    assert second.prompt == first.prompt + "Step 1: one\n"
    assert row["text"] == "Step 1: one\nStep 2: \\boxed{1}"
