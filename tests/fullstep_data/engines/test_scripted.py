"""The engine `scripted`: what it works out, how it errs, and its odd endings."""

from collections import Counter

import pytest

from fullstep_data.config import ScriptedEngine
from fullstep_data.engines.protocol import Completion, Request
from fullstep_data.engines.scripted import ScriptedGenerator, ScriptedTool


def texts(engine: ScriptedGenerator, prompt: str, seeds: range, max_tokens: int = 300) -> list[Completion]:
    results = engine.generate([Request(prompt, seed, max_tokens) for seed in seeds])
    return [result for result in results if isinstance(result, Completion)]


def whole_solution(prompt: str) -> str:
    """The most frequent solution of an engine that makes no mistakes."""
    return Counter(result.text for result in texts(ScriptedGenerator(0.0), prompt, range(20))).most_common(1)[0][0]


@pytest.mark.parametrize(
    ("prompt", "solution"),
    [
        # 4 - 1 = 3, 3 + 7 = 10
        ("What is 4 - 1 + 7?", "Step 1: 4 - 1 = 3\nStep 2: 3 + 7 = 10\nStep 3: The answer is \\boxed{10}."),
        # products first: 3 * 5 = 15, 2 + 15 = 17
        ("2 + 3 * 5 =", "Step 1: 3 * 5 = 15\nStep 2: 2 + 15 = 17\nStep 3: The answer is \\boxed{17}."),
        ("Calculate -( 5 + -8 ) * 2.", "Step 1: 5 + -8 = -3\nStep 2: 3 * 2 = 6\nStep 3: The answer is \\boxed{6}."),
        ("Calculate 2 - -1.", "Step 1: 2 - -1 = 3\nStep 2: The answer is \\boxed{3}."),
        ("7 / 2", "Step 1: 7 / 2 = 7/2\nStep 2: The answer is \\boxed{7/2}."),
        # steps that are there already are gone on from, mistakes and all: 4 - 1 = 2, 2 + 7 = 9
        ("What is 4 - 1 + 7?\nStep 1: 4 - 1 = 2\n", "Step 2: 2 + 7 = 9\nStep 3: The answer is \\boxed{9}."),
        ("4 - 1 + 7 =\nStep 1: 4 - 1 = 3\nStep 2: 3 + 7 = -1/2\n", "Step 3: The answer is \\boxed{-1/2}."),
        # the last sum of the prompt is the question
        ("Problem: 1 + 1\nStep 1: 1 + 1 = 2\n\nProblem: 9 - 4\n", "Step 1: 9 - 4 = 5\nStep 2: The answer is \\boxed{5}."),
    ],
)
def test_the_last_sum_of_the_prompt_is_worked_out_step_by_step(prompt: str, solution: str) -> None:
    assert whole_solution(prompt) == solution


@pytest.mark.parametrize("prompt", ["How many apples?", "In 1999.", "2024-01-02", "2 ** 3", "((((1 + ", "1 / 0", "", "4 (3 + 2)"])
def test_a_prompt_without_a_sum_gets_a_solution_without_an_answer(prompt: str) -> None:
    assert "boxed" not in whole_solution(prompt)
    assert whole_solution(prompt).startswith("Step 1: ")


def test_a_mistake_goes_on_into_the_steps_after_it() -> None:
    for result in texts(ScriptedGenerator(1.0), "4 - 1 + 7 =", range(30)):
        if result.finish_reason == "eos" and "boxed" in result.text:
            first, second, last = result.text.split("\n")
            wrong = first.removeprefix("Step 1: 4 - 1 = ")
            assert wrong != "3"
            assert second.startswith(f"Step 2: {wrong} + 7 = ")
            answer = second.rsplit(" ", 1)[1]
            assert int(answer) != int(wrong) + 7
            assert last == f"Step 3: The answer is \\boxed{{{answer}}}."


def test_the_error_rate_is_that_of_a_step() -> None:
    results = texts(ScriptedGenerator(0.2), "4 + 3 =", range(1000))
    whole = [result.text for result in results if "boxed" in result.text]
    wrong = sum("4 + 3 = 7\n" not in text for text in whole)
    assert 0.16 < wrong / len(whole) < 0.24  # 0.2 plus or minus three standard errors (0.013 each)


def test_some_solutions_have_no_box_and_some_never_end() -> None:
    results = texts(ScriptedGenerator(0.2), "4 + 3 =", range(1000))
    cut = [result for result in results if result.finish_reason == "length"]
    boxless = [result for result in results if result.finish_reason == "eos" and "boxed" not in result.text]
    assert 15 < len(cut) < 50
    assert 15 < len(boxless) < 50
    assert all(len(result.token_ids) == 300 for result in cut)


def test_a_limit_never_cuts_a_character_in_two() -> None:
    results = texts(ScriptedGenerator(0.0), "4 + 3 =", range(5), max_tokens=9)
    assert {result.text for result in results} == {"Step 1: 4"}


def test_the_tool_opens_the_engine_of_its_config() -> None:
    tool = ScriptedTool(ScriptedEngine(error_rate=0.35))
    assert tool.identity({}) == tool.open({}).identity == "scripted:0.35"


ASK = "\nIs the last step correct? Answer Yes or No.\nAnswer:"


def verdict(text: str, error_rate: float = 0.0) -> str:
    ((first, *_),) = ScriptedGenerator(error_rate).next_tokens([f"What is 4 - 1 + 7?\n{text}{ASK}"], 2)
    return first[0]


def test_asked_for_yes_or_no_it_judges_the_last_step_shown() -> None:
    assert verdict("Step 1: 4 - 1 = 3") == " Yes"
    assert verdict("Step 1: 4 - 1 = 4") == " No"
    assert verdict("Step 1: 4 - 1 = 4\nStep 2: 4 + 7 = 11") == " Yes"  # right, given the step before
    assert verdict("Step 1: 1/2 / 2 = 1/4") == " Yes"
    assert verdict("Step 1: 1 / 0 = 1") == " No"
    assert verdict("Step 1: 4 - 1 = 3\nStep 2: The answer is \\boxed{3}.") == " Yes"
    assert verdict("Step 1: 4 - 1 = 3\nStep 2: The answer is \\boxed{4}.") == " No"
    assert verdict("Let us think.") == " No"


def test_its_verdicts_err_as_often_as_its_steps() -> None:
    right = [verdict(f"Step 1: {k} + 1 = {k + 1}", 0.3) == " Yes" for k in range(400)]
    assert 0.6 < sum(right) / 400 < 0.8  # 0.7, standard error 0.023
    assert verdict("Step 1: 4 - 1 = 4", 1.0) == " Yes"
