"""Bridge trials: confirmation trials that run past the horizon of all others, as both see them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from stabsearch.frontier.kept import Kept
from stabsearch.frontier.labels import relabel
from stabsearch.records import Outcome, OutcomeRules, Stage, TrialPlan, TrialRecord

BRIDGE_FACTOR = 4  # chosen: two octaves; far enough to show a slow failure, a fifth of a confirmation's steps


_IS_CONFIRMING: Kept[TrialRecord, bool] = Kept(lambda record: record.plan.stage is Stage.CONFIRM)


def base_horizon(plans: Sequence[TrialPlan]) -> int:
    """Return the horizon that trials share; bridge trials lie beyond it. 0 without plans."""
    return min((plan.horizon for plan in plans if plan.stage is not Stage.RAMP), default=0)


def is_bridge(plan: TrialPlan, horizon: int) -> bool:
    """Return whether a trial goes on past the horizon of the others."""
    return plan.stage is Stage.CONFIRM and plan.horizon > horizon


def at_base_horizon(records: Sequence[TrialRecord], rules: OutcomeRules) -> list[TrialRecord]:
    """Return the records as they stood at the horizon that all trials share.

    The frontier speaks of failing within that horizon, so a bridge trial counts as what it was
    there: one that broke later is a survivor. Labels that depend on other trials are decided again.
    """
    if True not in _IS_CONFIRMING.of(records):
        return list(records)
    horizon = base_horizon([record.plan for record in records])
    if not any(is_bridge(record.plan, horizon) for record in records):
        return list(records)
    seen = [seen_until(r, horizon) if is_bridge(r.plan, horizon) else r for r in records]
    return relabel(seen, rules)


def seen_until(record: TrialRecord, horizon: int) -> TrialRecord:
    """Return the record that a trial would have left had it stopped at ``horizon``, not yet relabelled.

    A failure whose first bad step is unknown, or lies within the horizon, stays one: also a
    divergence that began before the horizon and was certain only after it.
    """
    shortened = replace(record, plan=replace(record.plan, horizon=horizon), steps=min(record.steps, horizon))
    if not _had_survived(record, horizon):
        return shortened
    message = f"finite for {horizon} steps"
    return replace(
        shortened, outcome=Outcome.STABLE, grade=None, cause=None, first_bad_step=None,
        trace=record.trace.until(horizon),
        message=message, eval_loss=math.nan,
    )  # fmt: skip


def _had_survived(record: TrialRecord, horizon: int) -> bool:
    if record.outcome in {Outcome.STABLE, Outcome.COLLAPSED}:  # relabelling decides which of the two
        return True
    first_bad = record.first_bad_step
    return record.outcome.is_failure and first_bad is not None and first_bad > horizon
