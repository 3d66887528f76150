"""How a trial can end, why, and what that proves."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How a trial ended: one of ten names, each with what it proves about stability."""

    STABLE = "stable"
    """Reached its horizon with finite losses; right-censored evidence of stability."""
    NONFINITE = "nonfinite"
    """A loss, gradient or weight became NaN or infinite because of the hyperparameters."""
    DIVERGED = "diverged"
    """Finite, but far above where it started and not coming back."""
    COLLAPSED = "collapsed"
    """Finite, but useless at the horizon although other trials had learned by then."""
    SCALE_FLOOR = "scale_floor"
    """fp16 loss scale at its floor, or so many skipped updates that it is not training."""
    DATA_FAULT = "data_fault"
    """The batch is bad whatever the hyperparameters are; proves nothing."""
    OOM = "oom"
    """Out of memory; proves nothing."""
    CRASHED = "crashed"
    """The training code raised, or the trial did not run as planned; proves nothing."""
    LOST = "lost"
    """The worker or its node went away more often than it is retried; proves nothing."""
    INTERRUPTED = "interrupted"
    """Ended by the user before its horizon; proves nothing."""

    @property
    def is_failure(self) -> bool:
        """True when the hyperparameters broke the trial: evidence against them."""
        return self in _FAILURES

    @property
    def is_evidence(self) -> bool:
        """True when the trial says something about stability, for or against."""
        return self is Outcome.STABLE or self.is_failure


_FAILURES = frozenset({Outcome.NONFINITE, Outcome.DIVERGED, Outcome.COLLAPSED, Outcome.SCALE_FLOOR})


class Grade(StrEnum):
    """How well a stable trial trained."""

    CLEAN = "clean"
    """Learned as well as gentler trials did, as far as it can be told."""
    DEGRADED = "degraded"
    """Learned, but clearly less than gentler trials did, or with loss spikes."""
    UNTRAINED = "untrained"
    """Has not learned yet: its loss creeps down and was never above its start."""


class Cause(StrEnum):
    """What broke a trial, as far as the evidence at hand shows."""

    DATA = "data"
    """Rows, labels or tokens: bad on the initial weights in fp32, where other rows of the batch are not."""
    LOSS_MISMATCH = "loss_mismatch"
    """The loss does not fit the labels: it is bad although the model's outputs are finite."""
    LEARNING_RATE = "learning_rate"
    """Too high a learning rate: the step is bad only on weights that the training made."""
    PRECISION_AT_INIT = "precision_at_init"
    """The precision cannot hold the model: good in fp32 and bad as planned, on the initial weights."""
    PRECISION_AFTER_DRIFT = "precision_after_drift"
    """Training moved the model out of what the precision can hold: good in fp32 on the very same weights."""
    INITIALISATION = "initialisation"
    """The initial weights: bad in fp32 before any training, whatever the rows."""
    OPTIMIZER_SETTINGS = "optimizer_settings"
    """The optimizer's own options, such as epsilon or betas: finite gradients became weights that are not."""
    HARDWARE_OR_NONDETERMINISM = "hardware_or_nondeterminism"
    """The same step, run again as it was, is not bad again."""
    SETTINGS_NOT_APPLIED = "settings_not_applied"
    """The live trainer did not run with the settings of its plan."""
    UNKNOWN = "unknown"
    """The evidence at hand names none."""

    @property
    def is_of_settings(self) -> bool:
        """True when it is a hyperparameter: a failure with another known cause is no evidence."""
        return self in _OF_SETTINGS


_OF_SETTINGS = frozenset(
    {Cause.LEARNING_RATE, Cause.PRECISION_AT_INIT, Cause.PRECISION_AFTER_DRIFT, Cause.OPTIMIZER_SETTINGS}
)


class Stage(StrEnum):
    """What a trial was run for."""

    CANARY = "canary"
    """The conservative baseline, first of all: when it fails, the hyperparameters are not to blame."""
    SEARCH = "search"
    """Looks for the frontier, where it teaches most."""
    CONFIRM = "confirm"
    """The candidate again, on a fresh seed."""
    RAMP = "ramp"
    """A learning rate that rises over the horizon: says where to look first, and is never evidence."""
