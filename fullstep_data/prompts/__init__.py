"""Prompt templates: TOML files in this folder, or the user's own by path.

    template = load_template("steps-few-shot")                    # or "my/prompt.toml"
    prompt = render_prompt(template, question, generator)         # the whole text that the model reads

A template file has these keys; `{question}` in `user` is replaced, all other braces (\\boxed{…}) stand for themselves:

    doc    = "one line on what it is for"
    chat   = "auto" | "always" | "never"   # use the chat template of the model's tokenizer?
    system = "…"                           # may be empty
    user   = "… {question} …"
    stop   = ["…"]                         # strings that end a solution
"""

import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from fullstep_data.engines.protocol import Generator
from schemas import InputError
from schemas.ids import content_id

FOLDER = Path(__file__).parent
QUESTION = "{question}"
Chat = Literal["auto", "always", "never"]


class _TemplateFile(BaseModel):
    """What a template file may hold."""

    model_config = ConfigDict(extra="forbid")

    doc: str = ""
    chat: Chat = "auto"
    system: str = ""
    user: str
    stop: tuple[Annotated[str, StringConstraints(min_length=1)], ...] = ()


@dataclass(frozen=True)
class Template:
    """A prompt with a hole for the question. stop: strings that end a solution. chat: use the tokenizer's chat template?"""

    system: str
    user: str
    stop: tuple[str, ...]
    chat: Chat
    doc: str = ""

    def fill(self, question: str) -> str:
        """The user's part with the question in it."""
        return self.user.replace(QUESTION, question)

    def key(self, chat: Chat | None = None) -> str:
        """Hash of everything that decides the prompt and where it stops; `chat` overrides the template's own choice."""
        return content_id(self.system, self.user, self.stop, chat or self.chat)


def template_names() -> list[str]:
    """The templates that come with fullstep."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_template(name_or_path: str) -> Template:
    """The template of that name, or the file at that path (a text that ends in .toml or has a slash is a path).

    Raises InputError for an unknown name, a file that cannot be read, unknown keys, and a `user` without {question}.
    """
    path = _find(name_or_path)
    try:
        read = _TemplateFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        next_step = f"mend the file; templates to start from stand in {FOLDER}"
        raise InputError(f"prompt template cannot be read: {error}", where=str(path), next_step=next_step) from error
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise InputError(
            "prompt template has keys that are missing, unknown or of the wrong type",
            where=str(path),
            count=len(problems),
            examples=problems,
            next_step=f"use only {', '.join(_TemplateFile.model_fields)}",
        ) from error
    if QUESTION not in read.user:
        raise InputError(
            f"prompt template has no {QUESTION} in `user`: the model would never see the question",
            where=str(path),
            next_step=f"write {QUESTION} where the question belongs",
        )
    return Template(read.system, read.user, read.stop, read.chat, read.doc)


def render_prompt(template: Template, question: str, generator: Generator, chat: Chat | None = None) -> str:
    """The whole prompt as `generator`'s model wants it, special tokens included; `chat` overrides the template's choice."""
    return generator.render(template.system, template.fill(question), chat or template.chat)


def plain_prompt(system: str, user: str) -> str:
    """A prompt without chat template: system text, blank line, user text."""
    return f"{system}\n\n{user}" if system else user


def _find(name_or_path: str) -> Path:
    if name_or_path.endswith(".toml") or "/" in name_or_path:
        path = Path(name_or_path).expanduser()
        if not path.is_file():
            raise InputError("prompt template file does not exist", where=str(path), next_step=_known("give"))
        return path
    if name_or_path not in template_names():
        near = difflib.get_close_matches(name_or_path, template_names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(f"unknown prompt template {name_or_path!r}{hint}", next_step=_known("use"))
    return FOLDER / f"{name_or_path}.toml"


def _known(verb: str) -> str:
    return f"{verb} one of {', '.join(template_names())}, or a path to a TOML file"
