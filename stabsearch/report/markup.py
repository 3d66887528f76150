"""HTML and SVG elements whose text is always escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable
from itertools import zip_longest


class Markup(str):
    """Text that is HTML already; every other text is escaped before it stands in a page."""

    __slots__ = ()


Child = str | int | float | None
_VOID = frozenset({"meta", "br", "hr", "img"})


def tag(name: str, /, *children: Child | Iterable[Child], **attributes: Child) -> Markup:
    """Return an element; children and attribute values are escaped unless they are Markup.

    A trailing underscore is dropped from attribute names, others become hyphens; an attribute of
    None is left out.

    >>> tag("p", "1 < 2", class_="note")
    '<p class="note">1 &lt; 2</p>'
    """
    head = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{head}>")
    return Markup(f"<{name}{head}>{joined(children)}</{name}>")


def joined(children: Iterable[Child | Iterable[Child]]) -> Markup:
    """Return the children one after another, escaped unless they are Markup."""
    return Markup("".join(map(_text, children)))


def _text(child: Child | Iterable[Child]) -> str:
    match child:
        case None:
            return ""
        case Markup():
            return child
        case str():
            return html.escape(child)
        case int() | float():
            return str(child)
    return joined(child)


def table(
    heads: Iterable[Child], rows: Iterable[Iterable[Child]], *, caption: str, ids: Iterable[str] = ()
) -> Markup:
    """Return a table whose first column heads its row; ``caption`` is for those who do not see it.

    A head that starts with ``#`` marks a column of numbers. ``ids`` are what links to its rows lead to.
    """
    names = [head if isinstance(head, Markup) else str(head) for head in heads]
    numeric = [name.startswith("#") for name in names]
    body = [_row(tuple(row), numeric, name) for row, name in zip_longest(rows, ids)]
    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption),
            tag("thead", tag("tr", [_head(name) for name in names])),
            tag("tbody", body),
        ),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )


def _head(name: str) -> Markup:
    if name.startswith("#"):
        return tag("th", name.removeprefix("#"), scope="col", class_="number")
    return tag("th", name, scope="col")


def _row(cells: tuple[Child, ...], numeric: list[bool], name: str | None) -> Markup:
    first, *rest = cells
    others = [
        tag("td", cell, class_="number" if is_number else None)
        for cell, is_number in zip(rest, numeric[1:], strict=True)
    ]
    return tag("tr", tag("th", first, scope="row", class_="number" if numeric[0] else None), others, id=name)
