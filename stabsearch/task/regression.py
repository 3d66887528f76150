"""A number, or several, per text: squared error.

The chance loss is the variance of the numbers, a mean over the targets: what it costs to always answer
with their mean. Shape letters: N rows, K targets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import AutoModelForSequenceClassification

from stabsearch.errors import UserError
from stabsearch.task.held_out import before, held_out_rows
from stabsearch.task.labels import LABEL_KEY, as_targets, refuse_missing
from stabsearch.task.list_columns import refuse
from stabsearch.task.models import load_tokenizer, model_maker
from stabsearch.task.padding import TextPadding
from stabsearch.task.rows import TaskTable, TokenRows, column, read_rows, token_rows, tokenised_texts
from stabsearch.task.text_classification import text_columns
from stabsearch.task.workload import RowWorkload

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from stabsearch.config import RegressionTask


def _columns(task: RegressionTask) -> tuple[str, ...]:
    return (task.label,) if isinstance(task.label, str) else task.label


def read(task: RegressionTask) -> TaskTable:
    """Return the training table and the columns that the task names; makes nothing of them.

    Raises:
        UserError: the data cannot be read, or has no such column; the key says which.
    """
    frame = read_rows(task.data)
    named = text_columns(task)
    for key, name in named.items():
        column(frame, name, key)
    for name in _columns(task):
        column(frame, name, "label")
    return TaskTable(frame, named, _columns(task), "numbers")


def build(task: RegressionTask, table: TaskTable | None = None) -> RowWorkload:
    """Return the workload that a sweep's task describes; reads data, tokenizer and model.

    Args:
        task: the part ``task`` of the sweep.
        table: its training table, where it has been read already.

    Raises:
        UserError: data, columns, numbers, tokenizer or model cannot be used; the key says which.
    """
    frame = (table or read(task)).frame
    targets_NK = np.stack([numbers(column(frame, name, "label")) for name in _columns(task)], axis=1)
    tokenizer = load_tokenizer(task)

    def rows(of: pd.DataFrame, of_NK: NDArray[np.float32]) -> TokenRows:
        tokens = tokenised_texts(tokenizer, of, text_columns(task), task.max_length)
        # one target: a number per row, as Transformers takes it
        return token_rows(tokens, of_NK if of_NK.shape[1] > 1 else of_NK[:, 0])

    def held_out(of: pd.DataFrame) -> TokenRows:
        both = [numbers(before(of, frame, name)) for name in _columns(task)]
        return rows(of, np.stack(both, axis=1)[: len(of)])

    return RowWorkload(
        rows=rows(frame, targets_NK),
        chance_loss=float(targets_NK.var(axis=0, dtype=np.float64).mean()),
        tokenizer=tokenizer,
        collator=TextPadding(tokenizer),
        make_model=model_maker(
            task,
            AutoModelForSequenceClassification,
            num_labels=targets_NK.shape[1],
            problem_type="regression",
        ),
        held_out=held_out_rows(task.data, held_out),
    )


def numbers(targets: pd.Series[Any]) -> NDArray[np.float32]:
    """Return a column as numbers; text that is a number counts: a CSV file knows nothing else.

    Raises:
        UserError: rows are empty or no finite numbers, or all are the same.
    """
    refuse_missing(targets)
    values_N = as_targets(targets)
    refuse(targets, [[value] for value in targets], ~np.isfinite(values_N), "what is no finite number",
           "write a number in every row; where the texts belong to classes, the task is "
           "sequence-classification")  # fmt: skip
    if (values_N == values_N[0]).all():
        raise UserError(
            f"label column {targets.name!r} holds one number only: {values_N[0]:g}",
            "nothing can be learned from one number; check the column and the rows that were read",
            key=LABEL_KEY,
        )
    return values_N
