"""Records of trials that never ran, with loss curves that fit their outcome."""

from __future__ import annotations

import math
from collections.abc import Callable

from stabsearch.records import Cause, Context, Outcome, StepTrace, TrialPlan, TrialRecord

START, LEARNED, BROKEN = 1.4, 0.3, 6.0
"""Losses in nats per example: before training, after learning, after breaking; chance is 1.386."""
CHANCE = math.log(4)


def record_of(plan: TrialPlan, outcome: Outcome = Outcome.STABLE) -> TrialRecord:
    """Return the record of a plan that ended this way; labelling it among its peers agrees.

    >>> from stabsearch.records import Stage
    >>> plan = TrialPlan(0, Stage.SEARCH, 1e-3, 0, 1.0, "fp32", 1, 2, horizon=12)
    >>> record_of(plan, Outcome.NONFINITE).trace.losses[-1]
    nan
    """
    if outcome in {Outcome.OOM, Outcome.CRASHED, Outcome.LOST, Outcome.INTERRUPTED}:
        return TrialRecord(plan, outcome, cause=Cause.UNKNOWN, message=f"it was {outcome}")
    losses = _losses(plan.horizon, outcome)
    cause = {Outcome.STABLE: None, Outcome.DATA_FAULT: Cause.DATA}.get(outcome, Cause.LEARNING_RATE)
    return TrialRecord(
        plan,
        outcome,
        cause=cause,
        first_bad_step=None if outcome is Outcome.STABLE else plan.horizon,
        steps=plan.horizon,
        trace=StepTrace.thinned(losses, [1.0] * len(losses)),
        chance_loss=CHANCE,
        message=f"it was {outcome}",
    )


def breaks_above(boundary: float | Callable[[Context], float]) -> Callable[[TrialPlan], TrialRecord]:
    """Return trials that survive and learn up to a learning rate, and become NaN above it."""

    def play(plan: TrialPlan) -> TrialRecord:
        limit = boundary(plan.context) if callable(boundary) else boundary
        return record_of(plan, Outcome.NONFINITE if plan.learning_rate > limit else Outcome.STABLE)

    return play


def _losses(steps: int, outcome: Outcome) -> list[float]:
    if outcome is Outcome.STABLE:
        return [START + (LEARNED - START) * step / (steps - 1 or 1) for step in range(steps)]
    whole = [START + (BROKEN - START) * step / (steps - 1 or 1) for step in range(steps)]
    if outcome in {Outcome.NONFINITE, Outcome.DATA_FAULT}:
        whole[-1] = math.nan
    return whole
