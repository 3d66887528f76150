"""A diagnosis for a terminal, from its JSON data."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

WIDTH = 88
_MARKS = {True: "ok ", False: "BAD", None: "   "}


def diagnosis_text(data: Mapping[str, Any], width: int = WIDTH) -> str:
    """Return the verdict, the way out and the evidence, one thing per line.

    Args:
        data: as ``Diagnosis.to_json`` gives it.
        width: columns of the terminal.
    """
    lines = [f"cause: {data['cause'] or 'none'}", *_filled(data["sentence"], "", width)]
    if data["symptom"]:
        lines += _filled(f"seen as: {data['symptom']}", "", width)
    if data["advice"]:
        lines += ["", "what to do"]
        lines += [line for advice in data["advice"] for line in _filled(advice, "- ", width)]
    if data["bundle"]:
        lines += _filled(f"look at it: stabsearch replay {data['bundle']}", "- ", width)
    lines += ["", "evidence"]
    for each in data["evidence"]:
        lines += _filled(
            f"{each['tried']}: {each['seen']}", f"{_MARKS[each['is_good']]} {each['rung']:<13} ", width
        )
    return "\n".join(lines)


def _filled(text: str, first: str, width: int) -> list[str]:
    filled = textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False
    )
    return filled or [first]
