"""What the study keeps, what it tells, and what it puts right when it is opened after a kill."""

from __future__ import annotations

import json
import math
import multiprocessing
from pathlib import Path
from typing import Any

import optuna
import pytest
from campaign_samples import HORIZON, Watched, study_of, sweep_of
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import TrialState

from stabsearch.records import Cause, Context, Grade, Outcome, Stage, StepTrace, TrialPlan, TrialRecord
from stabsearch.search.samplers import SAMPLER_NAMES
from stabsearch.search.storage import open_storage
from stabsearch.search.stored import STUDY_NAME, records_in, unfinished_in
from stabsearch.search.study import SweepStudy, score
from stabsearch.testing.records import breaks_above, record_of
from stabsearch.testing.scripted import ScriptedDriver

OUTSIDE = Context("fp32", 0, 1.0)
ONLY_BF16 = {"precision": ["bf16"], "max_grad_norm": [0.0]}


def trials_of(storage: Any) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=STUDY_NAME, storage=storage).get_trials()


def test_a_plan_holds_exactly_one_record() -> None:
    """A second record for the same plan is dropped, and the caller is told so."""
    study = study_of(sweep_of())
    plan = study.ask()
    assert study.tell(record_of(plan))
    assert not study.tell(record_of(plan, Outcome.NONFINITE))
    assert [record.outcome for record in study.raw_records] == [Outcome.STABLE]


@pytest.mark.parametrize("outcome", list(Outcome))
def test_no_trial_is_left_running_however_it_ended(outcome: Outcome) -> None:
    """COMPLETE when it proves something, FAIL when it does not."""
    storage = InMemoryStorage()
    study = study_of(sweep_of(), storage)
    study.tell(record_of(study.ask(), outcome))
    (trial,) = trials_of(storage)
    assert trial.state is (TrialState.COMPLETE if outcome.is_evidence else TrialState.FAIL)
    assert bool(trial.constraints) == outcome.is_evidence


@pytest.mark.parametrize("outcome", list(Outcome))
def test_what_a_sampler_is_told_is_finite(outcome: Outcome) -> None:
    """1 survived, 0 failed, nothing where nothing is proven: also where the record is full of NaN."""
    storage = InMemoryStorage()
    study = study_of(sweep_of(), storage)
    plan = study.ask()
    nans = StepTrace((1, 2), (math.nan, math.inf), (math.nan, -math.inf))
    study.tell(TrialRecord(plan, outcome, cause=Cause.UNKNOWN, trace=nans, chance_loss=math.nan))
    (trial,) = trials_of(storage)
    assert trial.values in (None, [0.0], [1.0])
    assert all(math.isfinite(value) for value in trial.constraints.values())
    json.dumps(trial.user_attrs, allow_nan=False)


def test_a_failed_trial_breaks_its_constraint() -> None:
    """Samplers that know constraints see failures as infeasible."""
    storage = InMemoryStorage()
    study = study_of(sweep_of(), storage)
    for outcome in (Outcome.STABLE, Outcome.NONFINITE):
        study.tell(record_of(study.ask(), outcome))
    assert [trial.constraints for trial in trials_of(storage)] == [{"failed": -1.0}, {"failed": 1.0}]


def test_told_scores() -> None:
    """Survived 1, degraded 0.5, failed 0, no evidence nothing."""
    plan = study_of(sweep_of()).ask()
    assert score(TrialRecord(plan, Outcome.STABLE, Grade.CLEAN)) == 1.0
    assert score(TrialRecord(plan, Outcome.STABLE, Grade.DEGRADED)) == 0.5
    assert score(TrialRecord(plan, Outcome.COLLAPSED)) == 0.0
    assert score(TrialRecord(plan, Outcome.OOM)) is None


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    """NaN and infinity included, out of the journal of another opening."""
    study = study_of(sweep_of(), open_storage(tmp_path, None))
    record = record_of(study.ask(), Outcome.NONFINITE)
    study.tell(record)
    again = study_of(sweep_of(), open_storage(tmp_path, None))
    assert [repr(found) for found in again.raw_records] == [repr(record)]


def test_a_trial_killed_before_it_had_a_plan_is_closed() -> None:
    """Nothing was run for it: it holds no record, waits for nothing, and its number is not used again."""
    storage = InMemoryStorage()
    study = study_of(sweep_of(), storage)
    study._study.ask(fixed_distributions=study._space)
    again = study_of(sweep_of(), storage)
    assert again.unfinished() == []
    assert again.records == []
    assert [trial.state for trial in trials_of(storage)] == [TrialState.FAIL]
    assert again.ask().number == 1


def test_a_configuration_killed_before_it_was_asked_for_is_closed() -> None:
    """Nobody else gets what was enqueued for the confirmation."""
    storage = InMemoryStorage()
    study = study_of(sweep_of(), storage)
    study._study.enqueue_trial({"learning_rate": 0.5, **OUTSIDE._asdict()})
    again = study_of(sweep_of(), storage)
    assert [trial.state for trial in trials_of(storage)] == [TrialState.FAIL]
    assert again.ask().learning_rate != 0.5


@pytest.mark.parametrize("outcome", [Outcome.STABLE, Outcome.NONFINITE, Outcome.CRASHED])
def test_a_trial_killed_between_record_and_close_is_closed(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record counts: it is told at the next opening, and not run again."""
    storage = InMemoryStorage()
    study = study_of(sweep_of(), storage)
    plan = study.ask()
    monkeypatch.setattr(SweepStudy, "_close", lambda *_: None)
    study.tell(record_of(plan, outcome))
    monkeypatch.undo()
    assert unfinished_in(optuna.load_study(study_name=STUDY_NAME, storage=storage)) == []
    again = study_of(sweep_of(), storage)
    assert [record.outcome for record in again.raw_records] == [outcome]
    assert trials_of(storage)[0].state.is_finished()


def test_a_trial_killed_between_constraint_and_value_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Setting its constraint twice does no harm."""
    storage = InMemoryStorage()
    study = study_of(sweep_of(), storage)
    plan = study.ask()

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(optuna.Study, "tell", killed)
    with pytest.raises(KeyboardInterrupt):
        study.tell(record_of(plan))
    monkeypatch.undo()
    assert [r.plan for r in study_of(sweep_of(), storage).records] == [plan]
    assert trials_of(storage)[0].state is TrialState.COMPLETE


def test_starts_are_counted_across_openings() -> None:
    """The record says how often its trial was started, whoever was killed meanwhile."""
    storage = InMemoryStorage()
    plan = study_of(sweep_of(), storage).ask()
    for expected in (1, 2, 3):
        assert study_of(sweep_of(), storage).count_start(plan.number) == expected
    assert study_of(sweep_of(), storage).starts(plan.number) == 3


def test_counting_starts_does_not_disturb_the_sampler() -> None:
    """Only a proposal asks the sampler anything."""
    quiet, counted = study_of(sweep_of(sampler="tpe")), study_of(sweep_of(sampler="tpe"))
    proposals = []
    for study in (quiet, counted):
        plan = study.ask()
        if study is counted:
            study.count_start(plan.number)
        study.tell(record_of(plan))
        proposals.append(study.ask().learning_rate)
    assert proposals[0] == proposals[1]


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_a_canary_outside_the_searched_space_disturbs_no_sampler(sampler: str) -> None:
    """It is kept with its record and without parameters, as a trial that proves nothing to a sampler."""
    storage = InMemoryStorage()
    sweep = sweep_of(sampler=sampler, search=ONLY_BF16)
    study = study_of(sweep, storage)
    plan = study.ask_fixed(OUTSIDE, 2e-5, Stage.CANARY)
    study.tell(record_of(plan))
    (trial,) = trials_of(storage)
    assert (trial.state, trial.params) == (TrialState.FAIL, {})
    assert study.raw_records[0].outcome is Outcome.STABLE
    for _ in range(3):
        proposed = study.ask()
        assert (proposed.precision, proposed.max_grad_norm) == ("bf16", 0.0)
        study.tell(record_of(proposed))


def test_a_canary_outside_the_searched_space_comes_back_unfinished() -> None:
    """Killed while it ran, it runs again under its number."""
    storage, sweep = InMemoryStorage(), sweep_of(search=ONLY_BF16)
    plan = study_of(sweep, storage).ask_fixed(OUTSIDE, 2e-5, Stage.CANARY)
    again = study_of(sweep, storage)
    assert again.unfinished() == [plan]
    assert again.tell(record_of(plan))


def test_a_configuration_inside_the_space_is_one_the_samplers_see() -> None:
    """Confirmation trials are evidence like any other."""
    storage = InMemoryStorage()
    study = study_of(sweep_of(), storage)
    study.tell(record_of(study.ask_fixed(Context("bf16", 0, 1.0), 0.01, Stage.CONFIRM)))
    assert trials_of(storage)[0].params == {
        "learning_rate": 0.01, "precision": "bf16", "warmup_steps": 0, "max_grad_norm": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_every_sampler_goes_through_a_sweep(sampler: str) -> None:
    """Thirty trials inside the space, past the end of the grid of 22, some of them without evidence."""
    sweep = sweep_of(trials=30, sampler=sampler)
    watched = Watched(sweep, required=0)

    def play(plan: TrialPlan) -> TrialRecord:
        return record_of(plan, Outcome.OOM) if plan.number % 7 == 6 else breaks_above(1e-2)(plan)

    ScriptedDriver(play, concurrency=3, choose=lambda count: count - 1).run(watched.campaign)
    plans = [record.plan for record in watched.study.raw_records]
    assert [plan.number for plan in plans] == list(range(30))
    assert all(1e-5 <= plan.learning_rate <= 1.0 and plan.precision in {"fp32", "bf16"} for plan in plans)
    assert {plan.horizon for plan in plans} == {HORIZON}
    assert len({plan.learning_rate for plan in plans[1:]}) >= 11


def _next_proposal(folder: str, sampler: str, seed: int, answers: Any) -> None:
    sweep = sweep_of(trials=30, sampler=sampler, seed=seed)
    answers.put(study_of(sweep, open_storage(Path(folder), None)).ask())


@pytest.mark.parametrize("sampler", ["frontier", "random", "tpe"])
def test_another_process_proposes_the_same(sampler: str, tmp_path: Path) -> None:
    """Same sweep, same seed, same trials: same next trial, whoever asks."""
    sweep = sweep_of(trials=30, sampler=sampler, seed=3)
    proposals = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        watched = Watched(sweep, open_storage(tmp_path / name, None), required=0)
        with pytest.raises(KeyboardInterrupt):
            ScriptedDriver(breaks_above(1e-2), concurrency=2, interrupt_after=14).run(watched.campaign)
        proposals.append(watched.study)
    here = proposals[0].ask()
    spawning = multiprocessing.get_context("spawn")
    answers: Any = spawning.Queue()
    process = spawning.Process(target=_next_proposal, args=(str(tmp_path / "there"), sampler, 3, answers))
    process.start()
    there = answers.get(timeout=120)
    process.join()
    assert here == there


@pytest.mark.parametrize("sampler", ["frontier", "random", "tpe", "grid", "qmc"])
def test_an_interrupted_sweep_proposes_what_an_undisturbed_one_does(sampler: str) -> None:
    """With trials in the same order of completion, resuming leaves no trace in the plans."""
    sweep = sweep_of(trials=16, sampler=sampler)
    whole = Watched(sweep, required=0)
    ScriptedDriver(breaks_above(1e-2)).run(whole.campaign)
    storage = InMemoryStorage()
    for kill_after in (1, 4, 5, None):
        parts = Watched(sweep, storage, required=0)
        driver = ScriptedDriver(breaks_above(1e-2), interrupt_after=kill_after)
        if kill_after is None:
            driver.run(parts.campaign)
        else:
            with pytest.raises(KeyboardInterrupt):
                driver.run(parts.campaign)
    assert [r.plan for r in parts.study.raw_records] == [r.plan for r in whole.study.raw_records]


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_seeds_of_trials_follow_from_the_sweeps_seed(seed: int) -> None:
    """The same number gives the same seeds, whatever was proposed; no two trials share one."""
    first, second = (study_of(sweep_of(sampler=name, seed=seed)) for name in ("random", "grid"))
    plans = [(first.ask(), second.ask()) for _ in range(5)]
    assert all((a.model_seed, a.data_seed) == (b.model_seed, b.data_seed) for a, b in plans)
    assert len({a.model_seed for a, _ in plans} | {a.data_seed for a, _ in plans}) == 10


def test_a_database_holds_the_studies_of_many_sweeps(tmp_path: Path) -> None:
    """Two sweeps on one database do not see each other's trials."""
    sweep = sweep_of()
    storage = RDBStorage(f"sqlite:///{tmp_path / 'studies.db'}")
    first, second = (_named(name, sweep, storage) for name in ("stabsearch/a", "stabsearch/b"))
    first.tell(record_of(first.ask()))
    assert (len(first.records), len(second.records)) == (1, 0)
    assert first.sweep_id != second.sweep_id
    assert [r.plan for r in _named("stabsearch/a", sweep, storage).records] == [first.records[0].plan]
    assert second.ask().number == 0


def _named(name: str, sweep: Any, storage: Any) -> SweepStudy:
    model = study_of(sweep)
    return SweepStudy(
        storage, model._space, model._sampler_for, seed=0, horizon=HORIZON, rules=sweep.outcomes, name=name
    )


def test_a_sweep_keeps_its_identity(tmp_path: Path) -> None:
    """By its id the tracker finds the runs of an interrupted sweep again."""
    first = study_of(sweep_of(), open_storage(tmp_path, None)).sweep_id
    assert study_of(sweep_of(), open_storage(tmp_path, None)).sweep_id == first
    assert records_in(optuna.load_study(study_name=STUDY_NAME, storage=open_storage(tmp_path, None))) == []
