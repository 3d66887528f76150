"""Learning-rate ramps before the search: where it begins to look, and never evidence."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace

from campaign_samples import Watched, sweep_of
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from stabsearch.config import Sweep
from stabsearch.frontier.hints import RAMP_OFFSET
from stabsearch.records import Context, Outcome, Stage, StepTrace, TrialPlan, TrialRecord
from stabsearch.records.ramp import ramp_learning_rate
from stabsearch.testing.records import breaks_above
from stabsearch.testing.scripted import ScriptedDriver

BOUNDARY = 1e-2
RISES_AT = BOUNDARY * 10**RAMP_OFFSET
PLAY = breaks_above(BOUNDARY)


def play(plan: TrialPlan) -> TrialRecord | None:
    """Return what a trial shows; the loss of a ramp rises a while after it has passed the boundary."""
    if plan.stage is not Stage.RAMP:
        return PLAY(plan)
    losses = [
        1.0 if ramp_learning_rate(plan, step) < RISES_AT else 9.0 for step in range(1, plan.horizon + 1)
    ]
    trace = StepTrace.thinned(losses, [1.0] * len(losses))
    return TrialRecord(
        plan, Outcome.DIVERGED, steps=plan.horizon, first_bad_step=plan.horizon, trace=trace, chance_loss=1.0
    )


def ramping(trials: int = 14) -> Sweep:
    return sweep_of(trials=trials, sampler="frontier", search={"prior": {"ramp": True}})


def run(sweep: Sweep, storage: InMemoryStorage, stop_after: int | None = None) -> Watched:
    watched = Watched(sweep, storage, required=0)
    driver = ScriptedDriver(play, interrupt_after=stop_after)
    with contextlib.suppress(KeyboardInterrupt):
        driver.run(watched.campaign)
    return watched


def test_every_precision_is_ramped_once_before_the_search() -> None:
    """After the canary; from the low to the high end, without warmup, with the first clip norm."""
    sweep = ramping()
    plans = [record.plan for record in run(sweep, InMemoryStorage()).study.raw_records]
    ramps = [plan for plan in plans if plan.stage is Stage.RAMP]
    assert [plan.stage for plan in plans[:4]] == [Stage.CANARY, Stage.RAMP, Stage.RAMP, Stage.SEARCH]
    assert {plan.precision for plan in ramps} == set(sweep.search.precision)
    assert len(ramps) == 2
    rates, clip = sweep.search.learning_rate, sweep.search.max_grad_norm[0]
    assert {(plan.ramp_from, plan.learning_rate) for plan in ramps} == {(rates.low, rates.high)}
    assert {plan.context for plan in ramps} == {Context(plan.precision, 0, clip) for plan in ramps}


def test_a_sweep_that_was_stopped_between_ramps_goes_on_with_the_other_one() -> None:
    """What runs next follows from the study alone."""
    storage = InMemoryStorage()
    run(ramping(), storage, stop_after=2)
    plans = [record.plan for record in run(ramping(), storage).study.raw_records]
    assert [plan.stage for plan in plans].count(Stage.RAMP) == 2
    assert len(plans) == 14


def test_ramps_are_no_evidence() -> None:
    """Optuna is told that they prove nothing, and the frontier counts them nowhere."""
    watched = run(ramping(), InMemoryStorage())
    ramps = [r.plan.number for r in watched.study.raw_records if r.plan.stage is Stage.RAMP]
    states = {number: watched.study._study.trials[number].state for number in ramps}
    assert set(states.values()) == {TrialState.FAIL}
    frontier = watched.campaign.frontier()
    searched = [r for r in watched.study.raw_records if r.plan.stage is Stage.SEARCH]
    canaries = [
        r for r in watched.study.raw_records if r.plan.context in {t.context for t in frontier.trials}
    ]
    counted = sum(trials.num_trials for trials in frontier.trials)
    assert counted <= len([r for r in canaries if r.plan.stage is not Stage.RAMP])
    assert counted >= len(searched)


def test_the_search_begins_where_the_ramps_point() -> None:
    """The first trial after them lies near the boundary, not in the middle of the range."""
    watched = run(ramping(), InMemoryStorage())
    first = next(r.plan for r in watched.study.raw_records if r.plan.stage is Stage.SEARCH)
    hints = watched.campaign.frontier().hints
    assert [hint.precision for hint in hints] == ["fp32", "bf16"]
    assert all(abs(hint.mean - math.log10(BOUNDARY)) < 0.3 for hint in hints)
    plain = run(replace_prior(ramping()), InMemoryStorage())
    unhinted = next(r.plan for r in plain.study.raw_records if r.plan.stage is Stage.SEARCH)
    distance = [abs(math.log10(plan.learning_rate / BOUNDARY)) for plan in (first, unhinted)]
    assert distance[0] < distance[1]


def test_a_ramp_that_never_ran_is_not_repeated_for_ever() -> None:
    """It is one trial of the budget, whatever came of it."""
    storage = InMemoryStorage()
    watched = Watched(ramping(), storage, required=0)
    crash = lambda plan: (  # noqa: E731
        replace(PLAY(plan), outcome=Outcome.CRASHED) if plan.stage is Stage.RAMP else PLAY(plan)
    )
    ScriptedDriver(crash).run(watched.campaign)
    stages = [record.plan.stage for record in watched.study.raw_records]
    assert stages.count(Stage.RAMP) == 2
    assert stages.count(Stage.SEARCH) == 11


def replace_prior(sweep: Sweep) -> Sweep:
    """Return the sweep without ramps."""
    search = sweep.search.model_copy(update={"prior": sweep.search.prior.model_copy(update={"ramp": False})})
    return sweep.model_copy(update={"search": search})
