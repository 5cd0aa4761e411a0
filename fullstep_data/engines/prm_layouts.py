r"""How a published PRM wants a solution: its token ids, and at which of them each step is judged. Pure, given a tokenizer.

    read = reader(QwenFormat(), tokenizer, longest=4096)
    read(request)           # Layout(ids, places), or why the solution cannot be scored

| format | what the model reads (question q, steps s_1 … s_K) | judged at |
|---|---|---|
| math-shepherd | `q s_1 ки\ns_2 ки\n…`, with the tokenizer's own start | each tag: what it would write next |
| rlhflow | a chat: user `q s_1`, assistant `+`, user `s_2`, assistant `+` … | the token before each answer: what it would write |
| skywork | start token, `q\n`, then each step by itself and a line end | each of these line ends |
| qwen | a chat: system, user `q`, assistant `s_1<extra_0>s_2<extra_0>…` | each tag |

From the model cards of peiyi9979/math-shepherd-mistral-7b-prm, RLHFlow/Llama3.1-8B-PRM-Deepseek-Data (whose code asks step by
step, and reads the third token from the end: the one before the answer), Skywork/Skywork-o1-Open-PRM-Qwen-2.5-1.5B with its
repository skywork-o1-prm-inference, and Qwen/Qwen2.5-Math-PRM-7B. Tags are looked up in the tokenizer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fullstep_data.config import MathShepherdFormat, PublicFormat, QwenFormat, RLHFlowFormat, SkyworkFormat
from fullstep_data.engines.protocol import ScoreRequest
from schemas import InputError

HOLDS_TAG = "the text holds the tag of the PRM's format"
TOO_LONG = "longer than the PRM's context"


@dataclass(frozen=True)
class Layout:
    """ids: [L] what the PRM reads. places: [K] index of the token at which each step is judged."""

    ids: Sequence[int]
    places: Sequence[int]


Read = Callable[[ScoreRequest], Layout | str]


def reader(form: PublicFormat, tokenizer: Any, longest: int | None) -> Read:
    """How a format lays a solution out. longest: the PRM's context in tokens. InputError: the tokenizer lacks its tags."""
    lay_out = _layout_of(form, tokenizer)

    def read(request: ScoreRequest) -> Layout | str:
        made = lay_out(request)
        return TOO_LONG if isinstance(made, Layout) and longest is not None and len(made.ids) > longest else made

    return read


def token_of(tokenizer: Any, text: str, form: PublicFormat) -> int:
    """The id of the one token that a text is (blanks that the tokenizer puts before it aside). InputError: it is none."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    shown = tokenizer.decode(ids[-1:], clean_up_tokenization_spaces=False) if ids else ""
    if shown != text and shown.strip() != (text.strip() or text):
        raise InputError(
            f"the PRM's tokenizer has no token {text!r}, which the format {form.kind} judges steps by",
            where=str(tokenizer.name_or_path),
            examples=[f"it writes {text!r} as {tokenizer.convert_ids_to_tokens(ids)}"],
            next_step="take the PRM that the format is for, or name its own tags in step_scores.format",
        )
    return ids[-1]


def verdict_tokens(form: MathShepherdFormat | RLHFlowFormat, tokenizer: Any) -> tuple[int, int]:
    """The tokens that say of a step that it is good, and bad."""
    return token_of(tokenizer, form.good, form), token_of(tokenizer, form.bad, form)


def _layout_of(form: PublicFormat, tokenizer: Any) -> Read:
    match form:
        case MathShepherdFormat():
            tag = token_of(tokenizer, form.tag, form)
            return lambda request: _tagged(tokenizer(_shepherd(form, request))["input_ids"], tag, request)
        case QwenFormat():
            tag = token_of(tokenizer, form.tag, form)
            return lambda request: _tagged(_plain(tokenizer, _qwen(form, tokenizer, request)), tag, request)
        case RLHFlowFormat():
            return lambda request: _answered(form, tokenizer, request)
        case SkyworkFormat():
            line_end = token_of(tokenizer, form.separator, form)
            return lambda request: _separated(form, tokenizer, line_end, request)


def _plain(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def _tagged(ids: Sequence[int], tag: int, request: ScoreRequest) -> Layout | str:
    """Judged at every tag, of which there must be one to a step."""
    places = [place for place, token in enumerate(ids) if token == tag]
    return Layout(ids, places) if len(places) == len(request.stops) else HOLDS_TAG


def _shepherd(form: MathShepherdFormat, request: ScoreRequest) -> str:
    return f"{request.question} " + "\n".join(f"{step} {form.tag}" for step in request.steps)


def _qwen(form: QwenFormat, tokenizer: Any, request: ScoreRequest) -> str:
    answer = "".join(f"{step}{form.tag}" for step in request.steps)
    messages = [("system", form.system), ("user", request.question), ("assistant", answer)]
    return _chat(tokenizer, messages, form, open_answer=False)


def _answered(form: RLHFlowFormat, tokenizer: Any, request: ScoreRequest) -> Layout:
    """Judged at the token before each answer of the chat, in one pass over all of it: later turns change nothing before them."""
    turns: list[tuple[str, str]] = []
    starts: list[int] = []  # of the answers, in characters
    for number, step in enumerate(request.steps):
        turns.append(("user", step if number else f"{request.question} {step}"))
        starts.append(len(_chat(tokenizer, turns, form, open_answer=True)))
        turns.append(("assistant", form.good))
    text = _chat(tokenizer, turns, form, open_answer=False)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    token_at = {start: place for place, (start, end) in enumerate(encoded["offset_mapping"]) if end > start}
    places = [token_at.get(start) for start in starts]
    good = token_of(tokenizer, form.good, form)
    if any(place is None or encoded["input_ids"][place] != good for place in places):
        raise InputError(
            "the PRM's chat template does not write its answers as turns of their own, after an open turn",
            where=str(tokenizer.name_or_path),
            examples=[text[:200]],
            next_step="take the tokenizer that came with the PRM",
        )
    return Layout(encoded["input_ids"], [place - 1 for place in places if place is not None])


def _separated(form: SkyworkFormat, tokenizer: Any, line_end: int, request: ScoreRequest) -> Layout:
    """Steps are made tokens one by one, so that a line end never merges with what stands before it."""
    ids = _plain(tokenizer, f"{tokenizer.bos_token or ''}{request.question}{form.separator}")
    places: list[int] = []
    for step in request.steps:
        ids += [*_plain(tokenizer, step), line_end]
        places.append(len(ids) - 1)
    return Layout(ids, places)


def _chat(tokenizer: Any, turns: Sequence[tuple[str, str]], form: PublicFormat, open_answer: bool) -> str:
    if not tokenizer.chat_template:
        raise InputError(
            f"the PRM's tokenizer has no chat template, which the format {form.kind} needs",
            where=str(tokenizer.name_or_path),
            next_step="take the tokenizer that came with the PRM",
        )
    messages = [{"role": role, "content": content} for role, content in turns]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=open_answer)
