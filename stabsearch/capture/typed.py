"""Plain data from a file into frozen dataclasses: no field missing or unknown, each of its type."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

Made = TypeVar("Made")
NONFINITE = frozenset({"nan", "inf", "-inf"})
"""Floats that JSON does not know, as text."""


def typed(cls: type[Made], data: Any, place: str = "") -> Made:
    """Return a dataclass made from JSON data.

    Args:
        cls: the dataclass.
        data: what ``json.loads`` gave.
        place: name of the value, for messages; empty for the outermost.

    Raises:
        TypeError: a field is missing, unknown or of another type; the message names it.
    """
    values = _object(data, place)
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    wrong = [f"unknown field {_below(place, name)}" for name in values if name not in names]
    wrong += [f"no field {_below(place, name)}" for name in names if name not in values]
    if wrong:
        raise TypeError(wrong[0])
    hints = get_type_hints(cls)
    return cls(**{name: _value(hints[name], values[name], _below(place, name)) for name in names})


def _value(hint: Any, value: Any, place: str) -> Any:
    """Return a value as its type hint wants it."""
    if hint is Any:
        return value
    if is_dataclass(hint):
        return typed(hint, value, place)  # type: ignore[arg-type]
    origin, inner = get_origin(hint), get_args(hint)
    if origin in {types.UnionType, Union}:
        return None if value is None else _value(inner[0], value, place)
    if origin is tuple:
        return tuple(_value(inner[0], item, f"{place}[{i}]") for i, item in enumerate(_list(value, place)))
    if origin is Mapping:
        return {
            key: _value(inner[1], item, _below(place, key)) for key, item in _object(value, place).items()
        }
    return _scalar(hint, value, place)


def _scalar(hint: type, value: Any, place: str) -> Any:
    if hint is float and (type(value) in {int, float} or value in NONFINITE):
        return float(value)
    if type(value) is not hint:  # True is an int, and no number of threads
        raise TypeError(f"{place} is {value!r}"[:100] + f", not of type {hint.__name__}")
    return value


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{place or 'it'} is not an object")
    return value


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{place} is not a list")
    return value


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
