"""Prompt templates: TOML files in this folder, or the user's own by path.

    template = load_template("steps-few-shot")                    # or "my/prompt.toml"
    prompt = render_prompt(template, question, generator)         # the whole text that the model reads

A template file has these keys; `{question}` in `user` is replaced, all other braces (\\boxed{…}) stand for themselves:

    doc    = "one line on what it is for"
    chat   = "auto" | "always" | "never"   # use the chat template of the model's tokenizer?
    system = "…"                           # may be empty
    user   = "… {question} …"
    stop   = ["…"]                         # strings that end a solution

A judge's template asks about the last step of `{steps}` too, and names the words that answer it (`load_judge_template`):

    user   = "… {question} … {steps} …"
    yes    = ["yes"]                       # in any case, blanks around them left out
    no     = ["no"]
"""

import difflib
import re
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
STEPS = "{steps}"
Chat = Literal["auto", "always", "never"]
Word = Annotated[str, StringConstraints(min_length=1)]


class _TemplateFile(BaseModel):
    """What a template file may hold."""

    model_config = ConfigDict(extra="forbid")

    doc: str = ""
    chat: Chat = "auto"
    system: str = ""
    user: str
    stop: tuple[Word, ...] = ()
    yes: tuple[Word, ...] = ()
    no: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Template:
    """A prompt with a hole for the question. stop: strings that end a solution. chat: use the tokenizer's chat template?

    yes, no: of a judge's template, the words that say that a step is right, or wrong.
    """

    system: str
    user: str
    stop: tuple[str, ...]
    chat: Chat
    doc: str = ""
    yes: tuple[str, ...] = ()
    no: tuple[str, ...] = ()

    def fill(self, question: str, steps: str = "") -> str:
        """The user's part with the question in it, and for a judge the steps."""
        if not self.yes:
            return self.user.replace(QUESTION, question)
        holes = {QUESTION: question, STEPS: steps}
        return re.sub(r"\{question\}|\{steps\}", lambda found: holes[found[0]], self.user)

    def key(self, chat: Chat | None = None) -> str:
        """Hash of everything that decides the prompt and where it stops; `chat` overrides the template's own choice."""
        words = (self.yes, self.no) if self.yes else ()
        return content_id(self.system, self.user, self.stop, chat or self.chat, *words)


def template_names(judges: bool = False) -> list[str]:
    """The templates that come with fullstep: those that ask for a solution, or those of judges."""
    return sorted(path.stem for path in FOLDER.glob("*.toml") if path.stem.startswith("judge-") == judges)


def load_template(name_or_path: str) -> Template:
    """The template of that name, or the file at that path (a text that ends in .toml or has a slash is a path).

    Raises InputError for an unknown name, a file that cannot be read, unknown keys, a `user` without {question}, and the
    template of a judge.
    """
    template = _loaded(name_or_path)
    if template.yes or template.no or STEPS in template.user:
        raise InputError(
            f"prompt template {name_or_path} is a judge's: it asks about steps, not for a solution",
            next_step='take another, such as "steps-few-shot"; a judge\'s stands in the section of a judge',
        )
    return template


def load_judge_template(name_or_path: str) -> Template:
    """The template of a judge. Raises InputError as `load_template`; and for a `user` without {steps}, no words for yes or no."""
    template = _loaded(name_or_path)
    if STEPS not in template.user or not template.yes or not template.no:
        raise InputError(
            f"prompt template {name_or_path} is not a judge's: it wants {STEPS} in `user`, and the keys `yes` and `no`",
            next_step=f"start from {FOLDER / 'judge-yes-no.toml'}",
        )
    return template


def _loaded(name_or_path: str) -> Template:
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
    return Template(read.system, read.user, read.stop, read.chat, read.doc, read.yes, read.no)


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
    known = [*template_names(), *template_names(judges=True)]
    if name_or_path not in known:
        near = difflib.get_close_matches(name_or_path, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(f"unknown prompt template {name_or_path!r}{hint}", next_step=_known("use"))
    return FOLDER / f"{name_or_path}.toml"


def _known(verb: str) -> str:
    return f"{verb} one of {', '.join([*template_names(), *template_names(judges=True)])}, or a path to a TOML file"
