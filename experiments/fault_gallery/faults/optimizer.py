"""A learning rate that is fine, and optimizer settings that are not."""

from __future__ import annotations

from functools import partial

from experiments.fault_gallery.fault import WORSE, Fault
from experiments.fault_gallery.faults.learning_rate import healthy
from experiments.fault_gallery.faults.targets import REGRESSION, ratings
from experiments.fault_gallery.sentences import columns
from experiments.fault_gallery.trainers import UncorrectedTrainer
from experiments.fault_gallery.workload import Planted, table
from stabsearch.records import Cause


def uncorrected(seed: int) -> Planted:
    """Return healthy rows, and a Trainer whose Adam does not correct its running means."""
    return Planted(table(columns(seed)), trainer_class=UncorrectedTrainer)


def regression(seed: int) -> Planted:
    """Return a healthy regression."""
    return Planted(table(ratings(seed)), REGRESSION, chance_loss=2 / 3)


_fault = partial(Fault, family="optimizer", cause=Cause.OPTIMIZER_SETTINGS, outcomes=WORSE, horizon=40)
FAULTS = (
    _fault("adam-epsilon-zero", "adam_epsilon 0: words that a batch lacks are moved by 0/0", healthy,
           training={"adam_epsilon": 0.0}),
    _fault("adam-beta2-zero", "adam_beta2 0, adam_epsilon 1e-15: division by gradients near zero", healthy,
           training={"adam_beta2": 0.0, "adam_epsilon": 1e-15}),
    _fault("adam-uncorrected", "Adam without bias correction, beta2 0.99999: first steps 300 times as large",
           uncorrected, training={"adam_beta1": 0.0, "adam_beta2": 0.99999}),
    _fault("decay-huge", "weight decay times learning rate is 3: weights change sign and grow", healthy,
           training={"weight_decay": 1000.0}),
    _fault("sgd-momentum", "SGD with momentum 0.99 at a rate for momentum 0", regression, learning_rate=0.1,
           max_grad_norm=0.0, training={"optim": "sgd", "optim_args": "momentum=0.99"}),
)  # fmt: skip
