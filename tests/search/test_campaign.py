"""The order of a sweep, played on scripted drivers: canary, search, confirmation, and every way to stop."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from campaign_samples import Watched, sweep_of
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import InMemoryStorage

from stabsearch.errors import UserError
from stabsearch.records import Outcome, Stage, TrialPlan, TrialRecord
from stabsearch.search.campaign import NODES_PER_TRIAL, RUNS_PER_TRIAL
from stabsearch.testing.records import breaks_above, record_of
from stabsearch.testing.scripted import ScriptedDriver

BOUNDARY = 1e-2


def stages(watched: Watched) -> list[Stage]:
    return [record.plan.stage for record in watched.study.raw_records]


def outcome_for(script: dict[Stage, Outcome]) -> Callable[[TrialPlan], TrialRecord]:
    return lambda plan: record_of(plan, script.get(plan.stage, Outcome.STABLE))


def by_number(script: dict[int, Outcome]) -> Callable[[TrialPlan], TrialRecord]:
    return lambda plan: record_of(plan, script.get(plan.number, Outcome.STABLE))


def test_the_canary_runs_first_and_alone() -> None:
    """Nothing is spent beside it: if the baseline breaks, everything else would break too."""
    watched, driver = Watched(sweep_of()), ScriptedDriver(breaks_above(BOUNDARY), concurrency=4)
    driver.run(watched.campaign)
    assert driver.started[0].stage is Stage.CANARY
    assert driver.beside[0] == (driver.started[0],)
    assert all(plan.stage is not Stage.CANARY for plan in driver.started[1:])
    assert max(map(len, driver.beside)) == 4


def test_the_canary_is_the_conservative_baseline() -> None:
    """fp32, the usual learning rate, clipped, longest warmup; searched or not."""
    sweep = sweep_of(search={"precision": ["bf16"], "max_grad_norm": [0.0], "warmup": [0, 3]})
    watched = Watched(sweep)
    plan = watched.campaign.next_plan()
    assert plan is not None
    assert (plan.precision, plan.learning_rate, plan.max_grad_norm, plan.warmup_steps) == (
        "fp32",
        2e-5,
        1.0,
        3,
    )


def test_a_canary_that_breaks_is_the_last_trial() -> None:
    """Lowering the learning rate will not help: no further trial is run, and that is no error."""
    watched = Watched(sweep_of())
    ScriptedDriver(outcome_for({Stage.CANARY: Outcome.NONFINITE}), concurrency=2).run(watched.campaign)
    assert stages(watched) == [Stage.CANARY]
    assert watched.campaign.problem is None
    assert not watched.campaign.has_work()


@pytest.mark.parametrize("outcome", [Outcome.CRASHED, Outcome.OOM, Outcome.LOST])
def test_a_canary_that_never_trained_is_a_problem(outcome: Outcome) -> None:
    """It proves nothing about the hyperparameters: the user is told what it said."""
    watched = Watched(sweep_of())
    ScriptedDriver(outcome_for({Stage.CANARY: outcome})).run(watched.campaign)
    assert stages(watched) == [Stage.CANARY]
    problem = watched.campaign.problem
    assert problem is not None
    assert f"it was {outcome}" in problem.message


def test_a_sweep_whose_canary_crashed_goes_on_once_that_is_put_right() -> None:
    """The same command again runs another canary, and then everything else."""
    storage, sweep = InMemoryStorage(), sweep_of()
    ScriptedDriver(outcome_for({Stage.CANARY: Outcome.CRASHED})).run(Watched(sweep, storage).campaign)
    again = Watched(sweep, storage)
    assert again.campaign.problem is None
    ScriptedDriver(breaks_above(BOUNDARY)).run(again.campaign)
    assert stages(again)[:3] == [Stage.CANARY, Stage.CANARY, Stage.SEARCH]
    assert len(again.study.records) == sweep.budget.trials


def test_three_crashes_in_a_row_stop_the_sweep() -> None:
    """Trials that never train are a fault of the set-up: the rest of the budget is kept."""
    watched = Watched(sweep_of(trials=30))
    ScriptedDriver(by_number(dict.fromkeys(range(4, 30), Outcome.CRASHED))).run(watched.campaign)
    assert len(watched.study.records) == 7
    problem = watched.campaign.problem
    assert problem is not None
    assert "trials do not run: it was crashed" in str(problem)
    assert "inline" in problem.hint


def test_running_out_of_memory_again_and_again_names_the_batch_size() -> None:
    """What to do about it is not the same as for a crash."""
    watched = Watched(sweep_of(trials=30))
    ScriptedDriver(by_number(dict.fromkeys(range(1, 30), Outcome.OOM))).run(watched.campaign)
    problem = watched.campaign.problem
    assert problem is not None
    assert "per_device_train_batch_size" in problem.hint


def test_crashes_with_good_trials_between_do_not_stop_the_sweep() -> None:
    """One bad node is no reason to give up."""
    crashes = dict.fromkeys([2, 3, 5, 6, 8], Outcome.CRASHED)
    watched = Watched(sweep_of(trials=12), required=0)
    ScriptedDriver(by_number(crashes)).run(watched.campaign)
    assert watched.campaign.problem is None
    assert len(watched.study.records) == 12


def test_a_data_fault_stops_the_sweep_for_good() -> None:
    """Rows that break training break it at every learning rate; what was in flight is still recorded."""
    storage, sweep = InMemoryStorage(), sweep_of(trials=20)
    watched = Watched(sweep, storage)
    ScriptedDriver(by_number({4: Outcome.DATA_FAULT}), concurrency=2).run(watched.campaign)
    assert len(watched.study.records) <= 6
    assert watched.study.unfinished() == []
    assert not Watched(sweep, storage).campaign.has_work()


def test_a_lost_trial_is_started_again_and_then_given_up() -> None:
    """After ``trial_attempts`` starts it is recorded as lost, with their number, and the sweep goes on."""
    watched = Watched(sweep_of(trials=6, budget={"trial_attempts": 3}), required=0)
    driver = ScriptedDriver(lambda plan: None if plan.number == 2 else record_of(plan), concurrency=2)
    driver.run(watched.campaign)
    assert Counter(plan.number for plan in driver.started)[2] == 3
    lost = watched.study.raw_records[2]
    assert (lost.outcome, lost.attempts) == (Outcome.LOST, 3)
    assert len(watched.study.raw_records) == 6


def test_a_trial_lost_once_keeps_its_plan() -> None:
    """The second start runs exactly the same trial, and its record counts both."""
    watched, once = Watched(sweep_of(trials=4), required=0), iter([None])
    driver = ScriptedDriver(lambda plan: next(once, record_of(plan)) if plan.number == 1 else record_of(plan))
    driver.run(watched.campaign)
    assert len({plan for plan in driver.started if plan.number == 1}) == 1
    assert watched.study.raw_records[1].attempts == 2


def test_what_a_trial_did_not_cause_uses_up_no_attempt() -> None:
    """Four ends of the whole process and four of its nodes, and its two attempts are still there."""
    storage, sweep = InMemoryStorage(), sweep_of(trials=4, budget={"trial_attempts": 2})
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            ScriptedDriver(record_of, interrupt_after=0).run(Watched(sweep, storage, required=0).campaign)
    watched = Watched(sweep, storage, required=0)
    for _ in range(4):
        watched.campaign.lost(next_of(watched), "its node went away", by_node=True)
    watched.campaign.lost(next_of(watched), "gone")
    ScriptedDriver(record_of).run(watched.campaign)
    assert (watched.study.raw_records[0].outcome, watched.study.raw_records[0].attempts) == (
        Outcome.STABLE,
        10,
    )


def test_a_trial_under_which_nodes_keep_dying_is_given_up() -> None:
    """It may be what kills them; its record says how many."""
    watched = Watched(sweep_of(trials=4), required=0)
    for _ in range(NODES_PER_TRIAL):
        assert watched.study.raw_records == []
        watched.campaign.lost(next_of(watched), "its node went away", by_node=True)
    (lost,) = watched.study.raw_records
    assert (lost.outcome, lost.message) == (Outcome.LOST, f"its node went away, {NODES_PER_TRIAL} times")


def next_of(watched: Watched) -> TrialPlan:
    """Return the campaign's next plan, started."""
    plan = watched.campaign.next_plan()
    assert plan is not None
    return plan


def test_the_wall_clock_lets_nothing_new_start() -> None:
    """What runs is recorded; the rest of the budget is there for another run."""
    seconds = iter(range(0, 1000, 10))
    storage = InMemoryStorage()
    sweep = sweep_of(trials=20, budget={"wall_clock": 55.0})
    watched = Watched(sweep, storage, clock=lambda: next(seconds))
    ScriptedDriver(record_of).run(watched.campaign)
    assert 0 < len(watched.study.records) < 20
    assert Watched(sweep, storage).campaign.has_work()


def test_what_the_machine_lacks_ends_a_sweep_that_can_go_on_later() -> None:
    """What is in flight is recorded, the reason is the sweep's problem, and the rest of the budget stays."""
    storage, sweep, full = InMemoryStorage(), sweep_of(trials=20), UserError("the disk is full", "free some")
    lacks: list[UserError] = []
    watched = Watched(sweep, storage, lack=lambda: lacks[0] if lacks else None)

    def play(plan: TrialPlan) -> TrialRecord:
        if plan.number == 4:
            lacks.append(full)
        return record_of(plan)

    ScriptedDriver(play, concurrency=2).run(watched.campaign)
    assert watched.campaign.problem is full
    assert len(watched.study.raw_records) == 6
    assert watched.study.unfinished() == []
    lacks.clear()
    assert not watched.campaign.has_work(), "it is the next run that goes on"
    assert Watched(sweep, storage).campaign.has_work()


def test_a_second_record_for_a_plan_is_dropped() -> None:
    """The first one stays, and nobody is told of the second."""
    watched = Watched(sweep_of())
    plan = watched.campaign.next_plan()
    assert plan is not None
    watched.campaign.finished(record_of(plan))
    watched.campaign.finished(record_of(plan, Outcome.NONFINITE))
    assert [record.outcome for record in watched.study.raw_records] == [Outcome.STABLE]
    assert len(watched.finished) == 1


def test_unfinished_trials_of_a_killed_process_run_first_under_their_numbers() -> None:
    """They have been asked for: the study waits for them and for no others."""
    storage, sweep = InMemoryStorage(), sweep_of()
    with pytest.raises(KeyboardInterrupt):
        ScriptedDriver(record_of, concurrency=3, interrupt_after=4).run(Watched(sweep, storage).campaign)
    again = Watched(sweep, storage)
    left = again.study.unfinished()
    assert len(left) == 3
    assert [again.campaign.next_plan() for _ in left] == left


def test_a_failed_candidate_is_replaced_by_a_lower_one() -> None:
    """Confirmation starts again below a configuration that broke, which is never recommended."""
    watched = Watched(sweep_of(trials=40, sampler="frontier"), required=4)
    broke: list[TrialPlan] = []

    def play(plan: TrialPlan) -> TrialRecord:
        record = breaks_above(BOUNDARY)(plan)
        if plan.stage is Stage.CONFIRM and not broke:
            record = record_of(plan, Outcome.NONFINITE)
            broke.append(plan)
        return record

    ScriptedDriver(play).run(watched.campaign)
    confirming = [r.plan for r in watched.study.raw_records if r.plan.stage is Stage.CONFIRM]
    later = [plan for plan in confirming if plan.number > broke[0].number]
    assert later
    assert all(
        plan.learning_rate < broke[0].learning_rate for plan in later if plan.context == broke[0].context
    )
    best = watched.campaign.frontier().recommend()
    assert best is None or (best.context, best.learning_rate) != (broke[0].context, broke[0].learning_rate)


def test_confirmation_stops_when_enough_seeds_survived() -> None:
    """The rest of the budget is not spent on what is known."""
    watched = Watched(sweep_of(trials=30, sampler="frontier"), required=3)
    ScriptedDriver(breaks_above(BOUNDARY), concurrency=4).run(watched.campaign)
    assert stages(watched).count(Stage.CONFIRM) == 3


def test_confirmation_uses_fresh_seeds() -> None:
    """Repeating one seed would prove nothing."""
    watched = Watched(sweep_of(trials=30, sampler="frontier"), required=3)
    ScriptedDriver(breaks_above(BOUNDARY)).run(watched.campaign)
    plans = [record.plan for record in watched.study.raw_records]
    assert len({plan.model_seed for plan in plans}) == len(plans)
    assert len({plan.data_seed for plan in plans}) == len(plans)


def test_looking_for_work_starts_nothing_and_loses_nothing() -> None:
    """Asked before a driver exists, the campaign gives the same trial to the driver later."""
    watched = Watched(sweep_of(trials=5), required=0)
    assert watched.campaign.has_work()
    assert watched.started == []
    assert watched.campaign.has_work()
    ScriptedDriver(record_of).run(watched.campaign)
    assert [record.plan.number for record in watched.study.raw_records] == [0, 1, 2, 3, 4]
    assert not watched.campaign.has_work()


def test_a_raised_budget_goes_on_with_a_finished_sweep() -> None:
    """Finished trials are kept; only what is missing is run."""
    storage = InMemoryStorage()
    ScriptedDriver(record_of).run(Watched(sweep_of(trials=6), storage, required=0).campaign)
    more = Watched(sweep_of(trials=9), storage, required=0)
    driver = ScriptedDriver(record_of)
    driver.run(more.campaign)
    assert [plan.number for plan in driver.started] == [6, 7, 8]


ENDINGS = (
    Outcome.STABLE,
    Outcome.STABLE,
    Outcome.NONFINITE,
    Outcome.COLLAPSED,
    Outcome.OOM,
    Outcome.CRASHED,
    None,
)


@settings(max_examples=60)
@given(
    trials=st.integers(1, 24),
    required=st.integers(0, 6),
    concurrency=st.integers(1, 5),
    endings=st.lists(st.sampled_from(ENDINGS), max_size=40),
    choices=st.lists(st.integers(0, 4), max_size=40),
    kills=st.lists(st.integers(1, 10), max_size=4),
)
def test_whatever_happens_the_budget_holds_and_every_trial_is_counted_once(
    trials: int, required: int, concurrency: int, endings: list[Outcome | None], choices: list[int],
    kills: list[int],
) -> None:  # fmt: skip
    """Any endings, any order, killed at any moments: no more trials than paid for, each with one record."""
    storage, sweep = InMemoryStorage(), sweep_of(trials=trials)
    ending, choice = iter(endings), iter(choices)
    for kill_after in [*kills, None]:
        watched = Watched(sweep, storage, required)
        before = {record.plan.number for record in watched.study.raw_records}
        driver = ScriptedDriver(
            lambda plan: _end(plan, ending),
            concurrency=concurrency,
            choose=lambda count: next(choice, 0) % count,
            interrupt_after=kill_after,
        )
        with contextlib.suppress(KeyboardInterrupt):
            driver.run(watched.campaign)
        assert not before & {plan.number for plan in driver.started}
        _check_stages(driver, watched)
    numbers = [record.plan.number for record in watched.study.raw_records]
    assert len(numbers) == len(set(numbers)) <= trials
    if watched.campaign.problem is not None:
        return  # what was to be tried again waits for the next run
    assert watched.study.unfinished() == []
    assert numbers == list(range(len(numbers)))
    if _canary(watched).outcome is Outcome.STABLE and not required:
        assert len(numbers) == trials


def _end(plan: TrialPlan, ending: Iterator[Outcome | None]) -> TrialRecord | None:
    outcome = next(ending, Outcome.STABLE)
    return record_of(plan, outcome) if outcome else None


def _canary(watched: Watched) -> TrialRecord:
    return [r for r in watched.study.records if r.plan.stage is Stage.CANARY][-1]


def _check_stages(driver: ScriptedDriver, watched: Watched) -> None:
    for beside in driver.beside:
        kinds = {plan.stage for plan in beside}
        assert kinds == {Stage.CANARY} or Stage.CANARY not in kinds
        new = beside[-1]
        if new.stage is Stage.CONFIRM and watched.study.starts(new.number) == 1:
            assert kinds == {Stage.CONFIRM}


def test_a_trial_that_keeps_ending_the_whole_run_is_given_up() -> None:
    """It may be what kills it: a crash in the driver's own process, or all of a machine's memory."""
    storage, sweep = InMemoryStorage(), sweep_of(trials=4)
    for _ in range(RUNS_PER_TRIAL):
        watched = Watched(sweep, storage, required=0)
        assert next_of(watched).number == 0
    watched = Watched(sweep, storage, required=0)
    assert next_of(watched).number == 1
    (lost,) = watched.study.raw_records
    assert (lost.outcome, lost.plan.number) == (Outcome.LOST, 0)
    assert lost.message == f"the whole run ended while it ran, {RUNS_PER_TRIAL} times"


def test_workers_that_were_seen_to_go_are_no_ended_runs() -> None:
    """They have a bound of their own."""
    watched = Watched(sweep_of(trials=4, budget={"trial_attempts": 50}), required=0)
    for _ in range(RUNS_PER_TRIAL + 2):
        watched.campaign.lost(next_of(watched), "gone")
        watched.campaign.lost(next_of(watched), "its node went away", by_node=True)
        if watched.study.raw_records:
            break
    (lost,) = watched.study.raw_records
    assert lost.message == f"its node went away, {NODES_PER_TRIAL} times"
