"""Stage `samples`: blocks, seeds, rejects, and solutions from a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from fullstep_data.config import GivenSolutions, HFEngine, PromptConfig, SamplesConfig, ScriptedEngine
from fullstep_data.engines.protocol import Completion, Failure, Request
from fullstep_data.engines.scripted import ScriptedGenerator
from fullstep_data.prompts import load_template
from fullstep_data.samples import sample_blocks, samples, samples_key
from fullstep_data.stage import Context, Outcome, Tick, no_tick
from schemas import TABLES, InputError
from schemas.ids import content_id, sample_seed

QUESTIONS = ("What is 4 - 1?", "What is 7 + 2 - 3?", "What is 6 * 7?")
CONFIG = SamplesConfig(engine=ScriptedEngine(), samples=6, samples_per_part=4, max_tokens=200, temperature=0.8, seed=5)


def problems(questions: Sequence[str] = QUESTIONS) -> pl.DataFrame:
    return TABLES["problems"].frame(
        [
            {
                "problem_id": content_id(question),
                "question": question,
                "answer": "1",
                "source": "test",
                "split": "train",
                "domain": "math",
            }
            for question in questions
        ]
    )


def sampled(
    config: SamplesConfig = CONFIG, first: int = 0, last: int = 4, generator: object = None, tick: Tick = no_tick
) -> Outcome:
    tools = {"generator": generator or ScriptedGenerator(0.3)}
    outcome = samples(problems(), Context(config, tools, {"first": first, "last": last}, tick))
    TABLES["samples"].check(outcome.rows, "test")
    TABLES["rejects"].check(outcome.rejects, "test")
    return outcome


class Moody(ScriptedGenerator):
    """An engine that cannot serve the questions it is told to refuse, or odd samples of the others."""

    def __init__(self, refused: Sequence[str], refused_seeds: Sequence[int] = ()) -> None:
        super().__init__()
        self._refused = refused
        self._refused_seeds = refused_seeds

    def generate(self, requests: Sequence[Request], tick: Tick = no_tick) -> list[Completion | Failure]:
        return [
            Failure("too hard", "it said")
            if any(question in request.prompt for question in self._refused) or request.seed in self._refused_seeds
            else result
            for request, result in zip(requests, super().generate(requests), strict=True)
        ]


def test_every_problem_gets_the_samples_of_the_block() -> None:
    rows = sampled(first=4, last=6).rows
    keys = [(content_id(question), index) for question in QUESTIONS for index in (4, 5)]
    assert rows.select("problem_id", "sample_index").rows() == keys
    assert rows["seed"].to_list() == [sample_seed(problem_id, index, 5) for problem_id, index in keys]


def test_a_row_holds_what_the_engine_was_asked_and_gave() -> None:
    row = sampled().rows.row(1, named=True)
    template = load_template("steps-few-shot")
    prompt = template.fill(QUESTIONS[0])
    request = Request(prompt, row["seed"], 200, temperature=0.8, stop=template.stop)
    (result,) = ScriptedGenerator(0.3).generate([request])
    assert isinstance(result, Completion)
    assert row["prompt"] == prompt
    assert row["text"] == result.text
    assert row["token_ids"] == list(result.token_ids)
    assert row["tokens"] == len(result.token_ids)
    assert row["prompt_tokens"] == len(prompt.encode())
    assert row["finish_reason"] == result.finish_reason
    assert row["sampler"] == f"scripted:0.3 T=0.8 top_p=1 max_tokens=200 stop={list(template.stop)!r}"


def test_a_sample_is_the_same_in_whatever_block_it_is_drawn() -> None:
    whole = sampled(first=0, last=6).rows
    apart = pl.concat([sampled(first=first, last=first + 2).rows for first in (4, 0, 2)])
    key = ["problem_id", "sample_index"]
    assert whole.sort(key).equals(apart.sort(key))


def test_blocks_cover_every_sample_once_and_growing_keeps_the_full_ones() -> None:
    assert list(sample_blocks(CONFIG)) == [{"first": 0, "last": 4}, {"first": 4, "last": 6}]
    grown = list(sample_blocks(CONFIG.model_copy(update={"samples": 8})))
    assert grown == [{"first": 0, "last": 4}, {"first": 4, "last": 8}]


def test_the_key_holds_what_decides_a_sample_and_nothing_else(tmp_path: Path) -> None:
    def key(**changes: object) -> dict[str, object]:
        return samples_key(CONFIG.model_copy(update=changes))

    same = key()
    assert key(samples=60, samples_per_part=2, engine=HFEngine(batch_size=2)) == same
    for change in ({"temperature": 0.7}, {"top_p": 0.9}, {"max_tokens": 10}, {"seed": 6}):
        assert key(**change) != same
    assert key(prompt=PromptConfig(template="steps-zero-shot")) != same
    assert key(prompt=PromptConfig(chat="auto")) != same
    path = tmp_path / "mine.toml"
    path.write_text('user = "{question}"')
    mine = key(prompt=PromptConfig(template=str(path)))
    path.write_text('user = "{question} "')
    assert key(prompt=PromptConfig(template=str(path))) != mine


def test_a_sample_that_cannot_be_drawn_is_a_reject_and_the_problem_goes_on() -> None:
    lost = sample_seed(content_id(QUESTIONS[1]), 2, 5)
    outcome = sampled(generator=Moody((), [lost]))
    assert outcome.rows.height == 3 * 4 - 1
    assert outcome.rejects.rows() == [("samples", "samples", f"{content_id(QUESTIONS[1])}/2", "too hard", "it said")]


def test_a_problem_without_any_sample_is_accounted_for_in_every_block() -> None:
    lost = content_id(QUESTIONS[2])
    blocks = [sampled(first=first, last=first + 2, generator=Moody(QUESTIONS[2:])) for first in (0, 2)]
    for outcome in blocks:
        assert set(outcome.rows["problem_id"]) == {content_id(question) for question in QUESTIONS[:2]}
        assert outcome.rejects.filter(pl.col("table") == "problems")["key"].to_list() == [lost]
        assert outcome.rejects.filter(pl.col("table") == "samples").height == 2
    # a version holds both blocks, so their rejects must differ
    TABLES["rejects"].check(pl.concat([outcome.rejects for outcome in blocks]), "both blocks")


def test_no_problems_give_no_rows() -> None:
    tools = {"generator": ScriptedGenerator()}
    outcome = samples(problems(()), Context(CONFIG, tools, {"first": 0, "last": 4}))
    assert outcome.rows.is_empty()
    assert outcome.rejects.is_empty()


def test_progress_is_reported_for_the_part_in_hand() -> None:
    calls: list[tuple[int, int]] = []
    sampled(tick=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (12, 12)


@dataclass
class File:
    """Solutions sampled elsewhere."""

    texts: dict[str, list[str]]
    identity: str = "given:abc"

    def samples_of(self, question: str) -> list[str]:
        return self.texts.get(question, [])


GIVEN = CONFIG.model_copy(update={"engine": GivenSolutions(path="mine.jsonl")})


def test_given_solutions_become_samples_without_tokens_or_seed() -> None:
    file = File({QUESTIONS[0]: ["It is 3.", "It is 4."], QUESTIONS[2]: ["It is 42."]})
    (block,) = sample_blocks(GIVEN)
    outcome = samples(problems(), Context(GIVEN, {"generator": file}, block))
    rows = TABLES["samples"].check(outcome.rows, "test")
    assert rows.select("problem_id", "sample_index", "text").rows() == [
        (content_id(QUESTIONS[0]), 0, "It is 3."),
        (content_id(QUESTIONS[0]), 1, "It is 4."),
        (content_id(QUESTIONS[2]), 0, "It is 42."),
    ]
    assert rows["prompt"][2] == load_template("steps-few-shot").fill(QUESTIONS[2])
    assert set(rows["finish_reason"]) == {"given"}
    assert set(rows["seed"]) == {0}
    assert set(rows["sampler"]) == {"given:abc"}
    for column in ("token_ids", "prompt_tokens", "tokens"):
        assert rows[column].null_count() == 3
    assert outcome.rejects.rows() == [("samples", "problems", content_id(QUESTIONS[1]), "no solution in the file", None)]


def test_the_key_of_given_solutions_is_that_of_the_prompt() -> None:
    other = GIVEN.model_copy(update={"seed": 9, "temperature": 0.1, "engine": GivenSolutions(path="moved.jsonl")})
    assert samples_key(other) == samples_key(GIVEN)
    assert samples_key(GIVEN.model_copy(update={"prompt": PromptConfig(template="steps-zero-shot")})) != samples_key(GIVEN)


def test_given_solutions_cannot_be_put_into_a_chat_template() -> None:
    config = GIVEN.model_copy(update={"prompt": PromptConfig(chat="always")})
    with pytest.raises(InputError, match="without a tokenizer"):
        samples(problems(), Context(config, {"generator": File({})}, {}))
