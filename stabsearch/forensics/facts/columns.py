"""One column of the training rows in a few numbers per row.

Shape letters: N rows, T numbers of all rows one after another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Numbers = NDArray[Any]


@dataclass(frozen=True)
class Column:
    """One block of a column."""

    kind: str
    """``int``, ``float``, ``bool``, ``text`` or ``other``."""
    values_T: Numbers
    """Every number; empty when the column holds none."""
    lengths_N: NDArray[np.int64] | None
    """Numbers per row; None: one number per row."""
    missing_N: NDArray[np.bool_]
    """Rows without a value."""
    holes_T: NDArray[np.bool_] | None = None
    """Whole numbers that are missing, and stand here as 0; None: none is. Missing fractions are NaN."""

    @property
    def is_list(self) -> bool:
        """Return whether a row holds several numbers."""
        return self.lengths_N is not None


def read_column(column: pa.ChunkedArray) -> Column:
    """Return a block of a column as numbers."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    missing_N = np.asarray(array.is_null()) if array.null_count else np.zeros(len(array), dtype=bool)
    lengths_N: NDArray[np.int64] | None = None
    while _is_list(array.type):
        array, lengths_N = _opened(array, lengths_N)
    kind, holes_T = kind_of(array.type), None
    if kind in {"int", "bool"} and array.null_count:
        holes_T = np.asarray(array.is_null())
        array = array.fill_null(False if kind == "bool" else 0)
    return Column(kind, _numbers(array), lengths_N, missing_N, holes_T)


def _opened(array: pa.Array, outer_N: NDArray[np.int64] | None) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return the elements of lists, and how many each row holds, lists in lists taken together."""
    lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0)).astype(np.int64)
    return array.flatten(), lengths if outer_N is None else per_row(np.add, lengths, outer_N, 0)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def kind_of(kind: pa.DataType) -> str:
    """Return what an Arrow type holds, in one word."""
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_integer(kind):
        return "int"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "float"
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return "text" if is_text else "other"


def _numbers(array: pa.Array) -> Numbers:
    kind = kind_of(array.type)
    if kind in {"text", "other"}:
        return np.zeros(0)
    if kind == "bool":
        array = array.cast(pa.int8())
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    return np.asarray(array.to_numpy(zero_copy_only=False))


def per_row(how: np.ufunc, values_T: Numbers, lengths_N: NDArray[np.int64], empty: Any) -> Numbers:
    """Return ``how`` over the numbers of each row; ``empty`` for a row without any.

    >>> per_row(np.maximum, np.array([3, 9, 1]), np.array([2, 0, 1]), -1).tolist()
    [9, -1, 1]
    """
    filled = lengths_N > 0
    if values_T.dtype == bool:
        values_T = values_T.view(np.int8)
    dtype = np.int64 if how is np.add and values_T.dtype.kind == "i" else values_T.dtype
    result = np.full(len(lengths_N), empty, dtype=dtype)
    if filled.any():
        starts = (np.cumsum(lengths_N) - lengths_N)[filled]
        result[filled] = how.reduceat(values_T, starts, dtype=dtype)
    return result


def count_per_row(marked_T: NDArray[np.bool_], lengths_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many numbers of each row are marked.

    >>> count_per_row(np.array([True, True, False]), np.array([2, 0, 1])).tolist()
    [2, 0, 0]
    """
    if not marked_T.any():
        return np.zeros(len(lengths_N), dtype=np.int64)
    counts: NDArray[np.int64] = per_row(np.add, marked_T, lengths_N, 0)
    return counts


def fingerprints(values_T: Numbers, lengths_N: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a number per row that depends on its numbers and their order; equal rows have equal ones.

    Two different rows share one with a probability of about 2**-60.
    """
    with np.errstate(over="ignore"):
        mixed_T = (values_T.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
        mixed_T ^= mixed_T >> np.uint64(31)
        mixed_T *= np.uint64(0x94D049BB133111EB)
        mixed_T ^= mixed_T >> np.uint64(29)
        starts_N = (np.cumsum(lengths_N) - lengths_N).astype(np.uint64)
        plain_N = per_row(np.add, mixed_T, lengths_N, 0)
        # a place in the row counts from the row's start: the sum over places minus start times plain sum
        mixed_T *= np.arange(len(mixed_T), dtype=np.uint64)
        placed_N = per_row(np.add, mixed_T, lengths_N, 0) - starts_N * plain_N
        return np.asarray(placed_N * np.uint64(0xD6E8FEB86659FD93) + plain_N + lengths_N.astype(np.uint64))
