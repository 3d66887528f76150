"""Losses written by hand that cannot take what the model gives them."""

from __future__ import annotations

from functools import partial

import numpy as np

from experiments.fault_gallery.fault import BAD_AT_ONCE, Fault
from experiments.fault_gallery.sentences import columns
from experiments.fault_gallery.trainers import LogOfPredictionTrainer, RootOfZeroTrainer
from experiments.fault_gallery.workload import Maker, Planted, table
from stabsearch.records import Cause


def root_of_zero(seed: int) -> Planted:
    """Return healthy rows, and a loss whose gradient is NaN though it is finite itself."""
    return Planted(table(columns(seed)), trainer_class=RootOfZeroTrainer)


def log_of_prediction(seed: int) -> Planted:
    """Return positive targets, and a loss that takes the log of predictions around zero."""
    rows = columns(seed)
    noise = np.random.default_rng([seed, 7]).normal(scale=0.1, size=len(rows["labels"]))
    rows["labels"] = [float(np.exp(label + each)) for label, each in zip(rows["labels"], noise, strict=True)]
    maker = Maker(fields={"num_labels": 1})
    return Planted(table(rows), maker, 2 / 3, trainer_class=LogOfPredictionTrainer)


_fault = partial(Fault, family="loss", cause=Cause.LOSS_MISMATCH, outcomes=BAD_AT_ONCE, horizon=40)
FAULTS = (
    _fault("loss-root-of-zero", "a distance of zero under a square root: infinite slope", root_of_zero),
    _fault("loss-log-of-prediction", "the log of a prediction that may be negative", log_of_prediction),
)  # fmt: skip
