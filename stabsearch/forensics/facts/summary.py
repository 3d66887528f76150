"""All training rows in a few numbers per row: what the rules about rows judge.

Shape letter: N rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stabsearch.forensics.facts.columns import Column, Numbers, count_per_row, per_row, read_column
from stabsearch.forensics.facts.crossed import Crossed, Marks, cross, has_tokens

SHORT_ROW = 512  # chosen: label vectors of a multi-label task; token rows differ in length


@dataclass(frozen=True)
class ColumnSummary:
    """One column: its smallest, largest and odd numbers, per row."""

    kind: str
    """``int``, ``float``, ``bool``, ``text`` or ``other``."""
    is_list: bool
    """A row holds several numbers."""
    length_N: NDArray[np.int64]
    """Numbers per row; 1 where a row holds one."""
    low_N: Numbers
    """Smallest number of each row, 0 for a row without any; NaN where one is NaN."""
    high_N: Numbers
    """Largest number of each row, 0 for a row without any; NaN where one is NaN."""
    nonfinite_N: NDArray[np.int64]
    """NaN, infinite and missing numbers per row."""
    positive_N: NDArray[np.int64]
    """Numbers above 0 per row; only counted where all rows are equally short."""
    ignored_N: NDArray[np.int64]
    """Numbers per row that are the loss's ignore index."""
    least_N: Numbers
    """Smallest number of each row that is not the ignore index; the largest integer without any."""
    missing_N: NDArray[np.bool_]
    """Rows without a value."""

    @property
    def is_filled(self) -> NDArray[np.bool_]:
        """Return which rows hold a number at all."""
        return (self.length_N > 0) & ~self.missing_N


@dataclass(frozen=True)
class RowSummary:
    """All rows that were read."""

    num_rows: int
    columns: Mapping[str, ColumnSummary]
    crossed: Crossed | None
    """None without token ids."""
    types: Mapping[str, str] = field(default_factory=dict)
    """Arrow type of each column."""


def summarise(blocks: Iterable[pa.Table], marks: Marks) -> RowSummary:
    """Return every row in a few numbers; blocks are read one at a time and let go."""
    columns: dict[str, list[ColumnSummary]] = {}
    crossed: list[Crossed] = []
    types: dict[str, str] = {}
    num_rows = 0
    for table in blocks:
        num_rows += table.num_rows
        # a file may name two columns alike: they are read by number
        block = {name: read_column(table.column(i)) for i, name in enumerate(table.column_names)}
        types.update((name, str(table.schema.field(i).type)) for i, name in enumerate(table.column_names))
        for name, column in block.items():
            columns.setdefault(name, []).append(_summary(column, table.num_rows, marks.ignore_index))
        crossed += [cross(block, table.num_rows, marks)] if has_tokens(block) else []
    return RowSummary(
        num_rows, {name: _joined(ColumnSummary, parts) for name, parts in columns.items()},
        _joined(Crossed, crossed) if crossed else None, types,
    )  # fmt: skip


def _summary(column: Column, num_rows: int, ignore_index: int) -> ColumnSummary:
    values, lengths = _numbers_of(column, num_rows)
    odd = _odd(column, values, lengths)
    low, high = _ends(values, lengths, is_single=column.lengths_N is None)
    ignored, least = _ignored(values, lengths, low, ignore_index)
    is_even = len(lengths) > 0 and lengths.max() == lengths.min() <= SHORT_ROW
    with np.errstate(invalid="ignore"):
        positive = count_per_row(values > 0, lengths) if is_even else np.zeros(num_rows, dtype=np.int64)
    return ColumnSummary(
        column.kind, column.is_list, lengths, low, high, odd, positive, ignored, least,
        column.missing_N,
    )  # fmt: skip


def _numbers_of(column: Column, num_rows: int) -> tuple[Numbers, NDArray[np.int64]]:
    """Return the numbers of a column and how many each row holds; none of what is no number."""
    if column.kind in {"text", "other"}:
        return np.zeros(0), np.zeros(num_rows, dtype=np.int64)
    single = np.ones(num_rows, dtype=np.int64)
    return column.values_T, single if column.lengths_N is None else column.lengths_N


def _ends(values: Numbers, lengths: NDArray[np.int64], *, is_single: bool) -> tuple[Numbers, Numbers]:
    if is_single and len(values):
        return values, values
    return per_row(np.minimum, values, lengths, 0), per_row(np.maximum, values, lengths, 0)


def _odd(column: Column, values: Numbers, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many numbers of each row are NaN, infinite or missing."""
    if column.holes_T is not None:
        return count_per_row(column.holes_T, lengths)
    if values.dtype.kind != "f":
        return np.zeros(len(lengths), dtype=np.int64)
    return count_per_row(~np.isfinite(values), lengths)


def _ignored(values: Numbers, lengths: Any, low: Numbers, ignore_index: int) -> tuple[Any, Numbers]:
    """Return how many ignored numbers each row holds, and its smallest other number."""
    if not len(low) or not (low <= ignore_index).any() or ignore_index >= 0:
        return np.zeros(len(lengths), dtype=np.int64), low
    is_ignored = values == ignore_index
    largest = np.inf if values.dtype.kind == "f" else np.iinfo(values.dtype).max
    others = np.where(is_ignored, np.asarray(largest, dtype=values.dtype), values)
    return count_per_row(is_ignored, lengths), per_row(np.minimum, others, lengths, largest)


def _joined(kind: type[Any], parts: list[Any]) -> Any:
    """Return the blocks of one summary as one; what is the same for all rows is the first block's."""
    names = [name for name in kind.__dataclass_fields__ if name.endswith("_N")]
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    # a block of nothing but missing values has no kind
    first = next((part for part in parts if getattr(part, "kind", "") != "other"), parts[0])
    rest = {name: getattr(first, name) for name in kind.__dataclass_fields__ if name not in names}
    return kind(**rest, **arrays)
