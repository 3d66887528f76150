"""When a sweep's search ends, how its candidates are confirmed, and that a resumed one decides alike."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from campaign_samples import HORIZON, Watched, sweep_of
from optuna.storages import InMemoryStorage

from stabsearch.config import Sweep
from stabsearch.frontier.rounds import rounds
from stabsearch.records import Outcome, Stage, StepTrace, TrialPlan, TrialRecord
from stabsearch.testing.records import breaks_above, record_of
from stabsearch.testing.scripted import ScriptedDriver

BOUNDARY = 1e-2
LONG = 4 * HORIZON
PLAY = breaks_above(BOUNDARY)


def tolerant(trials: int = 80, tolerance: float | None = 0.3, **search: Any) -> Sweep:
    """A sweep over one context by the frontier sampler that ends when it knows enough."""
    how = {"precision": ["fp32"], "tolerance": tolerance, **search}
    return sweep_of(trials=trials, sampler="frontier", search=how)


def play_long(plan: TrialPlan, broke_at: int | None = None) -> TrialRecord:
    """Return what a trial shows that learns within the usual horizon, and may break later."""
    record = PLAY(replace(plan, horizon=HORIZON))
    losses = [*record.trace.losses, *[record.trace.losses[-1]] * (plan.horizon - HORIZON)]
    trace = StepTrace.thinned(losses, [1.0] * len(losses))
    record = replace(record, plan=plan, trace=trace, steps=plan.horizon)
    if plan.horizon == HORIZON or broke_at is None:
        return record
    return replace(record, outcome=Outcome.NONFINITE, first_bad_step=broke_at, steps=broke_at)


def fail_confirmation(plan: TrialPlan) -> TrialRecord:
    """Return what every candidate's first fresh seed comes to: it breaks."""
    return record_of(plan, Outcome.NONFINITE) if plan.stage is Stage.CONFIRM else PLAY(plan)


def plans_of(watched: Watched, stage: Stage) -> list[TrialPlan]:
    return [record.plan for record in watched.study.raw_records if record.plan.stage is stage]


def run(
    sweep: Sweep, play: Callable[[TrialPlan], TrialRecord | None] = PLAY, kill_every: int | None = None,
    concurrency: int = 1, required: int = 3, **confirming: Any,
) -> Watched:  # fmt: skip
    """Run a sweep to its end, killed again and again after so many trials."""
    storage = InMemoryStorage()
    while True:
        watched = Watched(sweep, storage, required, **confirming)
        driver = ScriptedDriver(play, concurrency=concurrency, interrupt_after=kill_every)
        with contextlib.suppress(KeyboardInterrupt):
            driver.run(watched.campaign)
            return watched


def test_a_search_within_its_tolerance_ends_and_the_confirmation_begins() -> None:
    """The trials saved are not spent."""
    watched, whole = run(tolerant()), run(tolerant(tolerance=None))
    assert len(plans_of(watched, Stage.SEARCH)) < len(plans_of(whole, Stage.SEARCH)) == 80 - 3 - 1
    assert len(plans_of(watched, Stage.CONFIRM)) == 3
    assert len(watched.study.records) < 50
    assert not watched.campaign.has_work()


def test_a_tighter_tolerance_takes_more_trials() -> None:
    """And goes on from where the looser one stopped: a sweep may be sharpened later."""
    storage = InMemoryStorage()
    loose = Watched(tolerant(), storage, required=0)
    ScriptedDriver(PLAY).run(loose.campaign)
    before = len(loose.study.records)
    tight = Watched(tolerant(tolerance=0.2), storage, required=0)
    ScriptedDriver(PLAY).run(tight.campaign)
    assert before < len(tight.study.records) < 80


def test_without_a_confirmation_the_tolerance_ends_the_sweep() -> None:
    """Nothing is left to do."""
    watched = run(tolerant(), required=0)
    assert {plan.stage for plan in (r.plan for r in watched.study.raw_records)} == {
        Stage.CANARY,
        Stage.SEARCH,
    }
    assert len(watched.study.records) < 50


@pytest.mark.parametrize("kill_every", [1, 4])
@pytest.mark.parametrize(
    ("confirming", "play"),
    [
        ({}, PLAY),
        ({"kind": "stress", "required": 22}, PLAY),
        ({"bridge_trials": 2, "bridge_horizon": LONG}, lambda plan: play_long(plan, broke_at=LONG - 1)),
        ({"max_rounds": 2}, fail_confirmation),
    ],
    ids=["plain", "stress", "bridges", "failing rounds"],
)  # fmt: skip
def test_a_sweep_killed_again_and_again_decides_what_an_undisturbed_one_does(
    confirming: dict[str, Any], play: Callable[[TrialPlan], TrialRecord], kill_every: int
) -> None:
    """Where the search ends, the candidates, the rates tested and the horizons follow from the study."""
    undisturbed = run(tolerant(), play, **confirming)
    killed = run(tolerant(), play, kill_every, **confirming)
    assert [r.plan for r in killed.study.raw_records] == [r.plan for r in undisturbed.study.raw_records]


def test_nothing_stable_anywhere_ends_the_sweep_early() -> None:
    """The budget is kept: what would be confirmed is not there, and more failures teach nothing."""
    play = lambda plan: record_of(plan, Outcome.STABLE if plan.stage is Stage.CANARY else Outcome.NONFINITE)  # noqa: E731
    watched = run(tolerant(trials=60, tolerance=None, precision=["bf16"]), play, concurrency=3)
    assert len(watched.study.records) < 30
    assert plans_of(watched, Stage.CONFIRM) == []


def test_a_search_without_a_candidate_goes_on_whatever_is_known() -> None:
    """Survivors that learn nothing: the frontier is known, and there is no answer yet."""

    def play(plan: TrialPlan) -> TrialRecord:
        flat = record_of(plan)
        trace = replace(flat.trace, losses=tuple([1.4] * plan.horizon))
        return PLAY(plan) if PLAY(plan).outcome.is_failure else replace(flat, trace=trace)

    watched, driver = Watched(tolerant(trials=30, tolerance=1.0)), ScriptedDriver(play, concurrency=3)
    driver.run(watched.campaign)
    assert len(watched.study.records) == 30
    assert all(len(beside) == 3 for beside in driver.beside[3:25])


def test_a_sweep_abstains_after_so_many_candidates() -> None:
    """Each one broke: the rest of the budget would go the same way."""
    watched = run(tolerant(trials=100), fail_confirmation, max_rounds=3)
    broken = plans_of(watched, Stage.CONFIRM)
    assert len(broken) == 3
    assert len(watched.study.records) < 90
    rates = [plan.learning_rate for plan in broken]
    assert rates == sorted(rates, reverse=True)
    assert not watched.campaign.has_work()


def test_a_stress_test_runs_above_the_candidate_with_fewer_seeds() -> None:
    """All at one rate, which the plans say for what: a resumed sweep needs nothing else."""
    watched = run(tolerant(), required=22, kind="stress", stress_margin=0.2)
    plans = plans_of(watched, Stage.CONFIRM)
    best = watched.campaign.frontier().recommend()
    assert best is not None
    last = rounds(watched.study.records)[-1]
    of_last = [plan for plan in plans if plan.confirms == last.learning_rate]
    assert 0 < len(of_last) < 22
    assert last.tested / last.learning_rate == pytest.approx(10**0.2, rel=0.01)
    assert {plan.learning_rate for plan in of_last} == {last.tested}


def test_a_stress_test_that_would_leave_the_range_is_a_plain_one() -> None:
    """Everything is stable to the top: above it nothing is known."""
    watched = run(tolerant(), record_of, required=4, kind="stress", stress_margin=1.0, is_number_given=True)
    plans = plans_of(watched, Stage.CONFIRM)
    assert len(plans) == 4
    assert {plan.confirms for plan in plans} == {None}


def test_bridges_follow_a_passed_confirmation_on_its_configuration() -> None:
    """Never before: a candidate that may fail is not run for four times as long."""
    watched = Watched(tolerant(), required=3, bridge_trials=2, bridge_horizon=LONG)
    driver = ScriptedDriver(play_long, concurrency=4)
    driver.run(watched.campaign)
    plans = plans_of(watched, Stage.CONFIRM)
    assert all(len({plan.horizon for plan in beside}) == 1 for beside in driver.beside)
    assert [plan.horizon for plan in plans] == [HORIZON] * 3 + [LONG] * 2
    assert len({(plan.context, plan.learning_rate) for plan in plans}) == 1


def test_a_bridge_that_breaks_late_tells_the_sampler_of_a_survivor() -> None:
    """The frontier is that of the horizon: no new candidate, and no failure in the table."""
    watched = run(tolerant(), lambda plan: play_long(plan, LONG - 1), bridge_trials=2, bridge_horizon=LONG)
    assert len(rounds(watched.study.records)) == 1
    failed = [r for r in watched.study.records if r.outcome.is_failure and r.plan.stage is Stage.CONFIRM]
    assert len(failed) == 2
    survivors = [t for t in watched.study._study.get_trials() if t.number in {r.plan.number for r in failed}]
    assert [trial.value for trial in survivors] == [1.0, 1.0]
    searched = [r for r in watched.study.records if r.plan.stage is Stage.SEARCH]
    assert watched.campaign.frontier().table["num_failed"].sum() == sum(
        r.outcome.is_failure for r in searched
    )


def test_a_bridge_that_breaks_early_sends_the_sweep_to_another_candidate() -> None:
    """Within the horizon a failure is a failure, however long the trial was meant to run."""
    broke: list[int] = []

    def play(plan: TrialPlan) -> TrialRecord:
        if plan.horizon > HORIZON and not broke:
            broke.append(plan.number)
            return play_long(plan, HORIZON)
        return play_long(plan)

    watched = run(tolerant(), play, bridge_trials=1, bridge_horizon=LONG)
    first, second = rounds(watched.study.records)
    assert (first.failed, second.failed) == (1, 0)
    assert second.learning_rate < first.learning_rate
