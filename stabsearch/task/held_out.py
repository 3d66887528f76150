"""Held-out rows: those that a trial is evaluated on, made as the training rows were."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stabsearch.errors import KeyPath, UserError
from stabsearch.task.rows import TokenRows, column, read_file, read_hub

if TYPE_CHECKING:
    from stabsearch.config import HubData, LocalData


def held_out_rows(data: LocalData | HubData, make: Callable[[pd.DataFrame], TokenRows]) -> TokenRows | None:
    """Return the rows that trials are evaluated on; None where there are none.

    Args:
        data: of the task.
        make: table -> rows, as the training rows were made.

    Raises:
        UserError: the data cannot be read, or no such rows be made of them; its key is that of these data.
    """
    name = "eval" if hasattr(data, "eval") else "eval_split"
    if getattr(data, name) is None or not data.eval_rows:
        return None
    with _said_of(("task", "data", name)):
        frame = _frame(data)
        if frame.empty:
            raise UserError("they are none", "leave the key out, and trials evaluate nothing")
        return make(_spread(frame, data.eval_rows))


def _frame(data: Any) -> pd.DataFrame:
    if hasattr(data, "eval"):
        return read_file(Path(data.eval), "eval")
    return read_hub(data.model_copy(update={"split": data.eval_split}))


def _spread(frame: pd.DataFrame, num_rows: int) -> pd.DataFrame:
    """Return at most so many rows: data are often sorted, and the first ones alike."""
    kept = np.linspace(0, len(frame) - 1, min(num_rows, len(frame))).round().astype(int)
    return frame.iloc[kept].reset_index(drop=True)


@contextmanager
def _said_of(key: KeyPath) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        message = error.message.replace("training data", "data")
        raise UserError(f"held-out rows: {message}", error.hint, key=key) from None


def before(held_out: pd.DataFrame, training: pd.DataFrame, name: str) -> pd.Series[Any]:
    """Return a column of held-out rows with that of the training rows behind it.

    Labels of both are made at once, so that they get the same numbers; what is wrong with a held-out row is
    said by its own number.
    """
    columns = column(held_out, name, "label"), training[name]
    return pd.concat(columns, ignore_index=True)


def refuse_unknown(of_both: Sequence[str], known: Sequence[str]) -> None:
    """Raise when held-out rows have labels that no training row has: a model has no output for them.

    Raises:
        UserError: it names the first ones.
    """
    new = sorted(set(of_both) - set(known))
    if new:
        raise UserError(f"{', '.join(map(repr, new[:3]))} is a label of no training row",
                        "drop the rows that have it, or use other data")  # fmt: skip
