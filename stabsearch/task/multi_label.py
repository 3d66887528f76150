"""Several labels per text, each there or not: binary cross-entropy.

The chance loss is the entropy of every label's marginal, in nats, as a mean over the labels.
Shape letters: N rows, K labels, T label entries of all rows one after another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from transformers import AutoModelForSequenceClassification

from stabsearch.errors import UserError
from stabsearch.task.held_out import before, held_out_rows
from stabsearch.task.labels import LABEL_KEY, as_targets, is_missing, refuse_missing
from stabsearch.task.list_columns import flat, is_class_id, lists, refuse
from stabsearch.task.models import load_tokenizer, model_maker
from stabsearch.task.padding import TextPadding
from stabsearch.task.rows import TaskTable, TokenRows, column, read_rows, token_rows, tokenised_texts
from stabsearch.task.text_classification import text_columns
from stabsearch.task.workload import RowWorkload

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stabsearch.config import MultiLabelTask

COLUMNS_INSTEAD = "; columns of 0 and 1 are named as a list: label: [one, other]"


@dataclass(frozen=True)
class LabelSets:
    """Which labels each row has."""

    has_NK: NDArray[np.float32]
    """1 where a row has a label, 0 where it has not."""

    @property
    def num_labels(self) -> int:
        """Return how many outputs the model's head needs."""
        return int(self.has_NK.shape[1])

    @property
    def chance_loss(self) -> float:
        """Return the binary cross-entropy of guessing every label by its share, a mean over the labels."""
        share_K = self.has_NK.mean(axis=0, dtype=np.float64)
        seen_K = share_K[(share_K > 0) & (share_K < 1)]  # guessing what is always so costs nothing
        entropy_K = -(seen_K * np.log(seen_K) + (1 - seen_K) * np.log(1 - seen_K))
        return float(entropy_K.sum() / self.num_labels)


def read(task: MultiLabelTask) -> TaskTable:
    """Return the training table and the columns that the task names; makes nothing of them.

    Raises:
        UserError: the data cannot be read, or has no such column; the key says which.
    """
    frame = read_rows(task.data)
    named = text_columns(task)
    for key, name in named.items():
        column(frame, name, key)
    labels = (task.label,) if isinstance(task.label, str) else task.label
    for name in labels:
        column(frame, name, "label")
    return TaskTable(frame, named, labels, "lists")


def build(task: MultiLabelTask, table: TaskTable | None = None) -> RowWorkload:
    """Return the workload that a sweep's task describes; reads data, tokenizer and model.

    Args:
        task: the part ``task`` of the sweep.
        table: its training table, where it has been read already.

    Raises:
        UserError: data, columns, labels, tokenizer or model cannot be used; the key says which.
    """
    frame = (table or read(task)).frame
    labels = label_sets(frame, task.label)
    tokenizer = load_tokenizer(task)

    def rows(of: pd.DataFrame, has_NK: NDArray[np.float32]) -> TokenRows:
        return token_rows(tokenised_texts(tokenizer, of, text_columns(task), task.max_length), has_NK)

    return RowWorkload(
        rows=rows(frame, labels.has_NK),
        chance_loss=labels.chance_loss,
        tokenizer=tokenizer,
        collator=TextPadding(tokenizer),
        make_model=model_maker(
            task,
            AutoModelForSequenceClassification,
            num_labels=labels.num_labels,
            problem_type="multi_label_classification",
        ),
        held_out=held_out_rows(task.data, lambda of: rows(of, _known(of, frame, task.label, labels))),
    )


def _known(
    held_out: pd.DataFrame, training: pd.DataFrame, label: str | tuple[str, ...], labels: LabelSets
) -> NDArray[np.float32]:
    """Return the labels of held-out rows, in the order of the training rows'."""
    names = (label,) if isinstance(label, str) else label
    made = label_sets(pd.DataFrame({name: before(held_out, training, name) for name in names}), label)
    if made.num_labels != labels.num_labels:
        more = made.num_labels - labels.num_labels
        raise UserError(f"they have {more} labels that no training row has", "drop the rows that have them")
    return made.has_NK[: len(held_out)]


def label_sets(frame: pd.DataFrame, label: str | tuple[str, ...]) -> LabelSets:
    """Return the labels of every row of a table.

    Args:
        frame: the table.
        label: a column of lists, or one column of 0 and 1 per label.

    Raises:
        UserError: rows are empty, ragged or no labels, or all rows have the same.
    """
    if isinstance(label, str):
        has_NK = _from_lists(column(frame, label, "label"))
    else:
        has_NK = np.stack([_from_column(column(frame, name, "label")) for name in label], axis=1)
    if not len(has_NK) or (has_NK == has_NK[0]).all():
        raise UserError(
            f"all rows have the same labels, in {label if isinstance(label, str) else ', '.join(label)!r}",
            "nothing can be learned from them; check the column and the rows that were read",
            key=LABEL_KEY,
        )
    return LabelSets(has_NK.astype(np.float32))


def _from_column(labels: pd.Series[Any]) -> NDArray[Any]:
    refuse_missing(labels)
    numbers_N = as_targets(labels)
    is_bad_N = ~np.isin(numbers_N, (0, 1))
    refuse(labels, [[value] for value in labels], is_bad_N, "a value that is neither 0 nor 1",
           "write 1 where a row has the label, 0 where it has not")  # fmt: skip
    return numbers_N


def _from_lists(labels: pd.Series[Any]) -> NDArray[Any]:
    rows = lists(labels, "label", COLUMNS_INSTEAD)
    entries = flat(rows)
    refuse(labels, rows, [is_missing(entry) for entry in entries], "a missing label",
           "drop it, or these rows")  # fmt: skip
    is_name_T = np.array([isinstance(entry, str) for entry in entries], dtype=bool)
    if is_name_T.any():
        refuse(labels, rows, ~is_name_T, "names and, among them, something else",
               "write all labels as names")  # fmt: skip
        return _from_names(rows, sorted(set(entries)))
    refuse(labels, rows, [not is_class_id(entry) for entry in entries], "a value that is no label",
           "write names, integers from 0, or a 0 or 1 per label")  # fmt: skip
    if all(entry in (0, 1) for entry in entries):
        return _from_vectors(labels, rows)
    return _from_ids(labels, rows)


def _from_names(rows: list[list[str]], names: list[str]) -> NDArray[Any]:
    place = {name: k for k, name in enumerate(names)}
    return _marked([[place[name] for name in row] for row in rows], len(names))


def _from_ids(labels: pd.Series[Any], rows: list[list[Any]]) -> NDArray[Any]:
    ids = [[int(entry) for entry in row] for row in rows]
    # of zeros and ones for each label, one wrong number makes ids: a row of it repeats some
    is_repeated = [entry in row[:place] for row in ids for place, entry in enumerate(row)]
    refuse(labels, rows, is_repeated, "a label twice in one row",
           "write each label once, or a 0 or 1 per label and no other number")  # fmt: skip
    return _marked(ids, 1 + max(flat(ids)))


def _marked(rows: list[list[int]], num_labels: int) -> NDArray[Any]:
    has_NK = np.zeros((len(rows), num_labels), dtype=np.float32)
    for row, ids in enumerate(rows):
        has_NK[row, ids] = 1
    return has_NK


def _from_vectors(labels: pd.Series[Any], rows: list[list[Any]]) -> NDArray[Any]:
    length = len(rows[0])
    odd = next((row for row, entries in enumerate(rows) if len(entries) != length), None)
    if odd is not None:
        raise UserError(
            f"label column {labels.name!r} holds {length} zeros and ones in row 0 and {len(rows[odd])} "
            f"in row {odd}",
            "write as many in every row; labels that are ids and no more than 0 and 1 need names",
            key=LABEL_KEY,
        )
    return np.array(rows, dtype=np.float32).reshape(len(rows), length)
