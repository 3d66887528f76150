"""Confirmation rounds, read off the trials alone, so that a resumed sweep goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stabsearch.frontier.bridges import at_base_horizon, base_horizon, is_bridge
from stabsearch.records import Context, OutcomeRules, Stage, TrialPlan, TrialRecord


@dataclass(frozen=True)
class Round:
    """Trials with fresh seeds on one candidate."""

    context: Context
    learning_rate: float
    """The candidate's."""
    tested: float
    """Where its fresh seeds run: above ``learning_rate`` in a stress test."""
    first: int
    """Number of its first trial."""
    survived: int
    """Fresh seeds that reached the horizon, bridge trials not counted."""
    failed: int
    """Trials that broke within the horizon, bridge trials included."""
    running: int
    """Fresh seeds in flight."""
    bridged: int = 0
    """Bridge trials that survived past the horizon to their own."""
    broke_later: int = 0
    """Bridge trials that broke past the horizon."""
    bridging: int = 0
    """Bridge trials in flight."""

    @property
    def is_open(self) -> bool:
        """True while no trial of the round has failed."""
        return self.failed == 0

    @property
    def is_stressed(self) -> bool:
        """True when the fresh seeds run above the learning rate they vouch for."""
        return self.tested > self.learning_rate


def rounds(
    records: Sequence[TrialRecord], unfinished: Sequence[TrialPlan] = (), rules: OutcomeRules | None = None
) -> list[Round]:
    """Return every round of confirmation, that of the latest trial last.

    Trials that prove nothing (a lost worker, say) count neither way.

    Args:
        records: every finished trial, labelled.
        unfinished: plans in flight.
        rules: thresholds for labels, which bridge trials need at two horizons.
    """
    plans = [*(record.plan for record in records), *unfinished]
    horizon = base_horizon(plans)
    seen = {r.plan.number: r for r in at_base_horizon(records, rules or OutcomeRules())}
    grouped: dict[tuple[Context, float], list[TrialPlan]] = {}
    for plan in sorted(plans, key=lambda plan: plan.number):
        if plan.stage is Stage.CONFIRM:
            grouped.setdefault((plan.context, vouched(plan)), []).append(plan)
    ended = {record.plan.number: record for record in records}
    in_order = sorted(grouped.values(), key=lambda of_round: of_round[-1].number)
    return [_round(of_round, ended, seen, horizon) for of_round in in_order]


def last_round(
    records: Sequence[TrialRecord], unfinished: Sequence[TrialPlan], rules: OutcomeRules | None = None
) -> Round | None:
    """Return the latest round of confirmation, None when none was begun."""
    found = rounds(records, unfinished, rules)
    return found[-1] if found else None


def vouched(plan: TrialPlan) -> float:
    """Return the learning rate that a confirmation trial speaks for."""
    return plan.learning_rate if plan.confirms is None else plan.confirms


def _round(
    plans: Sequence[TrialPlan], ended: dict[int, TrialRecord], seen: dict[int, TrialRecord], horizon: int
) -> Round:
    """Return the round of these plans; ``ended`` holds the whole records, ``seen`` those at the horizon."""
    bridges = [plan.number for plan in plans if is_bridge(plan, horizon)]
    seeds = [plan.number for plan in plans if plan.number not in bridges]
    broken = {plan.number for plan in plans if plan.number in seen and seen[plan.number].outcome.is_failure}
    past = [ended[number] for number in bridges if number in ended and number not in broken]
    return Round(
        plans[0].context,
        vouched(plans[0]),
        tested=max(plan.learning_rate for plan in plans),
        first=plans[0].number,
        survived=sum(_survived(seen[number]) for number in seeds if number in seen),
        failed=len(broken),
        running=sum(number not in ended for number in seeds),
        bridged=sum(_survived(record) for record in past),
        broke_later=sum(record.outcome.is_failure for record in past),
        bridging=sum(number not in ended for number in bridges),
    )


def _survived(record: TrialRecord) -> bool:
    return record.outcome.is_evidence and not record.outcome.is_failure
