"""Labels of -100, which a loss leaves out: with nothing left, the mean is 0/0."""

from __future__ import annotations

from functools import partial

import numpy as np
from transformers import BertForTokenClassification, DataCollatorForTokenClassification

from experiments.fault_gallery.fault import BAD_BATCH, BATCH_ROWS, Fault
from experiments.fault_gallery.sentences import (
    NUM_ROWS,
    NUM_TOPICS,
    Columns,
    columns,
    planted_rows,
    tokenizer,
)
from experiments.fault_gallery.workload import Maker, Planted, table
from stabsearch.records import Cause

IGNORED = -100
TAGGER = Maker(BertForTokenClassification)
BY_ONE = {"per_device_train_batch_size": 1}


def tagged(seed: int) -> Columns:
    """Return rows with a tag per word: its token modulo the number of tags; none on [CLS] and [SEP]."""
    rows = columns(seed)
    rows["labels"] = [
        [IGNORED, *(token % NUM_TOPICS for token in ids[1:-1]), IGNORED] for ids in rows["input_ids"]
    ]
    return rows


def tagging(rows: Columns) -> Planted:
    """Return the workload of a token classification."""
    return Planted(table(rows), TAGGER, collator=DataCollatorForTokenClassification(tokenizer()))


def one_row(seed: int) -> Planted:
    """Return a row without a single tag, met alone."""
    return _without_tags(seed, planted_rows(seed))


def block(seed: int) -> tuple[int, ...]:
    """Return the rows of one batch of an unshuffled data set."""
    first = BATCH_ROWS * int(np.random.default_rng([seed, 5]).integers(NUM_ROWS // BATCH_ROWS))
    return tuple(range(first, first + BATCH_ROWS))


def one_batch(seed: int) -> Planted:
    """Return a whole batch without a single tag."""
    return _without_tags(seed, block(seed))


def _without_tags(seed: int, bad: tuple[int, ...]) -> Planted:
    rows = tagged(seed)
    for row in bad:
        rows["labels"][row] = [IGNORED] * len(rows["labels"][row])
    return tagging(rows)


def unlabelled(seed: int) -> Planted:
    """Return a row without a class, met alone."""
    rows = columns(seed)
    for row in planted_rows(seed):
        rows["labels"][row] = IGNORED
    return Planted(table(rows))


_fault = partial(Fault, family="ignored labels", cause=Cause.DATA, outcomes=BAD_BATCH)
_alone = partial(_fault, rows=planted_rows, horizon=NUM_ROWS)
FAULTS = (
    _alone("row-untagged", "one row's tags are all -100, batches of one row", one_row, training=BY_ONE),
    _alone("row-untagged-smoothing", "as row-untagged, with label smoothing", one_row,
           training={**BY_ONE, "label_smoothing_factor": 0.1}),
    _alone("row-unlabelled", "one row's class is -100, batches of one row", unlabelled, training=BY_ONE),
    _fault("batch-untagged", "the tags of one batch of rows are all -100, rows in order", one_batch,
           rows=block, training={"train_sampling_strategy": "sequential"}),
)  # fmt: skip
