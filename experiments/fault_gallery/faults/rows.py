"""One row with something in it that breaks the forward: weights, features, tokens, lengths."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from transformers import RobertaConfig, RobertaForSequenceClassification

from experiments.fault_gallery import models, sentences
from experiments.fault_gallery.fault import BAD_BATCH, RAISED, SILENT, Fault
from experiments.fault_gallery.sentences import MAX_POSITIONS, VOCABULARY_SIZE, columns, planted_rows
from experiments.fault_gallery.trainers import WeightedTrainer
from experiments.fault_gallery.workload import Maker, Planted, table
from stabsearch.records import Cause

KEEP = {"remove_unused_columns": False}


def nan_weight(seed: int) -> Planted:
    """Return rows of weight 1, one of them NaN."""
    rows = columns(seed)
    rows["weight"] = [1.0] * len(rows["labels"])
    for row in planted_rows(seed):
        rows["weight"][row] = math.nan
    return Planted(table(rows), trainer_class=WeightedTrainer)


def nan_feature(seed: int) -> Planted:
    """Return rows with a few numbers beside the text, one of them NaN."""
    rows = columns(seed)
    rows["features"] = features(seed).tolist()
    for row in planted_rows(seed):
        rows["features"][row][seed % models.NUM_FEATURES] = math.nan
    return Planted(table(rows), Maker(models.WithFeatures))


def features(seed: int) -> Any:
    """Return standard normal features, rows by features."""
    return np.random.default_rng([seed, 4]).normal(size=(sentences.NUM_ROWS, models.NUM_FEATURES))


def one_token(token: int) -> Callable[[int], Planted]:
    """Return a builder of rows of which one holds this token."""

    def build(seed: int) -> Planted:
        rows = columns(seed)
        for row in planted_rows(seed):
            rows["input_ids"][row][1] = token
        return Planted(table(rows))

    return build


def with_long_row(seed: int, length: int) -> Any:
    """Return rows of which one has this many tokens."""
    rows = columns(seed)
    for row in planted_rows(seed):
        topic = rows["labels"][row]
        start = len(sentences.SPECIAL) + sentences.NUM_FILLERS + topic * sentences.WORDS_PER_TOPIC
        rows["input_ids"][row] = [sentences.CLS, *[start] * (length - 2), sentences.SEP]
        rows["attention_mask"][row] = [1] * length
    return table(rows)


def too_long(seed: int) -> Planted:
    """Return rows of which one is longer than the model has positions."""
    return Planted(with_long_row(seed, MAX_POSITIONS + 1))


def too_long_for_roberta(seed: int) -> Planted:
    """Return a row of as many tokens as the configuration has positions: Roberta uses two less."""
    fields = {"pad_token_id": sentences.PAD, "max_position_embeddings": MAX_POSITIONS}
    maker = Maker(RobertaForSequenceClassification, RobertaConfig, fields)
    return Planted(with_long_row(seed, MAX_POSITIONS), maker)


def fully_masked(maker: Maker) -> Callable[[int], Planted]:
    """Return a builder of rows of which one has every token hidden."""

    def build(seed: int) -> Planted:
        rows = columns(seed)
        for row in planted_rows(seed):
            rows["attention_mask"][row] = [0] * len(rows["input_ids"][row])
        return Planted(table(rows), maker)

    return build


_fault = partial(Fault, family="rows", cause=Cause.DATA, rows=planted_rows)
FAULTS = (
    _fault("weight-nan", "one row's sample weight is NaN", nan_weight, outcomes=BAD_BATCH, training=KEEP),
    _fault("feature-nan", "one of one row's features is NaN", nan_feature, outcomes=BAD_BATCH),
    _fault("token-outside", "one row holds a token that the embedding has no row for",
           one_token(VOCABULARY_SIZE), outcomes=RAISED),
    _fault("token-negative", "one row holds token -1", one_token(-1), outcomes=RAISED),
    _fault("row-too-long", "one row is longer than the model has positions", too_long, outcomes=RAISED),
    _fault("row-too-long-roberta", "one row is as long as Roberta's position table, two of which are taken",
           too_long_for_roberta, outcomes=RAISED),
    _fault("row-fully-masked", "one row is all padding, and the model masks with minus infinity",
           fully_masked(Maker(models.InfiniteMask)), outcomes=BAD_BATCH),
    _fault("row-hidden", "one row is all padding, and the model does not mind: it is noise, silently",
           fully_masked(Maker()), outcomes=SILENT),
)  # fmt: skip
