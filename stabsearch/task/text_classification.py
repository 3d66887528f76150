"""Sequence classification: one label per text, cross-entropy loss.

The chance loss is the entropy of the class marginals, nats per text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers import AutoModelForSequenceClassification

from stabsearch.task.labels import class_labels
from stabsearch.task.models import load_tokenizer, model_maker
from stabsearch.task.padding import TextPadding
from stabsearch.task.rows import TaskTable, column, read_rows, token_rows, tokenised_texts
from stabsearch.task.workload import RowWorkload

if TYPE_CHECKING:
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
    tokens = tokenised_texts(tokenizer, frame, text_columns(task), task.max_length)
    return RowWorkload(
        rows=token_rows(tokens, labels.ids_N),
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
    )
