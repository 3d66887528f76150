"""Columns of the table that hold a list per row: words, a class per word, or the labels of a text.

Shape letters: N rows, T entries of all rows one after another.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabsearch.forensics.facts.columns import count_per_row
from stabsearch.task.labels import is_missing
from stabsearch.task.list_columns import as_list, flat, is_class_id, short

Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class ListColumn:
    """One column of lists."""

    name: str
    key: str
    """Key of the task that names it."""
    absent_N: Rows
    """Rows that hold nothing."""
    no_list_N: Rows
    """Rows that hold something else than a list."""
    no_list: str
    """The first of them, as it is written; empty without any."""
    length_N: NDArray[np.int64]
    """Entries per row; 0 without a list."""
    holes_N: Rows
    """Rows with an entry that is missing."""
    odd_N: Rows
    """Rows with an entry of the wrong kind."""
    odd: str
    """The first such entry, as it is written; empty without any."""

    @property
    def listed(self) -> Rows:
        """Return which rows hold a list."""
        return ~(self.absent_N | self.no_list_N)


@dataclass(frozen=True)
class LabelLists(ListColumn):
    """One column of lists of labels, or of a class per word."""

    below_N: Rows
    """Rows with an id below 0."""
    uses_names: bool
    """Labels are names; otherwise ids."""
    present: tuple[Any, ...]
    """Different labels that are there, in order; those that are none left out."""
    num_labels: int
    """Outputs that the head would have: the names, or as many as the largest id says."""
    length: int = 0
    """Labels per row, where each has a 0 or 1 for every label; else 0."""
    uneven_N: Rows | None = None
    """Rows of zeros and ones that have more or fewer than most; None where labels are listed otherwise."""
    repeated_N: Rows | None = None
    """Rows that have an id twice; None where labels are listed otherwise."""
    num_sets: int = 0
    """Different sets of labels that rows have."""


def word_lists(column: pd.Series[Any], key: str) -> ListColumn:
    """Return what a column of words holds; an entry of the wrong kind is no text."""
    rows = [as_list(value) for value in column]
    entries = flat([row or [] for row in rows])
    hole_T = _mask(is_missing(entry) for entry in entries)
    odd_T = _mask(not isinstance(entry, str) for entry in entries) & ~hole_T
    return ListColumn(**_of_lists(column, key, rows, entries, hole_T, odd_T))


def label_lists(column: pd.Series[Any], key: str, *, has_sets: bool) -> LabelLists:
    """Return what a column of labels holds; an entry of the wrong kind is no name, or no id.

    Args:
        column: of the table.
        key: of the task that names it.
        has_sets: each row has any number of labels; otherwise a class per word.
    """
    rows = [as_list(value) for value in column]
    filled = [row or [] for row in rows]
    entries = flat(filled)
    hole_T = _mask(is_missing(entry) for entry in entries)
    name_T = _mask(isinstance(entry, str) for entry in entries)
    uses_names = bool(name_T.any())
    sound_T = name_T if uses_names else _mask(is_class_id(entry) for entry in entries)
    below_T = _mask(_is_below(entry) for entry in entries) & (not uses_names)
    common = _of_lists(column, key, rows, entries, hole_T, ~(hole_T | sound_T | below_T))
    present = tuple(sorted({entry for entry, is_sound in zip(entries, sound_T, strict=True) if is_sound}))
    made: dict[str, Any] = {
        "below_N": count_per_row(below_T, common["length_N"]) > 0,
        "uses_names": uses_names,
        "present": present,
        "num_labels": len(present) if uses_names else 1 + int(max(present, default=-1)),
    }
    if has_sets:
        listed_N = ~(common["absent_N"] | common["no_list_N"])
        is_vector = not uses_names and set(present) <= {0, 1}
        made |= _vectors(filled, listed_N) if is_vector else _sets(filled, listed_N, set(present), uses_names)
    return LabelLists(**common, **made)


def _mask(flags: Any) -> Rows:
    return np.fromiter(flags, dtype=bool)


def _is_below(entry: Any) -> bool:
    return isinstance(entry, int | float) and entry < 0 and float(entry).is_integer()


def _of_lists(
    column: pd.Series[Any], key: str, rows: Sequence[list[Any] | None], entries: list[Any],
    hole_T: Rows, odd_T: Rows,
) -> dict[str, Any]:  # fmt: skip
    """Return the fields of a ListColumn."""
    length_N = np.array([len(row or []) for row in rows], dtype=np.int64)
    absent_N = _mask(is_missing(value) or (isinstance(value, str) and not value.strip()) for value in column)
    no_list_N = _mask(row is None for row in rows) & ~absent_N
    return {
        "name": str(column.name),
        "key": key,
        "absent_N": absent_N,
        "no_list_N": no_list_N,
        "no_list": short(column[no_list_N].tolist()[0]) if no_list_N.any() else "",
        "length_N": length_N,
        "holes_N": count_per_row(hole_T, length_N) > 0,
        "odd_N": count_per_row(odd_T, length_N) > 0,
        "odd": short(entries[int(np.argmax(odd_T))]) if odd_T.any() else "",
    }


def _vectors(rows: list[list[Any]], listed_N: Rows) -> dict[str, Any]:
    """Return what rows say that hold a 0 or 1 for every label; as many as most rows hold."""
    lengths = np.array([len(row) for row in rows])
    length = int(np.bincount(lengths[listed_N]).argmax()) if listed_N.any() else 0
    whole = [row for row, is_listed in zip(rows, listed_N, strict=True) if is_listed and len(row) == length]
    has_NK = np.array([[entry == 1 for entry in row] for row in whole], dtype=bool).reshape(
        len(whole), length
    )
    return {
        "length": length,
        "uneven_N": listed_N & (lengths != length),
        "present": tuple(map(int, np.flatnonzero(has_NK.any(axis=0)))),
        "num_labels": length,
        "num_sets": len({row.tobytes() for row in has_NK}),
    }


def _sets(rows: list[list[Any]], listed_N: Rows, known: set[Any], uses_names: bool) -> dict[str, Any]:
    """Return what rows say that list their labels."""
    sound = [[entry for entry in row if isinstance(entry, Hashable) and entry in known] for row in rows]
    sets = [frozenset(row) for row in sound]
    repeated_N = _mask(len(of_row) < len(row) for of_row, row in zip(sets, sound, strict=True))
    return {
        # a name that stands twice says the same as one that stands once
        "repeated_N": None if uses_names else repeated_N,
        "num_sets": len({of_row for of_row, is_listed in zip(sets, listed_N, strict=True) if is_listed}),
    }
