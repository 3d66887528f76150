"""Healthy in fp32, infinite in fp16: at the first batch, or once training has moved the weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from experiments.fault_gallery import models
from experiments.fault_gallery.fault import BROKEN, Fault
from experiments.fault_gallery.sentences import columns
from experiments.fault_gallery.trainers import OwnRateTrainer
from experiments.fault_gallery.workload import Maker, Planted, table
from stabsearch.records import Cause, Outcome

HOT = 3000.0  # chosen: products of two hot layers pass 65504, and the norm after them is used to it
LARGEST = 14.0  # log of the largest quantity; exp(11.1) is all that fp16 holds


def hot_feed_forward(model: PreTrainedModel) -> None:
    """Scale both layers of the feed-forward block; the layer norm behind them hides it in fp32."""
    layer = model.bert.encoder.layer[0]
    layer.intermediate.dense.weight.mul_(HOT)
    layer.output.dense.weight.mul_(HOT)


def hot_attention(model: PreTrainedModel) -> None:
    """Scale queries and keys; softmax is as sure of itself as it can be, which is no fault in fp32."""
    attention = model.bert.encoder.layer[0].attention.self
    attention.query.weight.mul_(HOT)
    attention.key.weight.mul_(HOT)


def with_model(change: Callable[[PreTrainedModel], None], **fields: Any) -> Callable[[int], Planted]:
    """Return a builder of healthy rows and a model that was changed."""
    return lambda seed: Planted(table(columns(seed)), Maker(change=change, fields=fields))


def billion_mask(seed: int) -> Planted:
    """Return healthy rows, and a model that masks padding with -1e9."""
    return Planted(table(columns(seed)), Maker(models.BillionMask))


def quantities(seed: int) -> Planted:
    """Return targets that fp16 cannot hold; fresh weights predict 1, and training gets there."""
    rows = columns(seed)
    noise = np.random.default_rng([seed, 6]).normal(scale=0.2, size=len(rows["labels"]))
    logs = [LARGEST - label + each for label, each in zip(rows["labels"], noise, strict=True)]
    rows["labels"] = np.exp(logs).tolist()
    maker = Maker(models.ExponentialHead, fields={"num_labels": 1})
    return Planted(table(rows), maker, chance_loss=LARGEST)


def half_checkpoint(model: PreTrainedModel) -> None:
    """Keep the weights as many checkpoints are kept."""
    model.half()


def own_rate(seed: int) -> Planted:
    """Return healthy rows, and a Trainer that takes a learning rate of its own."""
    return Planted(table(columns(seed)), trainer_class=OwnRateTrainer)


_at_once = partial(
    Fault, family="precision", cause=Cause.PRECISION_AT_INIT, outcomes=BROKEN, precisions=("fp16",)
)
_not_applied = partial(
    Fault, family="settings", cause=Cause.SETTINGS_NOT_APPLIED, outcomes=(Outcome.CRASHED,)
)
FAULTS = (
    _at_once("fp16-hot-feed-forward", "feed-forward weights 3000 times as large",
             with_model(hot_feed_forward)),
    _at_once("fp16-hot-attention", "query and key weights 3000 times as large",
             with_model(hot_attention, attn_implementation="eager")),
    _at_once("fp16-billion-mask", "padding is masked with -1e9, which fp16 does not have", billion_mask),
    _at_once("fp16-large-quantities", "predictions grow past 65504 as the model learns", quantities,
             cause=Cause.PRECISION_AFTER_DRIFT, learning_rate=0.1, horizon=40),
    _not_applied("half-checkpoint", "the model is loaded in half precision", with_model(half_checkpoint),
                 precisions=("fp32", "bf16")),
    _not_applied("own-learning-rate", "the Trainer makes an optimizer with another learning rate", own_rate),
)  # fmt: skip
