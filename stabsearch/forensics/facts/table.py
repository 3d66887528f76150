"""The table that was read, before anything was made of it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabsearch.task.labels import as_numbers, missing_labels
from stabsearch.task.rows import TaskTable

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
    repeated: tuple[str, ...] = ()
    """Columns used whose name stands twice in the file."""


def table_facts(table: TaskTable) -> TableFacts:
    """Return what the columns hold that a task names."""
    frame, texts = table.frame, table.texts
    if table.kind != "classes":
        return TableFacts(
            num_rows=len(frame),
            texts=tuple(_text(frame[name], name, key) for key, name in texts.items()),
            repeated=_repeated(frame, {*texts.values(), *table.labels}),
        )
    label = table.labels[0]
    column = frame[label]
    missing = missing_labels(column)
    present = column[~missing]
    numbers = as_numbers(present) if len(present) else None
    spread = None
    if numbers is not None:
        spread = np.full(len(column), np.nan)
        spread[~missing] = numbers
    return TableFacts(
        num_rows=len(frame),
        texts=tuple(_text(frame[name], name, key) for key, name in texts.items()),
        label=label,
        missing_N=missing,
        numbers_N=spread,
        num_names=int(present.nunique()),
        example=repr(present.iloc[0]) if len(present) else "",
        repeated=_repeated(frame, {*texts.values(), label}),
    )


def _text(column: pd.Series[Any], name: str, key: str) -> TextColumn:
    missing = column.isna().to_numpy()
    empty = (column.astype(str).str.strip() == "").to_numpy() & ~missing
    return TextColumn(name, key, missing, empty)


def _repeated(frame: pd.DataFrame, used: set[str]) -> tuple[str, ...]:
    found = Counter(match[1] for name in map(str, frame.columns) if (match := REPEATED.match(name)))
    return tuple(sorted(name for name in used if name in found))
