"""Bridge trials: longer ones, seen at the horizon of the others and beyond it."""

from __future__ import annotations

import math
from dataclasses import replace

from round_samples import (
    BRIDGE_HORIZON,
    HORIZON,
    REQUIRED,
    RULES,
    bridge,
    confirming,
    fitted,
    plan_of,
    searched,
    terms_of,
)

from stabsearch.errors import ExitCode
from stabsearch.frontier import Verdict
from stabsearch.frontier.bridges import at_base_horizon, seen_until
from stabsearch.frontier.conclude import conclude
from stabsearch.frontier.labels import relabel
from stabsearch.frontier.rounds import last_round
from stabsearch.records import Outcome, Stage, TrialRecord
from stabsearch.testing.records import record_of

TERMS = terms_of(bridge_trials=3, bridge_horizon=BRIDGE_HORIZON)


def bridged(*broke_at: int | None) -> list[TrialRecord]:
    """A passed confirmation at 1e-3 and one bridge trial per step given."""
    records = confirming(searched(), 1e-3, REQUIRED)
    first = len(records)
    return relabel([*records, *(bridge(first + i, 1e-3, step) for i, step in enumerate(broke_at))], RULES)


def frontier_of(records: list[TrialRecord]):  # type: ignore[no-untyped-def]
    return fitted(at_base_horizon(records, RULES))


def test_a_bridge_that_broke_later_had_survived_the_horizon() -> None:
    """At the horizon of the others nothing was bad yet, and nothing later is left in its record."""
    seen = seen_until(bridge(0, 1e-3, broke_at=HORIZON + 1), HORIZON)
    assert (seen.outcome, seen.first_bad_step, seen.steps) == (Outcome.STABLE, None, HORIZON)
    assert seen.plan.horizon == HORIZON
    assert max(seen.trace.steps) == HORIZON
    assert len(seen.trace.losses) == len(seen.trace.grad_norms) == HORIZON


def test_a_bridge_that_broke_within_the_horizon_is_a_failure() -> None:
    """As is one of which nobody knows when it broke."""
    within = bridge(0, 1e-3, broke_at=HORIZON)
    assert seen_until(within, HORIZON).outcome is Outcome.NONFINITE
    assert seen_until(replace(within, first_bad_step=None), HORIZON).outcome is Outcome.NONFINITE


def test_a_loss_at_a_later_horizon_is_none_at_this_one() -> None:
    """Held-out rows are looked at once, at the end: a loss after more steps compares with no other."""
    longer = replace(bridge(0, 1e-3, broke_at=None), eval_loss=0.5)
    assert math.isnan(seen_until(longer, HORIZON).eval_loss)


def test_what_proves_nothing_proves_nothing_at_any_horizon() -> None:
    """A lost bridge trial is no survivor."""
    lost = record_of(plan_of(0, 1e-3, Stage.CONFIRM, horizon=BRIDGE_HORIZON), Outcome.LOST)
    assert seen_until(lost, HORIZON).outcome is Outcome.LOST


def test_late_failures_leave_the_frontier_as_it_is() -> None:
    """The frontier speaks of the horizon that all trials share."""
    survived, broke = frontier_of(bridged(None, None, None)), frontier_of(bridged(150, 300, None))
    assert broke.table.equals(survived.table)
    assert (
        frontier_of(bridged(50, None, None)).table["num_failed"].sum()
        == 1 + survived.table["num_failed"].sum()
    )


def test_without_bridges_records_stay_as_they_are() -> None:
    """Nothing is labelled twice."""
    records = relabel(confirming(searched(), 1e-3, 2), RULES)
    assert all(a is b for a, b in zip(at_base_horizon(records, RULES), records, strict=True))


def test_a_late_collapse_is_seen_though_every_bridge_collapsed() -> None:
    """The shorter trials had learned by their end: the longer ones should have, too."""
    records = bridged(None, None)
    curve = records[0].trace.losses
    back = [*curve, *[1.4] * (BRIDGE_HORIZON - HORIZON)]
    collapsed = [
        replace(r, trace=replace(r.trace, losses=tuple(back))) if r.plan.horizon > HORIZON else r
        for r in records
    ]
    whole = relabel(collapsed, RULES)
    assert [r.outcome for r in whole[-2:]] == [Outcome.COLLAPSED] * 2
    assert [r.outcome for r in at_base_horizon(whole, RULES)[-2:]] == [Outcome.STABLE] * 2


def test_bridges_belong_to_the_round_of_their_candidate() -> None:
    """They are no fresh seeds of it: each is counted on its own."""
    running = plan_of(99, 1e-3, Stage.CONFIRM, horizon=BRIDGE_HORIZON)
    latest = last_round(bridged(None, 300), [running])
    assert latest is not None
    assert (latest.survived, latest.failed, latest.running) == (REQUIRED, 0, 0)
    assert (latest.bridged, latest.broke_later, latest.bridging) == (1, 1, 1)


def test_bridges_that_hold_are_told() -> None:
    """The claim stays that of the horizon."""
    answer = conclude(bridged(None, None, None), frontier_of(bridged(None, None, None)), TERMS)
    assert answer.verdict is Verdict.CONFIRMED
    assert "fail within 100 steps" in answer.sentence
    assert "3 of 3 bridge trials survived to step 400." in answer.sentence


def test_a_bridge_that_breaks_later_leaves_the_answer_unconfirmed() -> None:
    """Never silently: verdict and wording say from where on."""
    records = bridged(None, 300, None)
    answer = conclude(records, frontier_of(records), TERMS)
    assert answer.verdict is Verdict.UNCONFIRMED
    assert answer.verdict.exit_code is ExitCode.ANSWER
    assert answer.sentence.startswith("Unconfirmed beyond step 100")
    assert "1 of 3 bridge trials broke between step 100 and 400." in answer.sentence
    assert answer.confirmation is not None
    assert (answer.confirmation.bridge_failed, answer.confirmation.bridge_survived) == (1, 2)


def test_a_bridge_that_breaks_within_the_horizon_fails_its_round() -> None:
    """It is evidence like any other: the candidate is not recommended."""
    records = bridged(50)
    latest = last_round(records, ())
    assert latest is not None
    assert (latest.failed, latest.broke_later, latest.bridged) == (1, 0, 0)
    answer = conclude(records, frontier_of(records), TERMS)
    assert answer.verdict is Verdict.UNCONFIRMED
    assert answer.recommendation is not None
    assert answer.recommendation.learning_rate < 1e-3


def test_late_failures_are_told_under_a_stricter_risk_too() -> None:
    """Where the seeds are too few to confirm, the bridges still broke."""
    records = bridged(300)
    strict = replace(terms_of(required=45), max_failure_probability=0.3)
    answer = conclude(records, frontier_of(records), strict)
    assert "1 of 1 bridge trial broke" in answer.sentence
