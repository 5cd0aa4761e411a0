"""judge_labels: a value out of log-probs by hand, one question per prefix, open labels, rejects, and what each option changes."""

import math
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from fullstep_data.config import JudgeLabels, StepsConfig
from fullstep_data.engines.protocol import Failure, NextTokens
from fullstep_data.engines.scripted import ScriptedGenerator
from fullstep_data.judge_labels import NEITHER, judge_key, judge_labels, probability
from fullstep_data.prompts import Chat
from fullstep_data.stage import Context, Outcome, Tick, no_tick
from fullstep_data.steps import steps
from schemas import TABLES, InputError
from tests.fullstep_data.test_pairs import problem
from tests.fullstep_data.test_steps import solution


class Recorder(ScriptedGenerator):
    """The scripted engine, a judge without mistakes, that notes what it was asked; a prompt with "No sum" fails."""

    def __init__(self) -> None:
        super().__init__(error_rate=0.0)
        self.prompts: list[str] = []
        self.tops: list[int] = []

    def next_tokens(self, prompts: Sequence[str], top: int, tick: Tick = no_tick) -> list[NextTokens | Failure]:
        self.prompts += prompts
        self.tops.append(top)
        told = super().next_tokens(prompts, top, tick)
        return [Failure("too long", "it said") if "No sum" in prompt else one for prompt, one in zip(prompts, told, strict=True)]


TEXTS = {
    "right": "Step 1: 4 - 1 = 3\nStep 2: 3 + 7 = 10\nStep 3: The answer is \\boxed{10}.",
    "wrong": "Step 1: 4 - 1 = 3\nStep 2: 3 + 7 = 11\nStep 3: The answer is \\boxed{11}.",
    "mute": "No sum here.",
}
SOLUTIONS = TABLES["solutions"].frame(
    [{**solution(name, text, "p"), "sample_index": index} for index, (name, text) in enumerate(TEXTS.items())]
)
STEPS = steps(SOLUTIONS, Context(StepsConfig(), {})).rows
PROBLEMS = TABLES["problems"].frame([problem("p")])


def judged(judge: Recorder | None = None, **config: object) -> Outcome:
    outcome = judge_labels(
        STEPS, SOLUTIONS, PROBLEMS, Context(JudgeLabels.model_validate(config), {"judge": judge or Recorder()})
    )
    TABLES["step_labels"].check(outcome.rows, "test")
    return outcome


def test_probability_of_yes_by_hand() -> None:
    # " Yes" 0.3 and "yes" 0.1 spell one word: 0.4; "No" 0.2; "Maybe" is neither. 0.4 / (0.4 + 0.2) = 2/3
    tokens = ((" Yes", math.log(0.3)), ("No", math.log(0.2)), ("Maybe", math.log(0.2)), ("yes", math.log(0.1)))
    assert probability(tokens, ["yes"], ["no"]) == pytest.approx(2 / 3)
    assert probability(tokens, ["maybe"], ["no"]) == pytest.approx(1 / 2)
    assert probability(tokens[:1], ["yes"], ["no"]) == 1.0
    assert probability(tokens, ["right"], ["wrong"]) is None


def test_a_step_is_judged_by_what_stands_before_it() -> None:
    """The scripted judge is sure to 0.9. It finds the wrong sum; the answer after it is right again, given that sum."""
    rows = judged().rows
    assert [(row["solution_id"], row["step_index"], row["label"], round(row["value"], 6)) for row in rows.to_dicts()] == [
        ("right", 0, True, 0.9),
        ("right", 1, True, 0.9),
        ("right", 2, True, 0.9),
        ("wrong", 0, True, 0.9),
        ("wrong", 1, False, 0.1),
        ("wrong", 2, True, 0.9),
    ]
    assert set(rows["source"]) == {"judge"}
    assert set(rows["n_rollouts"]) == set(rows["n_correct"]) == {0}


def test_a_prompt_shows_the_question_and_the_solution_up_to_the_step_and_equal_prefixes_are_asked_once() -> None:
    judge = Recorder()
    judged(judge)
    assert len(judge.prompts) == 3 + 2 + 1  # the first step is that of both
    shown = [prompt for prompt in judge.prompts if "3 + 7 = 11" in prompt and "boxed" not in prompt]
    (prompt,) = shown
    assert "question p" in prompt
    assert "Step 1: 4 - 1 = 3\nStep 2: 3 + 7 = 11\n" in prompt
    assert judge.tops == [20]


def test_a_step_that_cannot_be_asked_about_is_a_reject() -> None:
    assert judged().rejects.select("stage", "table", "key", "reason", "detail").rows() == [
        ("step_labels", "steps", "mute/0", "judge: too long", "it said")
    ]


def test_the_threshold_decides_the_label_and_stands_in_the_labeller() -> None:
    strict = judged(threshold=0.95).rows
    assert set(strict["label"]) == {False}
    assert set(strict["labeller"]) == {"judge judge-yes-no threshold=0.95"}
    assert set(judged(threshold=0.05).rows["label"]) == {True}
    assert set(judged(name="qwen").rows["labeller"]) == {"judge qwen judge-yes-no threshold=0.5"}


def test_fewer_tokens_may_hold_neither_word(tmp_path: Path) -> None:
    """top: with 2 of the scripted judge's tokens both words are seen. Where neither is, the label is open, with the reason."""
    path = tmp_path / "plus.toml"
    path.write_text('user = "{question} {steps} yes or no"\nyes = ["+"]\nno = ["-"]\n')
    judge = Recorder()
    outcome = judged(judge, prompt={"template": str(path)}, top=2)
    assert judge.tops == [2]
    assert set(outcome.rows["reason"]) == {NEITHER}
    assert outcome.rows["label"].null_count() == outcome.rows["value"].null_count() == outcome.rows.height


def test_the_key_holds_what_decides_labels_and_the_engine_counts_by_its_identity() -> None:
    key = judge_key(JudgeLabels())
    assert judge_key(JudgeLabels.model_validate({"engine": {"kind": "scripted"}})) == key
    others = [{"threshold": 0.6}, {"top": 5}, {"name": "x"}, {"prompt": {"chat": "never"}}]
    assert all(judge_key(JudgeLabels.model_validate(other)) != key for other in others)


def test_the_chat_template_is_used_as_the_recipe_says() -> None:
    """chat goes to the engine: that of the template (auto) unless the recipe says another."""
    modes: list[str] = []

    class Rendering(Recorder):
        def render(self, system: str, user: str, chat: Chat) -> str:
            modes.append(chat)
            return super().render(system, user, chat)

    judged(Rendering())
    assert set(modes) == {"auto"}
    modes.clear()
    judged(Rendering(), prompt={"chat": "never"})
    assert set(modes) == {"never"}


def test_a_template_for_solutions_is_no_judge_s() -> None:
    with pytest.raises(InputError, match="is not a judge's"):
        judged(prompt={"template": "steps-few-shot"})


def test_steps_of_one_text_share_verdicts_over_solutions() -> None:
    rows = judged().rows.join(STEPS.select("solution_id", "step_index", "prefix_key"), on=["solution_id", "step_index"])
    assert rows.group_by("prefix_key").agg(pl.col("value").n_unique())["value"].max() == 1
