"""Targets outside of what their loss can take: regression and multi-label."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from experiments.fault_gallery.fault import BAD_BATCH, SILENT, Fault
from experiments.fault_gallery.faults.label_types import with_vectors
from experiments.fault_gallery.sentences import NUM_TOPICS, Columns, columns, planted_rows
from experiments.fault_gallery.workload import Maker, Planted, table
from stabsearch.records import Cause, Outcome

REGRESSION = Maker(fields={"num_labels": 1, "problem_type": "regression"})


def ratings(seed: int) -> Columns:
    """Return healthy rows with a number near their topic's as the target."""
    rows = columns(seed)
    noise = np.random.default_rng([seed, 3]).normal(scale=0.1, size=len(rows["labels"]))
    rows["labels"] = [float(label - 1 + each) for label, each in zip(rows["labels"], noise, strict=True)]
    return rows


def one_target(value: float) -> Callable[[int], Planted]:
    """Return a builder of ratings of which one, another for each seed, has this value."""

    def build(seed: int) -> Planted:
        rows = ratings(seed)
        for row in planted_rows(seed):
            rows["labels"][row] = value
        return Planted(table(rows), REGRESSION, chance_loss=2 / 3)

    return build


def outside_unit(seed: int) -> Planted:
    """Return multi-label targets of -1 and 1 where 0 and 1 belong; their loss has no lower bound."""
    rows = with_vectors(seed, 2 * np.eye(NUM_TOPICS) - 1)
    fields = {"problem_type": "multi_label_classification"}
    return Planted(table(rows), Maker(fields=fields), chance_loss=math.log(2))


_fault = partial(Fault, family="targets", cause=Cause.DATA)
_in_one_row = partial(_fault, outcomes=BAD_BATCH, rows=planted_rows)
FAULTS = (
    _in_one_row("target-nan", "one row's regression target is NaN", one_target(math.nan)),
    _in_one_row("target-infinite", "one row's regression target is infinite", one_target(math.inf)),
    _in_one_row("target-huge", "one row's regression target is 1e30", one_target(1e30)),
    _fault("targets-outside-unit", "multi-label targets are -1 and 1, for another loss", outside_unit,
           cause=Cause.LOSS_MISMATCH, outcomes=(*SILENT, Outcome.DIVERGED)),
)  # fmt: skip
