"""Learning-rate ramps: one trial that climbs through the searched range (Smith 2017, LR range test).

A ramp spends a handful of steps at each learning rate, on one seed, and carries what one rate did
to the weights into the next. It says where to look first; it is no evidence for the frontier.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING

from stabsearch.records.outcome import Stage

if TYPE_CHECKING:
    from stabsearch.records.plan import TrialPlan
    from stabsearch.records.record import TrialRecord
    from stabsearch.records.rules import OutcomeRules


def as_ramp(plan: TrialPlan, low: float, high: float) -> TrialPlan:
    """Return the plan as a ramp from ``low`` to ``high``, without warmup.

    Args:
        plan: gives number, precision, clip, seeds and horizon.
        low: learning rate of the first optimizer step.
        high: learning rate of the last one.

    Raises:
        ValueError: there is nothing to climb, or it takes more than one step.
    """
    if not 0 < low < high < math.inf:
        raise ValueError(f"a ramp rises, got low={low:g}, high={high:g}")
    if plan.horizon < 2:
        raise ValueError(f"a ramp takes two steps or more, got a horizon of {plan.horizon}")
    return replace(plan, stage=Stage.RAMP, warmup_steps=0, ramp_from=low, learning_rate=high)


def ramp_learning_rate(plan: TrialPlan, step: int) -> float:
    """Return the learning rate of a ramp's 1-based optimizer step: the same factor from each to the next.

    >>> from stabsearch.records import TrialPlan
    >>> ramp = as_ramp(TrialPlan(0, Stage.SEARCH, 1.0, 0, 1.0, "fp32", 1, 2, horizon=5), 1e-4, 1.0)
    >>> [round(ramp_learning_rate(ramp, step), 9) for step in range(1, 6)]
    [0.0001, 0.001, 0.01, 0.1, 1.0]
    """
    low = _start(plan)
    return low * math.exp(_growth(plan) * (step - 1))


def ramp_step(plan: TrialPlan, learning_rate: float) -> int:
    """Return the 1-based optimizer step whose learning rate is nearest, on a log scale."""
    return 1 + round(math.log(learning_rate / _start(plan)) / _growth(plan))


def broke_at(record: TrialRecord) -> float | None:
    """Return log10 of the learning rate that broke a ramp, None when none did.

    The first bad step *meets* the damage: its loss and its gradients are computed before its own
    update, with weights that the update before it left behind, and the loss scaler skips on the
    same gradients. So it is the rate of the step before that counts. A divergence is judged long
    after it began; its first bad step is where the high stretch began. What was bad at the first
    step, before any update, no learning rate broke.

    Raises:
        ValueError: the record is not a ramp's.
    """
    _start(record.plan)
    first_bad = record.first_bad_step
    if not record.outcome.is_failure or first_bad is None or first_bad < 2:
        return None
    return math.log10(ramp_learning_rate(record.plan, first_bad - 1))


def rose_at(record: TrialRecord, rules: OutcomeRules) -> float | None:
    """Return log10 of the learning rate that lifted a ramp's loss above its start, None when none did.

    Useless comes before broken: a fine-tune stops learning at rates far below those at which its
    loss explodes. Lifted is what ``rules.rise_ratio`` says of the smoothed loss, as for labels; as
    with what breaks, it is the rate of the step before.

    Raises:
        ValueError: the record is not a ramp's.
    """
    _start(record.plan)
    levels = [*record.trace.losses[:1], record.chance_loss]
    ceiling = rules.rise_ratio * max(filter(math.isfinite, levels), default=math.inf)
    past = rules.smoothing
    smooth = accumulate(record.trace.losses, lambda mean, loss: past * mean + (1 - past) * loss)
    for step, loss in zip(record.trace.steps, smooth, strict=True):
        if step > 1 and not loss <= ceiling:  # NaN included
            return math.log10(ramp_learning_rate(record.plan, step - 1))
    return None


def _start(plan: TrialPlan) -> float:
    if plan.ramp_from is None:
        raise ValueError(f"trial {plan.number} is no ramp")
    return plan.ramp_from


def _growth(plan: TrialPlan) -> float:
    """Return how much the logarithm of the learning rate rises per step."""
    return math.log(plan.learning_rate / _start(plan)) / (plan.horizon - 1)
