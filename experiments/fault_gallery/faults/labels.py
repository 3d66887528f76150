"""Class labels that no loss can take, in all rows or in one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from experiments.fault_gallery.fault import RAISED, SILENT, Fault
from experiments.fault_gallery.sentences import NUM_TOPICS, columns, planted_rows
from experiments.fault_gallery.workload import Planted, table
from stabsearch.records import Cause


def one_label(value: int) -> Callable[[int], Planted]:
    """Return a builder of rows of which one, another for each seed, has this label."""

    def build(seed: int) -> Planted:
        rows = columns(seed)
        for row in planted_rows(seed):
            rows["labels"][row] = value
        return Planted(table(rows))

    return build


def counted_from_one(seed: int) -> Planted:
    """Return topics 1 to 3 for a head of three outputs."""
    rows = columns(seed)
    rows["labels"] = [label + 1 for label in rows["labels"]]
    return Planted(table(rows))


def one_class(seed: int) -> Planted:
    """Return rows that all have the same label."""
    rows = columns(seed)
    topic = int(np.random.default_rng(seed).integers(NUM_TOPICS))
    rows["labels"] = [topic] * len(rows["labels"])
    return Planted(table(rows), chance_loss=0.0)


_fault = partial(Fault, family="labels", cause=Cause.DATA)
FAULTS = (
    _fault("label-out-of-range", "one row has label 3, the model has outputs 0 to 2", one_label(NUM_TOPICS),
           outcomes=RAISED, rows=planted_rows),
    _fault("label-negative", "one row has label -1", one_label(-1), outcomes=RAISED, rows=planted_rows),
    _fault("labels-from-one", "labels are 1 to 3, the model has outputs 0 to 2", counted_from_one,
           outcomes=RAISED),
    _fault("one-class", "all rows have the same label", one_class, outcomes=SILENT),
)  # fmt: skip
