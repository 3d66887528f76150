"""JSON files that somebody else may have written: read within limits of size and depth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MAX_BYTES = 64 << 20
"""Chosen: the largest file of our own, the frontier of a sweep with thousands of contexts, has some MiB."""
MAX_DEPTH = 64  # chosen: the deepest of our own, the inputs of a captured batch, have about ten levels


def read_json(path: Path, max_bytes: int = MAX_BYTES) -> Any:
    """Return what a JSON file holds.

    Raises:
        OSError: it is not there, is no plain file, or cannot be read.
        ValueError: it is larger than ``max_bytes``, no UTF-8, no JSON, or nested too deeply; one line.
    """
    if path.exists() and not path.is_file():  # opening a pipe would wait for its writer
        raise IsADirectoryError(21, "not a plain file")
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"larger than {max_bytes >> 20} MiB")
    return parse_json(content.decode("utf-8"))


def parse_json(text: str) -> Any:
    """Return what a JSON text says.

    Raises:
        ValueError: no JSON, or nested too deeply; one line.

    >>> parse_json('{"a": [1]}')
    {'a': [1]}
    >>> parse_json("[" * 100_000)
    Traceback (most recent call last):
    ValueError: nested more than 64 levels deep
    """
    try:
        data = json.loads(text)
    except RecursionError:
        raise _too_deep() from None
    level = [data]
    for _ in range(MAX_DEPTH):
        level = [item for held in level if isinstance(held, dict | list) for item in _inside(held)]
        if not level:
            return data
    raise _too_deep()


def _inside(held: dict[str, Any] | list[Any]) -> Any:
    return held.values() if isinstance(held, dict) else held


def _too_deep() -> ValueError:
    return ValueError(f"nested more than {MAX_DEPTH} levels deep")
