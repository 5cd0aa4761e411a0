"""ONE tokenisation of prompt + solution, and which step each of its tokens belongs to.

    tokenised = tokenise(tokenizer, prompt, text, stops, finished=True, max_length=2048)
    tokenised.ids                  # [L] prompt and solution
    tokenised.step_of_token        # [T] step of each solution token, T = L - prompt_tokens

PRM training, PRM scoring, the reference and the policy all get their ids here. Prompts carry their special tokens as
text, so none are added. A token belongs to the step in which its first solution character lies; a token that straddles
prompt and solution is a solution token; several tokens over one character (byte fallback) go together; a token that
covers no character takes the place of the characters that the tokenizer left out before it. The end token is appended
only after a finished solution, never twice, and belongs to the last step.

A solution is refused, with a reason, where it is too long (it is never cut), where a step gets no token of its own (a
merge swallowed it), and where nothing stands before its first token (there is nothing to predict it from).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas import InputError

TOO_LONG = "longer than max_length"
NO_TOKEN = "a step has no token of its own"
NO_PROMPT = "no prompt token before the solution"


@dataclass(frozen=True)
class Tokenised:
    """ids: [L] prompt and solution. prompt_tokens: L - T.

    step_of_token: [T], ascending from 0 to K - 1 without gaps.
    """

    ids: tuple[int, ...]
    prompt_tokens: int
    step_of_token: np.ndarray

    def last_token_of_step(self) -> np.ndarray:
        """[K] index of each step's last token among the T solution tokens."""
        return np.flatnonzero(np.diff(self.step_of_token, append=self.step_of_token[-1] + 1))


def tokenise(tokenizer: Any, prompt: str, text: str, stops: Sequence[int], *, finished: bool, max_length: int) -> Tokenised | str:
    """Prompt + text as one string of tokens, or the reason why this solution cannot be used.

    stops: [K] one past the last character of each step, within text, ascending; the last is len(text). InputError:
    spans that do not cover the text.
    """
    stops_k = np.asarray(stops, dtype=np.int64)
    if not len(stops_k) or stops_k[-1] != len(text) or np.any(np.diff(stops_k, prepend=0) <= 0):
        raise InputError(
            what="the steps of a solution do not cover its text",
            where="steps",
            examples=[f"text of {len(text)} characters, steps end at {list(stops)}: {text[:60]!r}"],
            next_step="rebuild the table steps for these solutions",
        )
    encoded = tokenizer(prompt + text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ids: list[int] = list(encoded["input_ids"])
    starts, ends = character_spans(encoded["offset_mapping"])
    inside = np.flatnonzero(ends > len(prompt))
    prompt_tokens = int(inside[0]) if len(inside) else len(ids)
    first_characters = np.maximum(starts[prompt_tokens:], len(prompt)) - len(prompt)
    step_of_token = np.searchsorted(stops_k, first_characters, side="right")
    if len(np.unique(step_of_token)) < len(stops_k):
        return NO_TOKEN
    if finished and ids[-1] != tokenizer.eos_token_id:
        ids.append(tokenizer.eos_token_id)
        step_of_token = np.append(step_of_token, len(stops_k) - 1)
    if len(ids) > max_length:
        return TOO_LONG
    if not prompt_tokens:
        return NO_PROMPT
    return Tokenised(tuple(ids), prompt_tokens, step_of_token.astype(np.int64))


def character_spans(offsets: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """First and one past the last character of each token, [L] and [L], both ascending.

    Some tokenizers trim blanks off their offsets, so that a token of blanks alone spans nothing: it gets back the gap
    before it.
    """
    spans = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
    starts, ends = spans[:, 0].copy(), np.maximum.accumulate(spans[:, 1]) if len(spans) else spans[:, 1]
    previous_ends = np.concatenate([[0], ends[:-1]])[: len(ends)]
    empty = spans[:, 0] >= spans[:, 1]
    starts[empty] = np.minimum(starts[empty], previous_ends[empty])
    return (np.maximum.accumulate(starts) if len(starts) else starts), ends
