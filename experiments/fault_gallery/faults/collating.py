"""Healthy rows, spoilt where they are put together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from experiments.fault_gallery import collators
from experiments.fault_gallery.fault import RAISED, SILENT, Fault
from experiments.fault_gallery.faults.ignored import TAGGER, tagged
from experiments.fault_gallery.sentences import columns
from experiments.fault_gallery.workload import Planted, table
from stabsearch.records import Cause


def with_collator(kind: Callable[[], Any]) -> Callable[[int], Planted]:
    """Return a builder of healthy rows with this collator."""
    return lambda seed: Planted(table(columns(seed)), collator=kind())


def transposed(seed: int) -> Planted:
    """Return tagged rows whose tags are handed out by position and row."""
    return Planted(table(tagged(seed)), TAGGER, collator=collators.Transposed())


def two_tasks(seed: int) -> Planted:
    """Return classes in one half of the rows and tags in the other."""
    rows, tags = columns(seed), tagged(seed)["labels"]
    labels = [tags[i] if i % 2 else [label] for i, label in enumerate(rows["labels"])]
    return Planted(table({**rows, "labels": labels}))


_fault = partial(Fault, family="collator", cause=Cause.DATA)
FAULTS = (
    _fault("collator-label-short", "the collator loses the label of the last row",
           with_collator(collators.OneLabelShort), outcomes=RAISED),
    _fault("collator-no-labels", "the collator drops the labels", with_collator(collators.NoLabels),
           outcomes=RAISED),
    _fault("collator-lists", "the collator hands out lists instead of tensors",
           with_collator(collators.Lists), outcomes=RAISED),
    _fault("collator-transposed", "the collator transposes the tags", transposed, outcomes=SILENT),
    _fault("mask-zero", "the attention mask is all zero", with_collator(collators.AllHidden),
           outcomes=SILENT),
    _fault("mask-inverted", "the attention mask shows the padding and hides the text",
           with_collator(collators.InvertedMask), outcomes=SILENT),
    _fault("two-tasks", "one data set with the labels of two tasks", two_tasks, outcomes=RAISED),
)  # fmt: skip
