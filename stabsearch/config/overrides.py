"""``--set a.b=c``: values given on the command line instead of the file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stabsearch.config.address import without_password
from stabsearch.config.document import NotYamlError, parse
from stabsearch.errors import KeyPath, UserError, dotted

if TYPE_CHECKING:
    from collections.abc import Sequence

EXAMPLE = "write --set KEY=VALUE, for example --set budget.trials=10 or --set 'search.precision=[fp32]'"
_NAME = r"[A-Za-z_][\w-]*"
_KEY = re.compile(rf"{_NAME}(?:\.{_NAME}|\[\d+\])*")
_PART = re.compile(rf"({_NAME})|\[(\d+)\]")


@dataclass(frozen=True)
class Override:
    """One ``--set``: a key and the value it gets."""

    key: KeyPath
    value: Any
    place: str
    """As the user wrote it: ``--set budget.trials=10``."""


def parse_override(text: str) -> Override:
    """Return the override that ``key=value`` says; the value is read as YAML.

    Raises:
        UserError: no ``=``, a key that cannot be read, a value that is not YAML.

    >>> parse_override("search.warmup[0]=5").key
    ('search', 'warmup', 0)
    """
    place = f"--set {without_password(' '.join(text.split()))}"
    name, equals, value = text.partition("=")
    name = name.strip()
    if not equals:
        raise UserError(f"{place}: no '='", EXAMPLE)
    if not _KEY.fullmatch(name):
        raise UserError(f"{place}: {name!r} is not a key", EXAMPLE)
    try:
        data = parse(value).data
    except NotYamlError as error:
        raise UserError(f"{place}: {error.problem}", "put the value in quotes, as YAML needs it") from None
    return Override(_key_path(name), data, place)


def apply_overrides(data: Any, overrides: Sequence[Override]) -> Any:
    """Return the data with every override in it, in order; the data itself stays as it is.

    Raises:
        UserError: an override reaches into something that has no such part.
    """
    for override in overrides:
        data = _replaced(data, override, 0)
    return data


def _key_path(name: str) -> KeyPath:
    return tuple(word or int(index) for word, index in _PART.findall(name))


def _replaced(node: Any, override: Override, depth: int) -> Any:
    if depth == len(override.key):
        return override.value
    part = override.key[depth]
    if isinstance(part, int):
        items = _items(node, override, depth)
        return [*items[:part], _replaced(items[part], override, depth + 1), *items[part + 1 :]]
    if node is not None and not isinstance(node, dict):
        raise _has_no_part(node, override, depth, "so it has no keys")
    return {**(node or {}), part: _replaced((node or {}).get(part), override, depth + 1)}


def _items(node: Any, override: Override, depth: int) -> list[Any]:
    index = override.key[depth]
    if not isinstance(node, list):
        raise _has_no_part(node, override, depth, "so it has no numbered values")
    if not isinstance(index, int) or index >= len(node):
        last = f"[0] to [{len(node) - 1}]" if node else "nothing"
        raise _has_no_part(node, override, depth, f"which has {last}")
    return node


def _has_no_part(node: Any, override: Override, depth: int, why: str) -> UserError:
    name = dotted(override.key[:depth])
    seen = "not in the file" if node is None else repr(node)
    return UserError(f"{override.place}: {name} is {seen}, {why}", f"set the whole value: --set {name}=...")
