"""All keys of a sweep as a page of the docs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stabsearch.config.allowed import allowed, in_words
from stabsearch.config.schema import Node, all_properties, branches, describe, property_at
from stabsearch.config.write import in_yaml
from stabsearch.errors import KeyPath, dotted
from stabsearch.records.documented import markdown_table

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE_HEAD = """\
# sweep.yaml, every key

Generated from the models by `make docs`; the same text is in `stabsearch schema`.

"""
HEAD = ("key", "holds", "default", "what it is")


def schema_page() -> str:
    """Return docs/sweep.md."""
    return PAGE_HEAD + schema_table()


def schema_table() -> str:
    """Return a Markdown table: each key, what it may hold, its default, what it is for.

    A key that some types of task have says which; one that they have in common stands there once.
    """
    return markdown_table(HEAD, _rows())


def _rows() -> Iterator[tuple[str, ...]]:
    types_of = _types_of_keys()
    for cells in dict.fromkeys(_cells(key, node) for key, node in all_properties()):
        types = types_of.get(cells, ())
        # what only some types have says so; common keys of all tasks on texts need no list
        only = f"({', '.join(types)}) " if 0 < len(types) <= MOST_TYPES_NAMED else ""
        yield *cells[:3], only + cells[3]


MOST_TYPES_NAMED = 3  # chosen: a longer list says less than the text itself


def _types_of_keys() -> dict[tuple[str, ...], tuple[str, ...]]:
    """Return which types of task have a key with this meaning."""
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for kind in branches(property_at(("task",))):
        for name, node in kind["properties"].items():
            cells = _cells(("task", name), node)
            found[cells] = (*found.get(cells, ()), kind["properties"]["type"]["const"])
    return found


def _cells(key: KeyPath, node: Node) -> tuple[str, str, str, str]:
    return f"`{dotted(key)}`", _holds(key, node), _default(key, node), describe(node)


def _holds(key: KeyPath, node: Node) -> str:
    if key == ("task", "type"):
        return allowed(key)
    is_section = all("properties" in branch for branch in branches(node))
    return "the keys below" if is_section else in_words(node)


def _default(key: KeyPath, node: Node) -> str:
    if "default" not in node or key == ("task", "type"):
        return "required"
    is_part = len(key) == 1 and isinstance(node["default"], dict)
    return "" if is_part else f"`{in_yaml(node['default'])}`"
