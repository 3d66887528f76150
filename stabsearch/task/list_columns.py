"""Columns that hold a list per row: words, tags, labels."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from stabsearch.errors import UserError
from stabsearch.records.plain_json import parse_json
from stabsearch.task.labels import LABEL_KEY, is_missing

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

HOW_LISTS_COME = "lists come from JSONL, Parquet and Arrow as they are, in CSV and TSV as JSON text"


def lists(column: pd.Series[Any], key: str, instead: str = "") -> list[list[Any]]:
    """Return the lists of a column; text counts that is a list in JSON, as CSV and TSV hold lists.

    Args:
        column: of the table.
        key: of the task that names it.
        instead: what else the user may have meant, as a hint.

    Raises:
        UserError: a row holds no list.
    """
    found = [as_list(value) for value in column]
    for row, (made, value) in enumerate(zip(found, column, strict=True)):
        if made is None:
            seen = "nothing" if is_missing(value) else f"{short(value)}, which is no list"
            message = f"column {column.name!r} holds {seen}, in row {row}"
            raise UserError(message, f"{HOW_LISTS_COME}{instead}", key=("task", key))
    return [made for made in found if made is not None]


def as_list(value: Any) -> list[Any] | None:
    """Return the list that one cell holds, or that is in it as JSON; None where there is none."""
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except ValueError:
            return None
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return list(value) if isinstance(value, list | tuple) else None


def first_row_with(is_bad_T: NDArray[np.bool_], rows: list[list[Any]]) -> int:
    """Return the first row with a bad entry, of entries that stand one row after another.

    >>> first_row_with(np.array([False, False, True]), [[1], [], [2, 3]])
    2
    """
    ends_N = np.cumsum([len(row) for row in rows])
    return int(np.searchsorted(ends_N, np.argmax(is_bad_T), side="right"))


def flat(rows: list[list[Any]]) -> list[Any]:
    """Return the entries of all rows, one row after another."""
    return list(chain.from_iterable(rows))


def is_class_id(entry: Any) -> bool:
    """Return whether an entry counts from 0; a column with an empty row turns integers into floats."""
    return isinstance(entry, int | float) and entry >= 0 and float(entry).is_integer()


def short(value: Any) -> str:
    """Return a value as it is written, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:36]} ..."


def refuse(column: pd.Series[Any], rows: list[list[Any]], is_bad_T: Any, seen: str, hint: str) -> None:
    """Refuse label lists with bad entries; the message names the first and its row.

    Args:
        column: of the labels.
        rows: its lists.
        is_bad_T: whether each entry is bad, entries standing one row after another.
        seen: what is wrong with them.
        hint: the way out.

    Raises:
        UserError: there is a bad one.
    """
    is_bad_T = np.asarray(is_bad_T, dtype=bool)
    if not is_bad_T.any():
        return
    entry = flat(rows)[int(np.argmax(is_bad_T))]
    row = first_row_with(is_bad_T, rows)
    message = f"label column {column.name!r} holds {seen}: {entry!r}, first in row {row}"
    raise UserError(message, hint, key=LABEL_KEY)
