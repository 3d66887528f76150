"""Markdown as MLflow's pages show it: GitHub's, a few HTML elements, pictures from any address."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# "@" would link to a GitHub account, and an address becomes a link by its "://".
_SPECIAL = re.compile(
    r"[\\`*{}\[\]<>#!|~&@]|(?<!\w)_|_(?!\w)|:(?=//)|(?<=www)\.|^[-+=](?=\s)|(?<=^\d)\.(?=\s)"
)

_SPACED = "&ensp; | "  # MLflow's pages leave no room between the columns of a table


def inert(text: object) -> str:
    """Return text on one line that shows as it is written: nothing in it is Markdown, HTML or a link.

    Entities, not backslashes: MLflow's renderer leaves HTML behind a backslash as it is.

    >>> inert("<b> 5 @ada")
    '&#60;b&#62; 5 &#64;ada'
    """
    line = "".join(char for char in " ".join(str(text).split()) if char.isprintable())
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", line)


def markdown_table(columns: Iterable[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table in Markdown, numbers with three digits, texts inert.

    >>> print(markdown_table(("a", "b"), [(1, 0.12345)]))
    | a&ensp; | b |
    | --- | --- |
    | 1&ensp; | 0.123 |
    """
    names = list(columns)
    head, *body = (_SPACED.join(row) for row in [names, *([_cell(value) for value in row] for row in rows)])
    return "\n".join(f"| {line} |" for line in (head, " | ".join(["---"] * len(names)), *body))


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else inert(value)
