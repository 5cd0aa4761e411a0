"""TRL preference: `prompt`, `chosen`, `rejected`, as texts or as lists of messages.

    {"prompt": "What is 2 + 2?\\n", "chosen": "2 + 2 = 4.", "rejected": "2 + 2 = 5."}
    {"prompt": [{"role": "user", "content": "What is 2 + 2?"}], "chosen": [{"role": "assistant", …}], …}

Without `prompt`, or beside one that is their first message as a text, chosen and rejected are whole conversations that share
their first messages. `score_chosen` and `score_rejected` are taken up where both are there. The format has no steps (`splitter`
cuts the texts), and preferred is not the same as right (`correct`).
"""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from fullstep_data.config import Config, StepsConfig
from fullstep_data.formats.group import Format, Group, Left, Pair, Reader, Record, Solution, Unusable, Writer
from fullstep_data.steps import split


class ReadOptions(Config):
    """Options of the import."""

    splitter: Literal["step-label", "newline", "blank-line"] = Field(default="step-label", description="where a step begins")
    correct: Literal["unknown", "chosen"] = Field(default="unknown", description="is the chosen right, the rejected wrong?")


class WriteOptions(Config):
    """Options of the export."""

    style: Literal["text", "chat"] = Field(default="text", description="the prompt as sampled, or the question as a message")
    scores: bool = Field(default=True, description="columns score_chosen and score_rejected, where every pair has them")


def read(record: Record, options: ReadOptions) -> Iterator[Group]:
    """One record is one problem with two solutions and their pair."""
    question, prompt, chosen, rejected, notes = _parts(record)
    right = (True, False) if options.correct == "chosen" else (None, None)
    cut = StepsConfig(splitter=options.splitter)
    solutions = tuple(_solution(text, cut, correct) for text, correct in zip((chosen, rejected), right, strict=True))
    scores = record.get("score_chosen"), record.get("score_rejected")
    both = all(isinstance(score, int | float) and not isinstance(score, bool) for score in scores)
    pair = Pair(0, 1, *map(float, scores)) if both else Pair(0, 1)  # pyright: ignore[reportArgumentType]: numbers, as `both` says
    yield Group(question, prompt=prompt, solutions=solutions, pairs=(pair,), notes=notes)


def write(group: Group, options: WriteOptions) -> Iterator[Record | Left]:
    """One record per pair."""
    for pair in group.pairs:
        chosen, rejected = group.solutions[pair.chosen], group.solutions[pair.rejected]
        if chosen.prompt != rejected.prompt and options.style == "text":
            yield Left("chosen and rejected have different prompts")
            continue
        record: Record = {"prompt": chosen.prompt or "", "chosen": chosen.text, "rejected": rejected.text}
        if options.style == "chat":
            record = {
                "prompt": [{"role": "user", "content": group.question}],
                "chosen": [{"role": "assistant", "content": chosen.text}],
                "rejected": [{"role": "assistant", "content": rejected.text}],
            }
        if options.scores and pair.chosen_score is not None:
            record |= {"score_chosen": pair.chosen_score, "score_rejected": pair.rejected_score}
        yield record


def _parts(record: Record) -> tuple[str, str | None, str, str, tuple[str, ...]]:
    """question, prompt, chosen, rejected, notes."""
    prompt, chosen, rejected = record.get("prompt"), record.get("chosen"), record.get("rejected")
    if isinstance(prompt, str) and isinstance(chosen, str) and isinstance(rejected, str):
        return prompt.strip(), prompt, _text(chosen, "chosen"), _text(rejected, "rejected"), ()
    if isinstance(chosen, str) and isinstance(rejected, str):
        raise Unusable("chosen and rejected are texts, but prompt is none")
    if not isinstance(chosen, list) or not isinstance(rejected, list):
        raise Unusable("chosen and rejected are neither texts nor lists of messages")
    if isinstance(prompt, str):  # beside answers, or whole conversations that begin with it
        asked = {"role": "user", "content": prompt}
        both = chosen[:1] + rejected[:1]
        prompt = None if len(both) == 2 and all(_message(one) == ("user", prompt) for one in both) else [asked]
    if not isinstance(prompt, list | None):
        raise Unusable("the prompt is neither a text nor a list of messages")
    if prompt is None:
        shared = 0
        while shared < min(len(chosen), len(rejected)) and chosen[shared] == rejected[shared]:
            shared += 1
        prompt, chosen, rejected = chosen[:shared], chosen[shared:], rejected[shared:]
    *system, asked = [_message(message) for message in prompt] or [("", "")]
    if asked[0] != "user" or any(role != "system" for role, _ in system):
        raise Unusable("the prompt is not one user message (after a system message)")
    notes = ("a system message was left out: roles become the prompt of the import",) if system else ()
    return asked[1].strip(), None, _answer(chosen), _answer(rejected), notes


def _message(message: Any) -> tuple[str, str]:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str) or not isinstance(message.get("content"), str):
        raise Unusable("a message has no role or no content")
    return message["role"], message["content"]


def _answer(messages: list[Any]) -> str:
    if len(messages) != 1 or _message(messages[0])[0] != "assistant":
        raise Unusable("chosen or rejected is not one assistant message")
    return _text(messages[0]["content"], "a message")


def _text(text: str, what: str) -> str:
    if not text.strip():
        raise Unusable(f"{what} is blank")
    return text


def _solution(text: str, cut: StepsConfig, correct: bool | None) -> Solution:
    return Solution(tuple(text[start:stop] for start, stop in split(text, cut)), correct=correct)


TRL_PREFERENCE = Format(
    name="trl-preference",
    about="TRL preference: prompt, chosen, rejected",
    looks_like=lambda record: {"chosen", "rejected"} <= set(record) and not {"initial_reason_steps", "prefix"} & set(record),
    reader=Reader(
        read,
        ReadOptions,
        pool=True,
        lost=(
            "the question is the prompt without blanks around it, or the user's message",
            "no gold answers: the format has none",
        ),
    ),
    writer=Writer(write, WriteOptions, needs=("pairs",), lost=("steps, labels, rewards and gold answers have no place",)),
)
