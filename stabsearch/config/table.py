"""All keys of a sweep as a Markdown table, for the README and the docs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stabsearch.config.allowed import allowed, in_words
from stabsearch.config.schema import Node, all_properties, branches, describe
from stabsearch.config.write import in_yaml
from stabsearch.errors import KeyPath, dotted

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = ("| key | holds | default | what it is |", "| --- | --- | --- | --- |")


def schema_table() -> str:
    """Return a Markdown table: each key, what it may hold, its default, what it is for."""
    return "\n".join([*HEAD, *dict.fromkeys(_rows())]) + "\n"


def _rows() -> Iterator[str]:
    for key, node in all_properties():
        cells = (f"`{dotted(key)}`", _holds(key, node), _default(key, node), describe(node))
        yield f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


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
