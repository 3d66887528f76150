"""Class labels: from a column to ids, and what predicting their marginals alone would cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabsearch.errors import UserError

LABEL_KEY = ("task", "label")


@dataclass(frozen=True)
class ClassLabels:
    """One class per row."""

    ids_N: NDArray[np.int64]
    """Class of each row, 0 to ``num_classes - 1``."""
    names: tuple[str, ...]
    """Name of each class, by id."""

    @property
    def num_classes(self) -> int:
        """Return how many outputs the model's head needs."""
        return len(self.names)

    @property
    def chance_loss(self) -> float:
        """Return the entropy of the label marginals in nats: the trivial predictor's cross-entropy."""
        share_C = np.bincount(self.ids_N, minlength=self.num_classes) / len(self.ids_N)
        seen = share_C[share_C > 0]
        return float(-(seen * np.log(seen)).sum())


def class_labels(column: pd.Series[Any]) -> ClassLabels:
    """Return the classes of a label column: names are sorted, integers are ids already.

    Text that is a number in every row counts as numbers: a CSV file knows nothing else.

    Raises:
        UserError: missing values, one class only, fractions, or ids that do not count from 0.
    """
    refuse_missing(column)
    numbers_N = as_numbers(column)
    labels = _from_names(column) if numbers_N is None else _from_numbers(column.name, numbers_N)
    if len(np.unique(labels.ids_N)) < 2:
        raise UserError(
            f"label column {column.name!r} holds one class only: {next(iter(column))!r}",
            "nothing can be learned from one class; check the column and the rows that were read",
            key=LABEL_KEY,
        )
    return labels


def _from_names(column: pd.Series[Any]) -> ClassLabels:
    names, ids_N = np.unique(column.astype(str).to_numpy(dtype=object), return_inverse=True)
    return ClassLabels(ids_N.astype(np.int64), tuple(map(str, names)))


def refuse_missing(column: pd.Series[Any]) -> None:
    """Refuse a label column with empty rows.

    Raises:
        UserError: there are some; it names the first.
    """
    missing = np.flatnonzero(missing_labels(column))
    if len(missing):
        raise UserError(
            f"label column {column.name!r} is empty in {len(missing)} rows, first in row {missing[0]}",
            "drop these rows, or give them a label",
            key=LABEL_KEY,
        )


def is_missing(value: Any) -> bool:
    """Return whether one entry of a list or column is missing."""
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def missing_labels(column: pd.Series[Any]) -> NDArray[np.bool_]:
    """Return which rows of a label column are empty."""
    return np.asarray((column.isna() | (column.astype(str).str.strip() == "")).to_numpy(), dtype=bool)


def as_numbers(column: pd.Series[Any]) -> NDArray[np.float64] | None:
    """Return a label column as numbers, None when it holds names; text that is a number everywhere counts."""
    if not pd.api.types.is_numeric_dtype(column):
        text = column.astype(str).str.strip()
        if not text.str.fullmatch(r"[+-]?\d+(\.\d*)?").all():
            return None
        column = text
    return column.to_numpy().astype(np.float64)


def as_targets(column: pd.Series[Any]) -> NDArray[np.float32]:
    """Return a column as numbers: NaN where there is none, infinite what float32 cannot hold."""
    is_numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column)
    values = column if is_numeric else column.astype(str).str.strip()
    with np.errstate(over="ignore"):
        made: NDArray[Any] = pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        return made.astype(np.float32)


def _from_numbers(name: Any, values_N: NDArray[np.float64]) -> ClassLabels:
    fractions = values_N[~np.isfinite(values_N) | (values_N != np.floor(values_N))]
    if len(fractions):
        raise UserError(
            f"label column {name!r} holds values that are no class, such as {fractions[0]:g}",
            "sequence-classification needs one class per row: integers from 0, or names",
            key=LABEL_KEY,
        )
    low, high = int(values_N.min()), int(values_N.max())
    if low not in {0, high}:
        raise UserError(
            f"label column {name!r} holds ids {low} to {high}; class ids count from 0",
            f"subtract {low} from every label" if low > 0 else "remove or relabel the negative rows",
            key=LABEL_KEY,
        )
    return ClassLabels(values_N.astype(np.int64), tuple(str(i) for i in range(high + 1)))
