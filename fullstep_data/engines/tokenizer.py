"""A model's tokenizer as engines use it: prompts to ids, sampled ids to a completion, the chat template.

    tokenizer = load_tokenizer("path/to/model")                # or a Hub id; weights are not needed
    tokenizer.render("", "What is 4 + 3?", "auto")             # the prompt text, special tokens included
    tokenizer.completion(request, ids, reason="length", prompt_tokens=12)

transformers is imported when a tokenizer is loaded.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fullstep_data.engines.continuation import decoded
from fullstep_data.engines.model_files import ModelPlace, find_model
from fullstep_data.engines.protocol import Completion, FinishReason, Request
from fullstep_data.prompts import Chat, plain_prompt
from schemas import InputError


@dataclass(frozen=True)
class ModelTokenizer:
    """tokenizer: one of transformers. end_ids: every token that ends a text for this model; chat models name several."""

    tokenizer: Any
    end_ids: frozenset[int]

    def render(self, system: str, user: str, chat: Chat) -> str:
        """The prompt text, special tokens included. Raises InputError where chat="always" meets a tokenizer without template."""
        from jinja2 import TemplateError

        template = self.tokenizer.chat_template
        if chat == "always" and not template:
            raise InputError(
                'the prompt asks for a chat template (chat = "always") and the tokenizer has none',
                where=self.tokenizer.name_or_path,
                next_step='set chat = "auto" or "never", or take the instruction-tuned version of the model',
            )
        if chat == "never" or not template:
            return self._text_start() + plain_prompt(system, user)
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": user})
        try:
            return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except TemplateError as error:
            raise InputError(
                f"the tokenizer's chat template refuses the prompt: {error}",
                where=self.tokenizer.name_or_path,
                next_step='leave `system` of the prompt template empty, or set chat = "never"',
            ) from error

    def encode(self, text: str) -> list[int]:
        """The ids of a rendered prompt: it carries its special tokens as text, so none are added."""
        return self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def completion(self, request: Request, ids: Sequence[int], reason: FinishReason, prompt_tokens: int) -> Completion:
        """What came of sampled ids: a last end token is dropped, text and ids are cut at the first stop string.

        reason: how the engine says that the text ended; a stop string in it decides.
        """
        tokens = list(ids)
        if tokens and tokens[-1] in self.end_ids:
            tokens, reason = tokens[:-1], "eos"
        text, end = decoded(self.decode, request, tokens)
        beyond: list[int] = []
        if end is not None:
            text, reason = text[:end], "stop"
            while tokens and decoded(self.decode, request, tokens[:-1])[0].startswith(text):
                beyond.insert(0, tokens[-1])
                tokens = tokens[:-1]
        return Completion(text, tuple(tokens), reason, prompt_tokens, tuple(beyond))

    def _text_start(self) -> str:
        """The token that this tokenizer puts before a plain text: prompts carry it as text, since engines add none."""
        first = self.tokenizer("a")["input_ids"][0]
        bos = self.tokenizer.bos_token_id
        return self.tokenizer.bos_token if bos is not None and first == bos else ""


def load_tokenizer(model: str | Path) -> ModelTokenizer:
    """The tokenizer of a folder or a Hub id. Raises InputError where there is none."""
    from transformers import AutoTokenizer

    place = find_model(model, weights=False)
    with quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(place.path, revision=place.revision or "main")
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"tokenizer cannot be loaded: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
                where=place.path,
                next_step="give a folder that holds a tokenizer (written by save_pretrained), or a Hub id",
            ) from error
        return ModelTokenizer(tokenizer, end_ids(tokenizer, _named_end(place)))


def end_ids(tokenizer: Any, named: int | list[int] | None) -> frozenset[int]:
    """The end tokens of a model. named: what its generation config calls eos_token_id."""
    listed = named if isinstance(named, list) else [named]
    return frozenset(token for token in (*listed, tokenizer.eos_token_id) if token is not None)


def _named_end(place: ModelPlace) -> int | list[int] | None:
    """eos_token_id of the generation config, or of the model's config where there is no other; None where there is neither."""
    from transformers import AutoConfig, GenerationConfig

    revision = place.revision or "main"
    try:
        return GenerationConfig.from_pretrained(place.path, revision=revision).eos_token_id
    except OSError:
        pass
    try:
        return getattr(AutoConfig.from_pretrained(place.path, revision=revision), "eos_token_id", None)
    except (OSError, ValueError):  # a tokenizer alone, without any model's config
        return None


@contextmanager
def quiet() -> Iterator[None]:
    """transformers without progress bars and warnings: the CLI shows its own progress, and tests take a warning for an error."""
    from transformers.utils import logging as transformers_logging

    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
