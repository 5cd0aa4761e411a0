"""The keys a recipe may have, read off its JSON schema, so that an error can name the place and a near key.

    keys_at(Recipe.model_json_schema(), ("prm", "train"))   ->  ["kind", "base", "epochs", …]

A location is pydantic's: the keys of the recipe, with the `kind` of a tagged section as one more step after the section.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]
Location = Sequence[int | str]


def user_path(location: Location, raw: Any) -> str:
    """The location as the user wrote it: pydantic's extra steps for `kind` left out."""
    path: list[str] = []
    place = raw
    for step in location:
        if isinstance(place, dict) and place.get("kind") == step and step not in place:
            continue
        path.append(str(step))
        if isinstance(place, dict):
            place = place.get(step)
        elif isinstance(place, list | tuple) and isinstance(step, int) and step < len(place):
            place = place[step]
        else:
            place = None
    return ".".join(path)


def keys_at(schema: Schema, location: Location, *, tags: bool = False) -> list[str]:
    """Names of the keys under a location; with tags, the kinds that a tagged section may have."""
    node = _resolve(schema, schema)
    for step in location:
        node = _child(schema, node, step)
    if tags:
        return [kind for one in _alternatives(schema, node) for kind in one.get("discriminator", {}).get("mapping", {})]
    return list(node.get("properties", {}))


def all_keys(schema: Schema) -> Iterator[str]:
    """Every key path of the recipe once, whichever kind of its section it belongs to."""
    yield from dict.fromkeys(_paths(schema, _resolve(schema, schema), ""))


def _paths(schema: Schema, node: Schema, prefix: str) -> Iterator[str]:
    for name, child in node.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield path
        for alternative in _alternatives(schema, child):
            yield from _paths(schema, _resolve(schema, alternative.get("items", alternative)), f"{path}.")


def _child(schema: Schema, node: Schema, step: int | str) -> Schema:
    for alternative in _alternatives(schema, node):
        mapping = alternative.get("discriminator", {}).get("mapping", {})
        if step in mapping:
            return _resolve(schema, {"$ref": mapping[step]})
        if step in alternative.get("properties", {}):
            return _resolve(schema, alternative["properties"][step])
        if isinstance(step, int) and "items" in alternative:
            return _resolve(schema, alternative["items"])
    return {}


def _alternatives(schema: Schema, node: Schema) -> Iterator[Schema]:
    """The node itself and what it may be instead (oneOf, anyOf)."""
    resolved = _resolve(schema, node)
    yield resolved
    for option in (*resolved.get("oneOf", ()), *resolved.get("anyOf", ())):
        yield _resolve(schema, option)


def _resolve(schema: Schema, node: Schema) -> Schema:
    reference = node.get("$ref")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else node
