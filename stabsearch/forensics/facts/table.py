"""The table that was read, before anything was made of it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabsearch.forensics.facts.list_columns import LabelLists, ListColumn, label_lists, word_lists
from stabsearch.forensics.facts.number_columns import NumberColumn, example, number_column
from stabsearch.task.labels import as_numbers, as_targets, missing_labels
from stabsearch.task.list_columns import as_list
from stabsearch.task.rows import LabelKind, TaskTable

REPEATED = re.compile(r"(.+)\.\d+$")
"""How pandas names the second column of a name: ``label.1``."""


@dataclass(frozen=True)
class TextColumn:
    """A column of texts."""

    name: str
    key: str
    """Name of the sweep's key that chose it: ``text`` or ``text_pair``."""
    missing_N: NDArray[np.bool_]
    empty_N: NDArray[np.bool_]
    """White space only."""
    other_N: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """Rows that hold something, and no text."""
    other: str = ""
    """The first of them, as it is written; empty without any."""


@dataclass(frozen=True)
class TableFacts:
    """Columns of a table that a sweep names."""

    num_rows: int
    texts: tuple[TextColumn, ...] = ()
    label: str = ""
    missing_N: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """Rows without a label."""
    numbers_N: NDArray[np.float64] | None = None
    """Labels as numbers; None: they are names."""
    num_names: int = 0
    """Different labels."""
    example: str = ""
    """The first label."""
    odd_N: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """Rows whose label is neither a name nor a number."""
    odd: str = ""
    """The first of them, as it is written; empty without any."""
    digits_N: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """Rows whose label is a number, where others have names."""
    digits: str = ""
    """The first of them, as it is written; empty without any."""
    targets: tuple[NumberColumn, ...] = ()
    """Numbers that are to be predicted."""
    marks: tuple[NumberColumn, ...] = ()
    """Columns of 0 and 1, one per label."""
    words: ListColumn | None = None
    tags: LabelLists | None = None
    """A class per word."""
    sets: LabelLists | None = None
    """Any number of labels per text."""
    repeated: tuple[str, ...] = ()
    """Columns used whose name stands twice in the file."""


def table_facts(table: TaskTable) -> TableFacts:
    """Return what the columns hold that a task names."""
    frame = table.frame
    named = {name: frame[name] for name in table.labels}
    is_words = table.kind == "token-classes"
    return TableFacts(
        num_rows=len(frame),
        texts=() if is_words else tuple(_text(frame[name], name, key) for key, name in table.texts.items()),
        words=word_lists(frame[table.texts["text"]], "text") if is_words else None,
        repeated=_repeated(frame, {*table.texts.values(), *table.labels}),
        **_of_labels(table.kind, list(named.values())),
    )


def _of_labels(kind: LabelKind, columns: list[pd.Series[Any]]) -> dict[str, Any]:
    """Return the fields that speak of the label columns of a task."""
    match kind:
        case "classes":
            return _classes(columns[0])
        case "numbers":
            return {"targets": tuple(map(number_column, columns))}
        case "token-classes":
            return {"tags": label_lists(columns[0], "label", has_sets=False)}
        case "lists" if len(columns) == 1 and any(as_list(value) is not None for value in columns[0]):
            return {"sets": label_lists(columns[0], "label", has_sets=True)}
        case "lists":
            return {"marks": tuple(map(number_column, columns))}
    return {}


def _classes(column: pd.Series[Any]) -> dict[str, Any]:
    """Return what a column of one class per row holds."""
    missing = missing_labels(column)
    present = column[~missing]
    numbers = as_numbers(present) if len(present) else None
    spread = None
    if numbers is not None:
        spread = np.full(len(column), np.nan)
        spread[~missing] = numbers
    odd = np.array([not isinstance(value, str | int | float) for value in column], dtype=bool) & ~missing
    digits = np.isfinite(as_targets(column)) & ~missing & (numbers is None)
    return {
        "label": str(column.name),
        "missing_N": missing,
        "numbers_N": spread,
        "num_names": present.astype(str).nunique() if numbers is None else len(np.unique(numbers)),
        "example": repr(present.iloc[0]) if len(present) else "",
        "odd_N": odd,
        "odd": example(column, odd),
        "digits_N": digits,
        "digits": example(column, digits),
    }


def _text(column: pd.Series[Any], name: str, key: str) -> TextColumn:
    missing = column.isna().to_numpy()
    empty = (column.astype(str).str.strip() == "").to_numpy() & ~missing
    other = np.array([not isinstance(value, str) for value in column], dtype=bool) & ~missing
    return TextColumn(name, key, missing, empty, other, example(column, other))


def _repeated(frame: pd.DataFrame, used: set[str]) -> tuple[str, ...]:
    found = Counter(match[1] for name in map(str, frame.columns) if (match := REPEATED.match(name)))
    return tuple(sorted(name for name in used if name in found))
