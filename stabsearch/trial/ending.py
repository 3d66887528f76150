"""How a trial ended: settings that were not applied first, then what broke, then what finished."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from stabsearch.records import Cause, Outcome, TrialRecord
from stabsearch.trial.attribution import attribute
from stabsearch.trial.effective import differences

if TYPE_CHECKING:
    from stabsearch.task.base import Workload
    from stabsearch.trial.judge import Finding
    from stabsearch.trial.live import LiveTrial
    from stabsearch.trial.setup import TrialSetup


def decided(record: TrialRecord, live: LiveTrial, workload: Workload, setup: TrialSetup) -> TrialRecord:
    """Return the record of a trial that has trained, with its outcome.

    A trial that did not run as planned is no measurement, whatever it showed.
    """
    if record.effective:
        wrong = differences(record.plan, setup, record.effective, live.learning_rates)
        if wrong:
            return _crashed(record, "; ".join(wrong), Cause.SETTINGS_NOT_APPLIED)
    bad = live.guard.log.bad
    if bad:
        outcome, cause = attribute(live.guard, workload, record.plan, Outcome.NONFINITE)
        return replace(record, outcome=outcome, cause=cause, first_bad_step=bad.step, message=bad.message)
    if live.finding:
        return _found(record, live, workload, live.finding)
    return _finished(record, live)


def _found(record: TrialRecord, live: LiveTrial, workload: Workload, finding: Finding) -> TrialRecord:
    outcome, cause = finding.outcome, Cause.LEARNING_RATE
    if outcome is Outcome.SCALE_FLOOR:
        outcome, cause = attribute(live.guard, workload, record.plan, outcome)
        if cause is Cause.LEARNING_RATE:
            # every gradient is finite with a loss scale of 1: it is the scaling that never settled
            cause = Cause.PRECISION_AFTER_DRIFT
    return replace(record, outcome=outcome, cause=cause, first_bad_step=finding.step, message=finding.message)


def _finished(record: TrialRecord, live: LiveTrial) -> TrialRecord:
    model, horizon = live.guard.trainer.model, record.plan.horizon
    bad = [name for name, p in model.named_parameters() if not bool(torch.isfinite(p).all())]
    if bad:
        message = f"{len(bad)} weight tensors are not finite after the last step, first {bad[0]}"
        return replace(
            record, outcome=Outcome.NONFINITE, cause=Cause.LEARNING_RATE,
            first_bad_step=record.steps, message=message,
        )  # fmt: skip
    if record.steps != horizon:
        return _crashed(record, f"training ended at step {record.steps}, and not at its horizon {horizon}")
    return replace(record, outcome=Outcome.STABLE, message=f"finite for {record.steps} steps")


def _crashed(record: TrialRecord, message: str, cause: Cause = Cause.UNKNOWN) -> TrialRecord:
    return replace(record, outcome=Outcome.CRASHED, cause=cause, message=message)
