"""What reference pages are made of: the texts under names of a class, and tables."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence
from itertools import pairwise


def texts_under_names(kind: type) -> dict[str, str]:
    """Return name -> the text under it, on one line, for every name of a class that has one.

    >>> from stabsearch.records import Outcome
    >>> texts_under_names(Outcome)["OOM"]
    'Out of memory; proves nothing.'
    """
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    found = ((_name(above), _text(below)) for above, below in pairwise(tree.body))
    return {name: " ".join(text.split()) for name, text in found if name and text}


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""Return a table whose cells are Markdown; what only looks like a column or a tag stays text.

    >>> print(markdown_table(["is"], [["<name> or `<a|b>`"]]), end="")
    | is |
    | --- |
    | \<name> or `<a\|b>` |
    """
    lines = (head, ["---"] * len(head), *rows)
    return "".join(f"| {' | '.join(map(_escaped, cells))} |\n" for cells in lines)


def _escaped(cell: str) -> str:
    parts = re.split("(`[^`]*`)", cell.replace("|", "\\|"))
    return "".join(part if part.startswith("`") else part.replace("<", "\\<") for part in parts)


def _name(node: ast.stmt) -> str:
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    return target.id if isinstance(target, ast.Name) else ""


def _text(node: ast.stmt) -> str:
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return str(node.value.value) if is_text else ""  # type: ignore[attr-defined]  # it is an Expr of a Constant
