"""Confirmation rounds, read off the trials alone, so that a resumed sweep goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stabsearch.records import Context, Stage, TrialPlan, TrialRecord


@dataclass(frozen=True)
class Round:
    """Trials with fresh seeds on one candidate."""

    context: Context
    learning_rate: float
    survived: int
    failed: int
    running: int

    @property
    def is_open(self) -> bool:
        """True while no trial of the round has failed."""
        return self.failed == 0


def last_round(records: Sequence[TrialRecord], unfinished: Sequence[TrialPlan]) -> Round | None:
    """Return the latest round of confirmation, None when none was begun.

    Trials that prove nothing (a lost worker, say) count neither way.
    """
    plans = [r.plan for r in records if r.plan.stage is Stage.CONFIRM]
    plans += [plan for plan in unfinished if plan.stage is Stage.CONFIRM]
    if not plans:
        return None
    latest = max(plans, key=lambda plan: plan.number)
    mine = [r for r in records if r.plan.stage is Stage.CONFIRM and _same(r.plan, latest)]
    return Round(
        latest.context,
        latest.learning_rate,
        survived=sum(r.outcome.is_evidence and not r.outcome.is_failure for r in mine),
        failed=sum(r.outcome.is_failure for r in mine),
        running=sum(plan.stage is Stage.CONFIRM and _same(plan, latest) for plan in unfinished),
    )


def _same(a: TrialPlan, b: TrialPlan) -> bool:
    return a.context == b.context and a.learning_rate == b.learning_rate
