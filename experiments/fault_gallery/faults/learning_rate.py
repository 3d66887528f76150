"""Healthy data and model, and a learning rate that is too high."""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.fault_gallery import models
from experiments.fault_gallery.fault import BROKEN, SILENT, WORSE, Fault
from experiments.fault_gallery.faults.targets import ratings
from experiments.fault_gallery.sentences import NUM_ROWS, columns
from experiments.fault_gallery.workload import Maker, Planted, table
from stabsearch.records import Cause, Outcome


def healthy(seed: int) -> Planted:
    """Return rows and a model without a fault."""
    return Planted(table(columns(seed)))


def two_layers(seed: int) -> Planted:
    """Return a regression on two linear layers, whose loss can rise a long way and come back."""
    return Planted(table(ratings(seed)), Maker(models.TwoLinearLayers), chance_loss=2 / 3)


CATAPULT: dict[str, Any] = {
    "horizon": 40,
    "max_grad_norm": 0.0,
    "training": {"optim": "sgd", "per_device_train_batch_size": NUM_ROWS},
}
"""Plain descent on all rows at once: what happens is the learning rate's doing."""

_fault = partial(Fault, family="learning rate", cause=Cause.LEARNING_RATE, build=healthy)
FAULTS = (
    _fault("rate-1e20", "learning rate 1e20: overflow at the second step", outcomes=BROKEN,
           learning_rate=1e20),
    _fault("rate-1e8", "learning rate 1e8", outcomes=WORSE, learning_rate=1e8),
    _fault("rate-1e8-unclipped", "learning rate 1e8, no clipping", outcomes=WORSE, learning_rate=1e8,
           max_grad_norm=0.0),
    _fault("rate-diverges", "learning rate 1: finite, and far above its start", outcomes=(Outcome.DIVERGED,),
           learning_rate=1.0, horizon=40),
    _fault("rate-collapses", "learning rate 0.1: finite, and no better than chance",
           outcomes=(*SILENT, Outcome.DIVERGED), learning_rate=0.1, horizon=40),
    _fault("rate-past-catapult", "the loss rises as in a catapult, and does not come back", build=two_layers,
           outcomes=WORSE, learning_rate=60.0, **CATAPULT),
)  # fmt: skip
