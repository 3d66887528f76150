"""Labels of a type or shape that makes the model choose a loss they were not made for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from datasets import Value
from transformers import default_data_collator

from experiments.fault_gallery.fault import BATCH_ROWS, RAISED, SILENT, Fault
from experiments.fault_gallery.sentences import NUM_TOPICS, Columns, columns, topics
from experiments.fault_gallery.workload import Maker, Planted, table, tensors
from stabsearch.records import Cause

INTEGERS = {"problem_type": "multi_label_classification"}


def as_tensors(dtype: torch.dtype, num_labels: int = NUM_TOPICS) -> Callable[[int], Planted]:
    """Return a builder of topics as tensors of one type."""

    def build(seed: int) -> Planted:
        rows = columns(seed)
        rows["labels"] = [label % num_labels for label in rows["labels"]]
        maker = Maker(fields={"num_labels": num_labels})
        return Planted(tensors(rows, dtype), maker, collator=default_data_collator)

    return build


def as_floats(seed: int) -> Planted:
    """Return class ids that a table has turned into floats."""
    return Planted(table(columns(seed), labels=Value("float32")))


def one_hot(kind: type, **fields: Any) -> Callable[[int], Planted]:
    """Return a builder of topics as vectors of zeros and a one."""

    def build(seed: int) -> Planted:
        return Planted(table(with_vectors(seed, np.eye(NUM_TOPICS).astype(kind))), Maker(fields=fields))

    return build


def multi_hot_integers(seed: int) -> Planted:
    """Return several topics per row as integers, for a loss that wants floats."""
    several = np.minimum(np.eye(NUM_TOPICS) + np.roll(np.eye(NUM_TOPICS), 1, axis=1), 1).astype(int)
    return Planted(table(with_vectors(seed, several)), Maker(fields=INTEGERS))


def with_vectors(seed: int, vector_of_topic: Any) -> Columns:
    """Return rows whose label is the vector of their topic."""
    vectors = [vector_of_topic[topic].tolist() for topic in topics(seed)]
    return {**columns(seed), "labels": vectors}


def one_output(seed: int) -> Planted:
    """Return class ids for a model with a single output, which is taken for a regression."""
    return Planted(table(columns(seed)), Maker(fields={"num_labels": 1}))


def broadcast(seed: int) -> Planted:
    """Return one target per row for a model with as many outputs as a batch has rows."""
    rows = table(columns(seed), labels=Value("float32"))
    fields = {"num_labels": BATCH_ROWS, "problem_type": "regression"}
    return Planted(rows, Maker(fields=fields), chance_loss=2 / 3)


def other_task(seed: int) -> Planted:
    """Return class ids for a model that was set up for regression."""
    return Planted(table(columns(seed)), Maker(fields={"problem_type": "regression"}))


_fault = partial(Fault, family="label types", cause=Cause.LOSS_MISMATCH)
FAULTS = (
    _fault("float-ids", "class ids became floats in a table", as_floats, outcomes=RAISED),
    _fault("bool-ids", "two classes as booleans", as_tensors(torch.bool, 2), outcomes=RAISED),
    _fault("uint8-ids", "class ids as bytes", as_tensors(torch.uint8), outcomes=RAISED),
    _fault("int32-ids", "class ids as 32-bit integers", as_tensors(torch.int32), outcomes=RAISED),
    _fault("one-hot-integers", "one-hot vectors into the cross-entropy of ids", one_hot(int),
           outcomes=RAISED),
    _fault("multi-hot-integers", "multi-label targets as integers", multi_hot_integers, outcomes=RAISED),
    _fault("one-hot-floats", "one-hot floats, no problem_type: trains multi-label, silently", one_hot(float),
           outcomes=SILENT),
    _fault("ids-one-output", "class ids, one output: trains a regression, silently", one_output,
           outcomes=SILENT),
    _fault("targets-broadcast", "as many outputs as rows in a batch: targets are broadcast, silently",
           broadcast, outcomes=SILENT),
    _fault("other-problem-type", "class ids, problem_type regression", other_task, outcomes=RAISED),
)  # fmt: skip
