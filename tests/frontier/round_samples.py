"""Records of a search and of rounds of confirmation, for the tests of conclusions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from stabsearch.frontier import Frontier, confirmation_trials, fit
from stabsearch.frontier.confirming import Confirming
from stabsearch.frontier.labels import relabel
from stabsearch.frontier.terms import Terms
from stabsearch.records import Context, Outcome, OutcomeRules, Stage, StepTrace, TrialPlan, TrialRecord
from stabsearch.records.frame import trials_frame
from stabsearch.testing.records import record_of

FP32, BF16 = Context("fp32", 0, 1.0), Context("bf16", 0, 1.0)
RANGE = (1e-5, 1.0)
HORIZON, BRIDGE_HORIZON = 100, 400
RULES = OutcomeRules()
REQUIRED = confirmation_trials(0.1, 0.9)


def plan_of(
    number: int, rate: float, stage: Stage = Stage.SEARCH, context: Context = FP32, **changes: Any
) -> TrialPlan:
    """Return a plan in a context."""
    settings: dict[str, Any] = context.settings
    plan = TrialPlan(number, stage, rate, model_seed=number, data_seed=0, horizon=HORIZON, **settings)
    return replace(plan, **changes)


def searched(context: Context = FP32, first: int = 0, boundary: float = 3e-3) -> list[TrialRecord]:
    """Return a search that brackets a boundary well."""
    shares = [0.03, 0.1, 0.3, 0.5, 0.7, 1.6, 2, 3, 30]
    return [
        record_of(
            plan_of(first + i, boundary * share, context=context),
            Outcome.STABLE if share < 1 else Outcome.NONFINITE,
        )
        for i, share in enumerate(shares)
    ]


def confirming(
    records: Sequence[TrialRecord], rate: float, survived: int, failed: int = 0, **changes: Any
) -> list[TrialRecord]:
    """Return the records with a round of confirmation behind them."""
    first = 1 + max(record.plan.number for record in records)
    outcomes = [Outcome.STABLE] * survived + [Outcome.NONFINITE] * failed
    return [
        *records,
        *(
            record_of(plan_of(first + i, rate, Stage.CONFIRM, **changes), outcome)
            for i, outcome in enumerate(outcomes)
        ),
    ]


def bridge(number: int, rate: float, broke_at: int | None = None) -> TrialRecord:
    """Return a bridge trial that learned as the others do, and survived, or broke at a step."""
    short = record_of(plan_of(number, rate, Stage.CONFIRM))
    losses = [*short.trace.losses, *[short.trace.losses[-1]] * (BRIDGE_HORIZON - HORIZON)]
    trace = StepTrace.thinned(losses, [1.0] * len(losses))
    plan = replace(short.plan, horizon=BRIDGE_HORIZON)
    whole = replace(short, plan=plan, trace=trace, steps=BRIDGE_HORIZON)
    if broke_at is None:
        return whole
    return replace(
        whole,
        outcome=Outcome.NONFINITE,
        first_bad_step=broke_at,
        steps=broke_at,
        message="it broke",
    )


def fitted(records: Sequence[TrialRecord], contexts: Sequence[Context] = (FP32,)) -> Frontier:
    """Return the frontier of records without bridge trials."""
    return fit(trials_frame(relabel(records, RULES)), 0.1, RANGE, 0.9, contexts)


def terms_of(**how: Any) -> Terms:
    """Return terms with this way to confirm."""
    return Terms(0.1, 0.9, Confirming(**{"required": REQUIRED, **how}), HORIZON, max_steps=1000)
