"""The second line of an error: what was probably meant, or what the key is for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from stabsearch.config.schema import describe, property_at
from stabsearch.config.write import in_yaml

if TYPE_CHECKING:
    from stabsearch.errors import KeyPath


def did_you_mean(value: Any, known: Iterable[str]) -> str:
    """Return ``did you mean 'fp16'?``, empty when no known word is near."""
    near = difflib.get_close_matches(value, list(known), n=1) if isinstance(value, str) else []
    return f"did you mean {near[0]!r}?" if near else ""


def description(key: KeyPath, data: Any) -> str:
    """Return what the schema says a key is for; for an item of a list, what the list is for."""
    for end in range(len(key), 0, -1):
        if text := describe(property_at(key[:end], data)):
            return text.replace("`", "")
    return "`stabsearch init` writes a sweep with every key explained"


def repair(key: KeyPath, value: Any, wanted: str) -> str:
    """Return how to write what was probably meant, empty when that is not obvious.

    Args:
        key: where the value stands.
        value: what was seen.
        wanted: what is allowed there, in words.
    """
    if value is None:
        return f"write its {'keys' if wanted.startswith('a mapping') else 'value'}, or remove the line"
    if wanted.startswith("a list"):
        return "" if isinstance(value, list | Mapping) else f"write {key[-1]}: [{in_yaml(value)}]"
    if wanted.startswith("true or false"):
        return f"write {_BOOLEANS[value.lower()]}" if str(value).lower() in _BOOLEANS else ""
    if "number" in wanted:
        return _as_number(value, "whole" in wanted)
    if wanted.startswith("text") and isinstance(value, bool | int | float):
        return f"put it in quotes: '{str(value).lower() if isinstance(value, bool) else value}'"
    return ""


_BOOLEANS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
"""Booleans of YAML 1.1 only: in YAML 1.2 they are text."""


def _as_number(value: Any, is_whole: bool) -> str:
    """Return the number that a text or a float stands for: ``"5"``, ``1_000``, ``10.0``."""
    if isinstance(value, str) and (percent := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", value)):
        return f"write {float(percent[1]) / 100:g}"
    if isinstance(value, str) and not re.fullmatch(r"[-+]?[\d_]*\.?[\d_]*(?:[eE][-+]?\d+)?", value):
        return ""
    if not isinstance(value, str | float) or value in {"", "."}:
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    if not number.is_integer():
        return "" if is_whole or isinstance(value, float) else f"write {number!r}"
    return f"write {int(number)}" if is_whole or isinstance(value, str) else ""
