"""Sequence classification: one label per text, cross-entropy loss.

The chance loss is the entropy of the class marginals, nats per text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import AutoModelForSequenceClassification

from stabsearch.task.held_out import before, held_out_rows, refuse_unknown
from stabsearch.task.labels import ClassLabels, class_labels
from stabsearch.task.models import load_tokenizer, model_maker
from stabsearch.task.padding import TextPadding
from stabsearch.task.rows import TaskTable, TokenRows, column, read_rows, token_rows, tokenised_texts
from stabsearch.task.workload import RowWorkload

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from stabsearch.config import SequenceClassificationTask
    from stabsearch.config.tasks.heads import LabelledTextTask


def text_columns(task: LabelledTextTask) -> dict[str, str]:
    """Return the columns of texts by the key that names them."""
    return {"text": task.text, **({"text_pair": task.text_pair} if task.text_pair else {})}


def read(task: SequenceClassificationTask) -> TaskTable:
    """Return the training table and the columns that the task names; makes nothing of them.

    Raises:
        UserError: the data cannot be read, or has no such column; the key says which.
    """
    frame = read_rows(task.data)
    named = text_columns(task)
    for key, name in {**named, "label": task.label}.items():
        column(frame, name, key)
    return TaskTable(frame, named, (task.label,), "classes")


def build(task: SequenceClassificationTask, table: TaskTable | None = None) -> RowWorkload:
    """Return the workload that a sweep's task describes; reads data, tokenizer and model.

    Args:
        task: the part ``task`` of the sweep.
        table: its training table, where it has been read already.

    Raises:
        UserError: data, columns, labels, tokenizer or model cannot be used; the key says which.
    """
    frame = (table or read(task)).frame
    labels = class_labels(column(frame, task.label, "label"))
    tokenizer = load_tokenizer(task)

    def rows(of: pd.DataFrame, classes_N: NDArray[np.int64]) -> TokenRows:
        return token_rows(tokenised_texts(tokenizer, of, text_columns(task), task.max_length), classes_N)

    def held_out(of: pd.DataFrame) -> TokenRows:
        return rows(of, _known(before(of, frame, task.label), labels)[: len(of)])

    return RowWorkload(
        rows=rows(frame, labels.ids_N),
        chance_loss=labels.chance_loss,
        tokenizer=tokenizer,
        collator=TextPadding(tokenizer),
        make_model=model_maker(
            task,
            AutoModelForSequenceClassification,
            num_labels=labels.num_classes,
            # said, not guessed: a checkpoint's own kind of problem would choose another loss
            problem_type="single_label_classification",
        ),
        held_out=held_out_rows(task.data, held_out),
    )


def _known(of_both: pd.Series[Any], training: ClassLabels) -> NDArray[np.int64]:
    """Return the classes of held-out and training rows, as the training rows number them."""
    made = class_labels(of_both)
    refuse_unknown(made.names, training.names)
    return made.ids_N
