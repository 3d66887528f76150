"""Columns of the table that hold one number per row: targets of a regression, or a 0 or 1 per label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabsearch.task.labels import as_targets, missing_labels
from stabsearch.task.list_columns import short


@dataclass(frozen=True)
class NumberColumn:
    """One column, as numbers."""

    name: str
    missing_N: NDArray[np.bool_]
    """Rows without a value."""
    odd_N: NDArray[np.bool_]
    """Rows whose value is no number."""
    odd: str
    """The first of them, as it is written; empty without any."""
    numbers_N: NDArray[np.float32]
    """NaN in these rows, infinite where float32 cannot hold the number."""

    @property
    def finite(self) -> NDArray[np.float64]:
        """Return the numbers of all rows that hold one."""
        return self.numbers_N[np.isfinite(self.numbers_N)].astype(np.float64)


def number_column(column: pd.Series[Any]) -> NumberColumn:
    """Return what a column of numbers holds."""
    missing_N = missing_labels(column)
    numbers_N = np.where(missing_N, np.float32(np.nan), as_targets(column))
    odd_N = np.isnan(numbers_N) & ~missing_N
    return NumberColumn(str(column.name), missing_N, odd_N, example(column, odd_N), numbers_N)


def example(column: pd.Series[Any], rows_N: NDArray[np.bool_]) -> str:
    """Return the value of the first marked row, as it is written; nothing where none is marked."""
    return short(column[rows_N].tolist()[0]) if rows_N.any() else ""
