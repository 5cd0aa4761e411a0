"""The YAML at the head of a README: ours is merged into the one that is there, which never loses what somebody else wrote.

    merged("---\\nlicense: mit\\n---\\n# Mine\\n", {"configs": […]}, body)     ->  the new README

A key that is there is replaced only where it describes the files (`configs`, `dataset_info`, by config name; `size_categories`)
or was named for this push (`license`); lists grow; all else stays as it is. In the text, what stands between the two marks is
ours.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import yaml

from schemas import InputError

BEGIN = "<!-- fullstep: begin (made from the data; text outside of the two marks is kept) -->"
END = "<!-- fullstep: end -->"
_BY_CONFIG = ("configs", "dataset_info")
_REPLACED = ("size_categories", "license")
_FENCE = "---\n"


def merged(readme: str | None, ours: Mapping[str, Any], body: str) -> str:
    """The README with our front matter and text in it. InputError: its front matter is no YAML mapping."""
    theirs, text = _split(readme or "")
    known: set[str] = {str(config["config_name"]) for config in ours.get("configs", ())}
    data = {**theirs}
    for key, value in ours.items():
        if key in _BY_CONFIG:
            data[key] = [
                *value,
                *(one for one in _listed(theirs.get(key)) if str(one.get("config_name", "default")) not in known),
            ]
        elif key in _REPLACED or key not in theirs:
            data[key] = value
        elif isinstance(value, list):
            data[key] = list(dict.fromkeys((*_listed(theirs[key]), *value)))
    head = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)
    return f"{_FENCE}{head}{_FENCE}{_placed(text, body)}"


def features(schema: pa.Schema) -> list[dict[str, Any]]:
    """The columns as `dataset_info` names them."""
    return [_feature(field.name, field.type) for field in schema]


def _feature(name: str, kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return {"name": name, "list": _dtype(kind.value_type)}
    return {"name": name, "dtype": _dtype(kind)}


def _dtype(kind: pa.DataType) -> str:
    names = {pa.float32(): "float32", pa.float64(): "float64", pa.large_string(): "large_string"}
    return names.get(kind, str(kind))


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _split(readme: str) -> tuple[dict[str, Any], str]:
    """Front matter and text."""
    readme = readme.removeprefix("\ufeff").replace("\r\n", "\n")
    if not readme.startswith(_FENCE):
        return {}, readme
    head, fence, text = readme.removeprefix(_FENCE).partition(f"\n{_FENCE}")
    try:
        data = yaml.safe_load(head) if fence else None
    except yaml.YAMLError as error:
        raise _broken(str(error).splitlines()[0]) from error
    if not isinstance(data, dict) and (data is not None or not fence):
        raise _broken("it is no mapping, or has no end")
    return data or {}, text


def _broken(detail: str) -> InputError:
    return InputError(
        what="the README on the Hub has a front matter that cannot be read, so ours cannot be merged into it",
        where="README.md",
        examples=[detail],
        next_step="mend or remove the block between the two lines --- on the Hub and run the same command again",
    )


def _placed(text: str, body: str) -> str:
    """The text with ours between the marks: in the place of an earlier one, else at the end."""
    ours = f"{BEGIN}\n\n{body.strip()}\n\n{END}"
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if begin and end:
        return f"{before}{ours}{after}"
    return f"{text.rstrip()}\n\n{ours}\n".lstrip("\n")
