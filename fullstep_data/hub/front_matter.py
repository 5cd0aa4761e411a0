"""The YAML at the head of a README: ours is merged into the one that is there, which never loses what somebody else wrote.

    merged("---\\nlicense: mit\\n---\\n# Mine\\n", {"configs": […]}, body)     ->  the new README

A key that is there is replaced only where it describes the files (`configs`, `dataset_info`, by config name; `size_categories`)
or was named for this push (`license`); lists grow; all else stays as it is. Configs of ours that the version no longer has go
with their files. In the text, what stands between the two marks is ours.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import yaml

from schemas import InputError

BEGIN = "<!-- fullstep: begin (made from the data; text outside of the two marks is kept) -->"
END = "<!-- fullstep: end -->"
OUR_FOLDERS = ("parts/", "views/")
_BY_CONFIG = ("configs", "dataset_info")
_REPLACED = ("size_categories", "license")
_FENCE = "---\n"


def merged(readme: str | None, ours: Mapping[str, Any], body: str) -> str:
    """The README with our front matter and text in it. InputError: its front matter is no YAML mapping."""
    theirs, text = _split(readme or "")
    known = {_name(config) for config in ours.get("configs", ())}
    there = {_name(config): config for config in _listed(theirs.get("configs"))}
    gone = {name for name, config in there.items() if _is_ours(config)}
    data = {**theirs}
    for key, value in ours.items():
        if key in _BY_CONFIG:
            kept = [one for one in _listed(theirs.get(key)) if _name(one) not in known | gone]
            chosen = any(one.get("default") for one in kept)  # by them, and there may be only one
            data[key] = [*({name: said for name, said in one.items() if name != "default" or not chosen} for one in value), *kept]
        elif key in _REPLACED or key not in theirs:
            data[key] = value
        elif isinstance(value, list):
            data[key] = [*_listed(theirs[key]), *(one for one in value if one not in _listed(theirs[key]))]
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


def _name(config: Any) -> str:
    """InputError: it is no config."""
    if not isinstance(config, dict):
        raise _broken(f"configs and dataset_info are lists of mappings, but one holds {str(config)[:80]!r}")
    return str(config.get("config_name", "default"))


def _is_ours(config: Mapping[str, Any]) -> bool:
    """Does it name files where only ours are? (`dataset_bundle` deletes the stale ones.)"""
    files = [one.get("path") if isinstance(one, dict) else one for one in _listed(config.get("data_files"))]
    paths = [path for one in files for path in _listed(one)]
    return bool(paths) and all(str(path).startswith(OUR_FOLDERS) for path in paths)


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
