"""Training rows as Arrow tables, a block at a time, whatever kind of data set holds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from torch.utils.data import IterableDataset

ROWS_PER_BLOCK = 65_536  # chosen: a block of 1,000 tokens per row then takes half a gigabyte
MOST_CONVERTED = 200_000
"""Rows that are made by Python code, one at a time: more of them are not looked at."""
LABEL_COLUMNS = ("labels", "label", "label_ids")
"""Columns that Transformers' collators take for labels, the first that is there."""


class UnreadableRow(Exception):  # noqa: N818 - a fact about the data, not an error of this program
    """A data set that raised, or gave no mapping, when it was asked for a row."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(f"row {row}: {reason}")
        self.row, self.reason = row, reason


@dataclass(frozen=True)
class RowSource:
    """Where the rows of a data set come from."""

    num_rows: int | None
    """None: a stream, whose length is unknown."""
    num_read: int
    """Rows that ``blocks`` gives, from the first."""
    blocks: Iterator[pa.Table]


def row_source(dataset: Any) -> RowSource:
    """Return the rows of any data set that a Trainer takes.

    Arrow data sets are read where they lie; rows that Python makes are converted once, up to
    ``MOST_CONVERTED``. A stream is left alone: reading it could use it up.
    """
    num_rows = _length(dataset)
    if num_rows is None or isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__"):
        return RowSource(None, 0, iter(()))
    if hasattr(dataset, "arrow"):
        return RowSource(num_rows, num_rows, _slices(dataset.arrow()))
    if _is_arrow_backed(dataset):
        columns = dataset.format["columns"]
        arrow = dataset.with_format("arrow", columns=columns)
        return RowSource(num_rows, num_rows, arrow.iter(batch_size=ROWS_PER_BLOCK))
    num_read = min(num_rows, MOST_CONVERTED)
    return RowSource(num_rows, num_read, _converted(dataset, num_read))


def column_names(dataset: Any) -> Sequence[str]:
    """Return the columns of a data set's first row: a transform may have made them."""
    try:
        first = dataset[0]
        return list(first) if isinstance(first, Mapping) else []
    except Exception:  # noqa: BLE001 - any code of the user's; reading all rows says what is wrong
        return []


def _length(dataset: Any) -> int | None:
    try:
        return len(dataset)
    except TypeError:
        return None


def _is_arrow_backed(dataset: Any) -> bool:
    """Return whether this is a ``datasets.Dataset`` whose rows are its table's, not a transform's."""
    is_dataset = type(dataset).__module__.partition(".")[0] == "datasets" and hasattr(dataset, "with_format")
    return is_dataset and dataset.format["type"] != "custom"


def _slices(table: pa.Table) -> Iterator[pa.Table]:
    for start in range(0, table.num_rows, ROWS_PER_BLOCK):
        yield table.slice(start, ROWS_PER_BLOCK)


def _converted(dataset: Any, num_rows: int) -> Iterator[pa.Table]:
    for start in range(0, num_rows, ROWS_PER_BLOCK):
        rows = [_row(dataset, index) for index in range(start, min(start + ROWS_PER_BLOCK, num_rows))]
        yield table_of(rows)


def _row(dataset: Any, index: int) -> Mapping[str, Any]:
    try:
        row = dataset[index]
    except Exception as error:
        raise UnreadableRow(index, f"{type(error).__name__}: {error}") from error
    if not isinstance(row, Mapping):
        raise UnreadableRow(index, f"a {type(row).__name__}, not a mapping from column to value")
    return row


def table_of(rows: list[Mapping[str, Any]]) -> pa.Table:
    """Return rows as a table; what is missing in a row is null, what Arrow cannot hold is left out."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {str(name): _column([row.get(name) for row in rows]) for name in names}
    return pa.table({name: column for name, column in columns.items() if column is not None})


def _column(values: list[Any]) -> pa.Array | None:
    plain = [_plain(value) for value in values]
    try:
        if plain and all(isinstance(value, np.ndarray) and value.ndim for value in plain):
            return _lists(plain)
        return pa.array([value.tolist() if isinstance(value, np.ndarray) else value for value in plain])
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return None


def _plain(value: Any) -> Any:
    """Return tensors as arrays, scalars of any library as numpy scalars, everything else as it is."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float().numpy() if str(value.dtype) == "torch.bfloat16" else value.numpy()
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _lists(arrays: list[Any]) -> pa.Array:
    """Return arrays of any shape as lists: each row's numbers, in order."""
    starts = np.concatenate([[0], np.cumsum([array.size for array in arrays])]).astype(np.int64)
    flat = np.concatenate([array.reshape(-1) for array in arrays])
    return pa.LargeListArray.from_arrays(starts, pa.array(flat))
