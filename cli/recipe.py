"""A recipe: the TOML file that says everything a run depends on, read into frozen types.

    recipe = load("tiny", overrides=("prm.epochs=2",))      # a built-in name or a path, then `--set` overrides
    recipe.samples.samples, recipe.policy.beta

The data half is `fullstep_data.config.DataRecipe`, the training half `fullstep_train.config`. Paths inside a recipe are relative
to the current directory. Whatever is wrong with a recipe is an InputError with the key's path, and a near key where one is meant.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError, model_validator

from cli.recipe_keys import all_keys, keys_at, user_path
from fullstep_data.config import DataRecipe, MonteCarloLabels
from fullstep_data.pipeline import Learnt
from fullstep_train.config import PolicyTraining, PRMConfig, PRMTraining, StepDPO
from schemas.errors import InputError

FOLDER = Path(__file__).parent / "recipes"


class Recipe(DataRecipe):
    """The whole of a recipe: what `fs-data build` and `fs-train run` follow."""

    prm: PRMConfig = PRMTraining()
    policy: PolicyTraining = PolicyTraining()

    @model_validator(mode="after")
    def _soft_targets_need_all_rollouts(self) -> "Recipe":
        labels = self.step_labels
        soft = isinstance(self.prm, PRMTraining) and self.prm.target == "value"
        if soft and isinstance(labels, MonteCarloLabels) and labels.policy != "full":
            raise ValueError(
                f'prm.target = "value" needs all rollouts of a step, and step_labels.policy = "{labels.policy}" stops early: '
                'set it to "full" (which saves only what pooling and the solution itself give), or learn "label"'
            )
        return self

    @model_validator(mode="after")
    def _public_formats_are_of_given_prms(self) -> "Recipe":
        kind = self.step_scores.format.kind
        if isinstance(self.prm, PRMTraining) and kind != "ours":
            raise ValueError(
                f'step_scores.format.kind = "{kind}" is how a published PRM is asked, and this recipe trains its own: name one '
                'by prm = { kind = "given", path = "…" }, or leave the format out'
            )
        return self


def learnt(recipe: Recipe) -> Learnt:
    """The table of preferences that the policy of this recipe learns from."""
    return "step_pairs" if isinstance(recipe.policy.objective, StepDPO) else "pairs"


def builtin_recipes() -> dict[str, Path]:
    """The recipes inside the package, by name."""
    return {file.stem: file for file in sorted(FOLDER.glob("*.toml"))}


def recipe_text(name: str) -> str:
    """The TOML text of a built-in recipe or of a file. InputError: no such recipe, not a file, not UTF-8."""
    source = builtin_recipes().get(name) or Path(name)
    try:
        return source.read_bytes().decode()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _unknown_recipe(name) from error
    except OSError as error:
        raise InputError(
            what=f"recipe cannot be read: {error.strerror}", where=name, next_step="name a TOML file or a built-in recipe"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            what=f"recipe is not UTF-8: byte {error.object[error.start]:#04x} at offset {error.start}",
            where=name,
            next_step="save the file as UTF-8",
        ) from error


def load(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """A checked recipe. name: built-in or a path; overrides: `key.path=value`, the value as TOML writes it, else as text."""
    raw = _parse(recipe_text(name), name)
    for override in overrides:
        _override(raw, override)
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise _invalid(error, raw, name) from error


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        named = re.search(r"at line (\d+)", str(error))  # absent where the file ends too early
        lines = text.splitlines()
        line = int(named[1]) if named else len(lines)
        raise InputError(
            what=f"recipe is not TOML: {error}",
            where=f"{name}:{line}",
            examples=lines[line - 1 : line],
            next_step="mend that line; https://toml.io shows the syntax",
        ) from error


def _override(raw: dict[str, Any], override: str) -> None:
    """Put one `--set` into the parsed recipe. Steps of the path name keys, or count into a list from 0."""
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise InputError(
            what=f"--set wants KEY=VALUE, found {override!r}", where="--set", next_step="write it as --set prm.epochs=2"
        )
    place: Any = raw
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(place, list):
            if not key.isdigit() or int(key) >= len(place):
                raise InputError(
                    what=f"{'.'.join(keys[:depth])} is a list of {len(place)}: {key!r} is no place in it",
                    where=f"--set {override}",
                    next_step=f"count from 0 to {len(place) - 1}",
                )
            index: Any = int(key)
        elif isinstance(place, dict):
            index = key
        else:
            raise InputError(
                what=f"{'.'.join(keys[:depth])} is a value, it holds no key {key!r}",
                where=f"--set {override}",
                next_step=f"set {'.'.join(keys[:depth])} itself",
            )
        if last:
            place[index] = _value(text.strip())
        else:
            place = place.setdefault(index, {}) if isinstance(place, dict) else place[index]


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _unknown_recipe(name: str) -> InputError:
    builtin = list(builtin_recipes())
    near = difflib.get_close_matches(name, builtin, n=1)
    return InputError(
        what=f"no recipe {name!r}: it is neither a built-in recipe nor a file{f'; did you mean {near[0]}?' if near else ''}",
        where=name,
        next_step=f"built-in recipes: {', '.join(builtin)}; `fs-data recipe --show tiny > my.toml` writes a file to start from",
    )


def _invalid(error: ValidationError, raw: Mapping[str, Any], name: str) -> InputError:
    messages = list(_messages(error, raw))
    first, *others = messages
    return InputError(
        what=f"recipe {name}: {first}" if not others else f"recipe {name}: {len(messages)} keys are wrong",
        where=name,
        count=len(messages),
        examples=messages if others else (),
        next_step="mend the recipe or the --set; `fs-data recipe --show tiny` prints one in which every key is explained",
    )


def _messages(error: ValidationError, raw: Mapping[str, Any]) -> Iterator[str]:
    schema = Recipe.model_json_schema()
    for fault in error.errors():
        location = fault["loc"]
        path = user_path(location, raw)
        match fault["type"]:
            case "extra_forbidden":
                yield f"{path}: there is no such key{_did_you_mean(location, path, schema)}"
            case "missing":
                yield f"{path}: this key is missing"
            case "union_tag_not_found":
                kinds = fault.get("ctx", {}).get("discriminator", "'kind'")
                yield f"{path}: the key {kinds} is missing (one of {', '.join(keys_at(schema, location, tags=True))})"
            case "union_tag_invalid":
                kinds = keys_at(schema, location, tags=True)
                tag = str(fault.get("ctx", {}).get("tag"))
                near = difflib.get_close_matches(tag, kinds, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                yield f"{path}.kind: there is no kind {tag!r} (one of {', '.join(kinds)}){hint}"
            case "model_type" | "model_attributes_type":
                keys = ", ".join(keys_at(schema, location) or ["kind"])  # of a section with kinds, `kind` decides the others
                yield f"{path}: this is a section with keys of its own ({keys}), found {fault['input']!r}"
            case "value_error":
                text = fault["msg"].removeprefix("Value error, ")
                yield f"{path}: {text}" if path else text
            case _:
                yield f"{path}: {_lower(fault['msg'])}, found {fault['input']!r}"


def _did_you_mean(location: tuple[int | str, ...], path: str, schema: Mapping[str, Any]) -> str:
    wrong = str(location[-1])
    known = keys_at(schema, location[:-1])
    near = difflib.get_close_matches(wrong, known, n=1)
    if near:
        prefix = path.rpartition(".")[0]
        return f"; did you mean {f'{prefix}.{near[0]}' if prefix else near[0]}?"
    elsewhere = [key for key in all_keys(schema) if key.rpartition(".")[2] == wrong][:3]
    if path in elsewhere:
        return f" where the kind of {path.rpartition('.')[0]} is this one; known here: {', '.join(known)}"
    if elsewhere:
        return f"; did you mean {' or '.join(elsewhere)}?"
    return f"; known here: {', '.join(known)}" if known else ""


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
