"""How far a trial is, read beside it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from trial_samples import plan, setup

from stabsearch.records import Outcome
from stabsearch.records.progress import Progress
from stabsearch.task.workload import RowWorkload
from stabsearch.trial.gauge import Gauge
from stabsearch.trial.guard import GuardLog
from stabsearch.trial.judge import Judge
from stabsearch.trial.run import run_trial, run_trial_of


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> tuple[Gauge, list[Progress]]:
    """A gauge, and what it showed after each step of a trial."""
    gauge, seen, see = Gauge(), [], Judge.see

    def noted(judge: Judge, *numbers: Any) -> Any:
        seen.extend(gauge.read())
        return see(judge, *numbers)

    monkeypatch.setattr(Judge, "see", noted)
    return gauge, seen


def test_each_step_can_be_read_while_a_trial_runs(
    tiny: RowWorkload, read: tuple[Gauge, list[Progress]]
) -> None:
    """Step, raw loss, and the rate of that step: during the warmup it is not yet the plan's."""
    gauge, seen = read
    record = run_trial_of(plan(number=7, warmup_steps=4), lambda: tiny, setup(), gauge)
    assert [(progress.number, progress.step) for progress in seen] == [(7, step) for step in range(1, 7)]
    assert [progress.loss for progress in seen] == list(record.trace.losses)
    assert [progress.learning_rate for progress in seen] == pytest.approx(
        [0, 2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3]
    )


def test_nothing_is_shown_of_a_trial_that_is_over(tiny: RowWorkload) -> None:
    """Its numbers are not taken for those of the next."""
    gauge = Gauge()
    run_trial_of(plan(), lambda: tiny, setup(), gauge)
    assert gauge.read() == []


def test_a_trial_is_the_same_whoever_reads(tiny: RowWorkload, read: tuple[Gauge, list[Progress]]) -> None:
    """Bit for bit: looking at a trial moves nothing in it."""
    gauge, _ = read
    watched, alone = run_trial_of(plan(), lambda: tiny, setup(), gauge), run_trial(plan(), tiny, setup())
    timed = {"started_at": 0.0, "startup_s": 0.0, "train_s": 0.0}
    assert replace(watched, **timed).to_json() == replace(alone, **timed).to_json()
    assert watched.outcome is Outcome.STABLE


def test_a_bad_loss_is_shown_with_the_last_rate() -> None:
    """The step that broke has no rate of its own: it was never taken."""
    gauge, log = Gauge(), GuardLog(steps_before=10)
    gauge.show(3, log)
    assert gauge.read() == []
    log.micro_loss(2.0)
    log.update(1.0, 1e-3)
    log.micro_loss(math.nan)
    (progress,) = gauge.read()
    assert (progress.number, progress.step, progress.learning_rate) == (3, 12, 1e-3)
    assert math.isnan(progress.loss)


def test_a_step_that_is_half_noted_is_not_shown() -> None:
    """Another thread may look between two lists."""
    gauge, log = Gauge(), GuardLog()
    gauge.show(3, log)
    log.losses.append(1.0)
    assert gauge.read() == []
