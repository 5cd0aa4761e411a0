"""Prompt templates: what comes with fullstep, one's own, and what is wrong with a file."""

import re
from pathlib import Path

import pytest

from fullstep_data.engines.scripted import ScriptedGenerator
from fullstep_data.prompts import (
    Chat,
    Template,
    load_judge_template,
    load_template,
    plain_prompt,
    render_prompt,
    template_names,
)
from schemas import InputError


class Recorder(ScriptedGenerator):
    """An engine that writes down what it was asked to render."""

    asked: tuple[str, str, Chat]

    def render(self, system: str, user: str, chat: Chat) -> str:
        self.asked = (system, user, chat)
        return super().render(system, user, chat)


@pytest.mark.parametrize("name", template_names())
def test_every_template_that_comes_with_fullstep_holds_the_question_once_and_asks_for_a_box(name: str) -> None:
    template = load_template(name)
    question = "What is 17 + 4 {braces} \\boxed{} {question-like}?"
    prompt = render_prompt(template, question, ScriptedGenerator())
    assert prompt.count(question) == 1
    assert "{question}" not in prompt
    assert "\\boxed{" in prompt
    assert template.doc


def test_few_shot_templates_are_plain_text_and_stop_before_the_next_problem() -> None:
    for name in template_names():
        if name.endswith("few-shot"):
            template = load_template(name)
            assert template.chat == "never"
            shots = template.user.split("\n\n")
            assert "\n\n" in template.stop
            # every worked example is numbered from 1 and ends in a boxed step, as its solutions must
            for shot in shots[:-1]:
                steps = [line for line in shot.splitlines() if line.startswith("Step ")]
                assert [line.split(":")[0] for line in steps] == [f"Step {k}" for k in range(1, len(steps) + 1)]
                assert len(steps) >= 2
                assert "\\boxed{" in steps[-1]


def test_the_worked_examples_are_right() -> None:
    found = 0
    for name in template_names():
        for sum_, result in re.findall(r"(\S+ [-+*] \S+) = (-?\d+)", load_template(name).user):
            assert eval(sum_) == int(result), (name, sum_)
            found += 1
    assert found >= 10


def test_a_template_of_one_s_own_is_named_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('user = "Q: {question}\\nA: \\\\boxed{}"\nstop = ["Q:"]\n')
    template = load_template(str(path))
    assert template == Template(system="", user="Q: {question}\nA: \\boxed{}", stop=("Q:",), chat="auto")
    assert template.fill("1 + 1") == "Q: 1 + 1\nA: \\boxed{}"


def test_a_choice_about_chat_templates_in_the_recipe_goes_before_that_of_the_template() -> None:
    template = Template(system="Be brief.", user="{question}", stop=(), chat="auto")
    engine = Recorder()
    assert render_prompt(template, "1 + 1", engine) == "Be brief.\n\n1 + 1"
    assert engine.asked == ("Be brief.", "1 + 1", "auto")
    render_prompt(template, "1 + 1", engine, "always")
    assert engine.asked[2] == "always"


def test_a_plain_prompt_without_system_text_begins_with_the_user_s() -> None:
    assert plain_prompt("", "1 + 1") == "1 + 1"


def test_the_key_changes_with_what_decides_the_prompt_only() -> None:
    template = Template(system="", user="{question}", stop=("\n",), chat="auto", doc="one")
    assert template.key() == Template("", "{question}", ("\n",), "auto", doc="two").key()
    assert template.key("never") == Template("", "{question}", ("\n",), "never").key()
    others = [
        Template("Be brief.", "{question}", ("\n",), "auto"),
        Template("", "Q: {question}", ("\n",), "auto"),
        Template("", "{question}", (), "auto"),
        Template("", "{question}", ("\n",), "never"),
    ]
    assert len({template.key(), *(other.key() for other in others)}) == 5


def test_an_unknown_template_is_told_with_the_nearest_one() -> None:
    with pytest.raises(InputError, match="did you mean steps-few-shot") as error:
        load_template("steps-fewshot")
    assert "steps-zero-shot" in error.value.next_step


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'user = "no hole"', "no {question}"),
        (b'user = "{question}"\nsytem = "x"', "missing, unknown or of the wrong type"),
        (b'system = "x"', "missing, unknown or of the wrong type"),
        (b'user = "{question}"\nchat = "sometimes"', "missing, unknown or of the wrong type"),
        (b'user = "{question}"\nstop = [""]', "missing, unknown or of the wrong type"),
        (b'user = "{question}', "cannot be read"),
        (b'user = "\xff{question}"', "cannot be read"),
    ],
)
def test_a_broken_template_is_one_clear_error(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        load_template(str(path))
    assert message in error.value.what
    assert error.value.where == str(path)
    assert error.value.next_step


def test_a_template_file_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist") as error:
        load_template(str(tmp_path / "none.toml"))
    assert error.value.where == str(tmp_path / "none.toml")


@pytest.mark.parametrize("name", template_names(judges=True))
def test_a_judge_s_template_shows_question_and_steps_once_whatever_braces_they_hold(name: str) -> None:
    template = load_judge_template(name)
    shown = template.fill("What is {steps}?", "Step 1: {question}")
    assert shown.count("What is {steps}?") == shown.count("Step 1: {question}") == 1
    assert template.yes
    assert template.no
    assert template.doc
    with pytest.raises(InputError, match="is a judge's"):
        load_template(name)


@pytest.mark.parametrize(
    "text",
    [
        'user = "{question}"\nyes = ["yes"]\nno = ["no"]',
        'user = "{question} {steps}"\nyes = ["yes"]',
        'user = "{question} {steps}"\nno = ["no"]',
    ],
)
def test_a_judge_s_template_needs_its_steps_and_both_words(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(InputError, match="is not a judge's"):
        load_judge_template(str(tmp_path / "mine.toml"))


def test_the_words_of_a_judge_count_in_the_key(tmp_path: Path) -> None:
    keys: set[str] = set()
    for words in ("yes", "+"):
        (tmp_path / "mine.toml").write_text(f'user = "{{question}} {{steps}}"\nyes = ["{words}"]\nno = ["no"]')
        keys.add(load_judge_template(str(tmp_path / "mine.toml")).key())
    assert len(keys) == 2
