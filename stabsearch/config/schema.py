"""The JSON schema of ``sweep.yaml``, and what it says about one key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema

from stabsearch.config.model import Sweep

if TYPE_CHECKING:
    from stabsearch.errors import KeyPath

Node = Mapping[str, Any]
"""A part of the JSON schema."""


def sweep_schema() -> dict[str, Any]:
    """Return the JSON schema of ``sweep.yaml``, for editors: every key with its description."""
    schema = Sweep.model_json_schema(schema_generator=_Untitled)
    dialect = {"$schema": GenerateJsonSchema.schema_dialect, "title": "stabsearch sweep"}
    tidy = _with_plain_descriptions(schema)
    return {**dialect, **{key: value for key, value in tidy.items() if key not in dialect}}


def plain(text: str) -> str:
    """Return a docstring on one line, with Markdown's single backticks."""
    return re.sub(r"\s+", " ", text).replace("``", "`").strip()


def property_at(key: KeyPath, data: Any = None) -> Node:
    """Return what the schema says about a key, ``{}`` for a key it does not know.

    Args:
        key: where to look.
        data: the sweep's data, which decides between the kinds of a task.
    """
    node: Node = _schema()
    for part in key:
        node = _child(node, part, data)
        data = _step(data, part)
    return node


def branches(node: Node, data: Any = None) -> list[Node]:
    """Return the alternatives of a part of the schema, those of another task type left out."""
    if "$ref" in node:
        return branches(_schema()["$defs"][node["$ref"].rpartition("/")[2]], data)
    options = node.get("anyOf") or node.get("oneOf")
    if options is None:
        return [node]
    leaves = [leaf for option in options for leaf in branches(option, data)]
    return [leaf for leaf in leaves if _may_be(leaf, data)] or leaves


def describe(node: Node) -> str:
    """Return what a part of the schema is for: the text under its field, else its type's."""
    text = node.get("description") or next((kind.get("description") for kind in branches(node)), None)
    return text or ""


def known_keys(key: KeyPath, data: Any = None) -> tuple[str, ...]:
    """Return the keys that may stand beneath a key, in the schema's order."""
    at_key = data
    for part in key:
        at_key = _step(at_key, part)
    kinds = branches(property_at(key, data), at_key)
    return tuple(dict.fromkeys(name for kind in kinds for name in kind.get("properties", ())))


def places_of(name: str) -> tuple[KeyPath, ...]:
    """Return every key of the schema with this last part, outermost first."""
    found = {key for key, _ in all_properties() if key[-1] == name}
    return tuple(sorted(found, key=lambda key: (len(key), tuple(map(str, key)))))


def all_properties() -> Iterator[tuple[KeyPath, Node]]:
    """Yield every key of a sweep with what the schema says about it, parents first.

    A key that several task types have comes once per task type.
    """
    yield from _beneath((), _schema())


def _beneath(key: KeyPath, node: Node) -> Iterator[tuple[KeyPath, Node]]:
    for branch in branches(node):
        for name, child in branch.get("properties", {}).items():
            yield (*key, name), child
            yield from _beneath((*key, name), child)


@cache
def _schema() -> dict[str, Any]:
    return sweep_schema()


def _child(node: Node, part: str | int, data: Any) -> Node:
    for branch in branches(node, data):
        if isinstance(part, int) and "items" in branch:
            return dict(branch["items"])
        if part in branch.get("properties", {}):
            return dict(branch["properties"][part])
    return {}


def _step(data: Any, part: str | int) -> Any:
    if isinstance(data, Mapping):
        return data.get(part)
    if isinstance(data, list) and isinstance(part, int) and part < len(data):
        return data[part]
    return None


def _may_be(branch: Node, data: Any) -> bool:
    """False when a fixed value of the branch, such as the task's type, differs from the data's."""
    if not isinstance(data, Mapping):
        return True
    fixed = {name: node["const"] for name, node in branch.get("properties", {}).items() if "const" in node}
    return all(data.get(name) == value for name, value in fixed.items())


class _Untitled(GenerateJsonSchema):
    """Without a title per field: editors would show ``Cpus Per Trial`` beside ``cpus_per_trial``."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _with_plain_descriptions(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: plain(value)
            if key == "description" and isinstance(value, str)
            else _with_plain_descriptions(value)
            for key, value in node.items()
        }
    return [_with_plain_descriptions(item) for item in node] if isinstance(node, list) else node
