"""Models that are wrong before the first step."""

from __future__ import annotations

from functools import partial

import torch
from transformers import PreTrainedModel

from experiments.fault_gallery.fault import BAD_AT_ONCE, SILENT, WORSE, Fault
from experiments.fault_gallery.faults.precision import with_model
from stabsearch.records import Cause


def nan_weight(model: PreTrainedModel) -> None:
    """Put one NaN into a checkpoint."""
    model.bert.encoder.layer[0].output.dense.weight[3, 5] = torch.nan


def large_head(model: PreTrainedModel) -> None:
    """Start the head 1000 times as large as it should be."""
    model.classifier.weight.mul_(1000)


def huge_embeddings(model: PreTrainedModel) -> None:
    """Start with embeddings whose variance no float holds."""
    model.bert.embeddings.word_embeddings.weight.mul_(1e25)


def garbage_head(model: PreTrainedModel) -> None:
    """Leave the head as memory was found; one bit pattern in ten is a number above 1e30."""
    bits = torch.randint(-(2**31), 2**31, model.classifier.weight.shape, dtype=torch.int64)
    model.classifier.weight.copy_(bits.to(torch.int32).view(torch.float32))


def unchanged(model: PreTrainedModel) -> None:
    """Leave the model as its configuration makes it."""


_fault = partial(Fault, family="initialisation", cause=Cause.INITIALISATION)
FAULTS = (
    _fault("weights-nan", "one weight of the checkpoint is NaN", with_model(nan_weight),
           outcomes=BAD_AT_ONCE),
    _fault("embeddings-huge", "embeddings 1e25 times as large", with_model(huge_embeddings),
           outcomes=BAD_AT_ONCE),
    _fault("head-garbage", "the head was never initialised: any bits that were in memory",
           with_model(garbage_head), outcomes=(*BAD_AT_ONCE, *WORSE, *SILENT)),
    _fault("head-large", "head weights 1000 times as large", with_model(large_head),
           outcomes=(*SILENT, *WORSE)),
    _fault("spread-large", "all weights drawn with 100 times the usual spread",
           with_model(unchanged, initializer_range=5.0), outcomes=(*SILENT, *WORSE)),
)  # fmt: skip
