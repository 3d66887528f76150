"""Whether a dataclass that was filled from a file holds what its fields are said to hold."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from stabsearch.records import Precision, Stage

Fits = Callable[[Any], bool]
_NAMES = {"Precision": Precision, "Stage": Stage}
"""What records name in their types and import for a type checker only."""


def check_fields(thing: Any) -> None:
    """Return when every field of a dataclass, and of those inside of it, is of its type.

    Raises:
        ValueError: one is not; names it.
    """
    for name, fits in _fields_of(type(thing)):  # type: ignore[arg-type]
        value = getattr(thing, name)
        if is_dataclass(value):
            check_fields(value)
        if not fits(value):
            raise ValueError(f"{name} is {str(value)[:60]!r}")


@cache
def _fields_of(kind: type) -> list[tuple[str, Fits]]:
    hints = get_type_hints(kind, localns=_NAMES)
    return [(name, _fits(hint)) for name, hint in hints.items()]


def _fits(hint: Any) -> Fits:
    """Return what tells whether a value is of a type."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in {types.UnionType, Union}:
        kinds = [_fits(each) for each in inner]
        return lambda value: any(fits(value) for fits in kinds)
    if origin is Literal:
        return lambda value: isinstance(value, str) and value in inner
    if origin is tuple:
        item = _fits(inner[0])
        return lambda value: isinstance(value, tuple) and all(map(item, value))
    if origin is Mapping:
        key, held = map(_fits, inner)
        return lambda value: (
            isinstance(value, dict) and all(map(key, value)) and all(map(held, value.values()))
        )
    return _plain(hint)


def _plain(hint: Any) -> Fits:
    if hint is float:
        return lambda value: type(value) in {float, int}
    if isinstance(hint, type) and (is_dataclass(hint) or issubclass(hint, Enum)):
        return lambda value: isinstance(value, hint)
    return lambda value: type(value) is hint
