"""How far a running trial is reaches the driver's process, and disturbs nothing on its way."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from progress_samples import WAITS_AT, Gate, build_waiting

from stabsearch.driver import telling
from stabsearch.driver.base import Driver, WorkOrder
from stabsearch.driver.environment import prepare
from stabsearch.driver.inline import InlineDriver
from stabsearch.driver.telling import OnProgress, Slate, Telling
from stabsearch.records import Outcome, Stage, TrialPlan, TrialRecord
from stabsearch.records.progress import Progress
from stabsearch.testing.scripted import ScriptedSource
from stabsearch.trial.setup import TrialSetup

PLAN = TrialPlan(5, Stage.SEARCH, 1e-3, 0, 1.0, "fp32", 0, 0, 6)
SETUP = TrialSetup(max_steps=20, training={"per_device_train_batch_size": 4})


def in_two_processes(order: WorkOrder, on_progress: OnProgress | None) -> Driver:
    return InlineDriver(replace(order, setup=replace(order.setup, num_processes=2)), on_progress)


def on_ray(order: WorkOrder, on_progress: OnProgress | None) -> Driver:
    prepare(is_local=True)
    from stabsearch.driver.ray_tune import RayTuneDriver

    return RayTuneDriver(order, concurrency=1, on_progress=on_progress)


DRIVERS = [InlineDriver, in_two_processes, pytest.param(on_ray, marks=pytest.mark.ray)]
MakeDriver = Callable[[WorkOrder, OnProgress | None], Driver]


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "EVERY_S", 0.05)


@pytest.fixture(autouse=True)
def _workers_find_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    here = str(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])]))


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    os.mkfifo(tmp_path / "gate")
    return Gate(str(tmp_path / "gate"))


def ran(make_driver: MakeDriver, gate: Gate, on_progress: OnProgress | None) -> TrialRecord:
    source = ScriptedSource([PLAN])
    make_driver(WorkOrder(gate, SETUP, 300.0, build_waiting), on_progress).run(source)
    (record,) = source.records
    return record


def facts(record: TrialRecord) -> dict[str, Any]:
    timed = {"started_at": 0.0, "startup_s": 0.0, "train_s": 0.0, "worker": "", "machine": {}}
    return replace(record, **timed).to_json()


@pytest.mark.parametrize("make_driver", DRIVERS)
def test_a_running_trial_tells_how_far_it_is_and_ends_as_if_it_told_nobody(
    make_driver: MakeDriver, gate: Gate
) -> None:
    """It goes on only once somebody was told, who never comes back."""
    check_told(make_driver, gate, blocks=True)


def test_a_trial_ends_as_if_it_told_nobody_where_telling_raises(gate: Gate) -> None:
    """At every step; what raises is the same code for all drivers."""
    check_told(InlineDriver, gate, blocks=False)


def check_told(make_driver: MakeDriver, gate: Gate, *, blocks: bool) -> None:
    told: list[Progress] = []
    released = Event()

    def on_progress(progress: Progress) -> None:
        told.append(progress)
        if progress.step == WAITS_AT:
            gate.open()
            if blocks:
                released.wait()
        raise RuntimeError("nobody listens")

    record = ran(make_driver, gate, on_progress)
    alone = ran(make_driver, Gate(), None)
    released.set()
    progress = next(progress for progress in told if progress.step == WAITS_AT)
    assert progress == Progress(5, WAITS_AT, record.trace.losses[WAITS_AT - 1], 1e-3)
    assert record.outcome is Outcome.STABLE
    assert facts(record) == facts(alone)


def test_what_cannot_be_told_is_left_out() -> None:
    """The next look may succeed."""
    told, arrived, looks = [], Event(), iter(range(1, 100))

    def look() -> list[Progress]:
        step = next(looks)
        if step == 1:
            raise OSError("not yet")
        return [Progress(0, step, 1.0, 1e-3)]

    def tell(progress: Progress) -> None:
        if progress.step == 2:
            raise OSError("not there")
        told.append(progress)
        arrived.set()

    teller = Telling(look, tell, 0.0)
    assert arrived.wait(60)
    teller.stop()
    teller.wait(60)
    assert told[0].step == 3


def test_what_has_not_changed_is_told_once() -> None:
    """A trial that hangs, or is NaN, makes no noise."""
    looks, told, enough = 0, [], Event()

    def look() -> list[Progress]:
        nonlocal looks
        looks += 1
        if looks == 5:
            enough.set()
        return [Progress(0, 3, float("nan"), 1e-3)]

    teller = Telling(look, told.append, 0.0)
    assert enough.wait(60)
    teller.stop()
    teller.wait(60)
    assert len(told) == 1


def test_a_slate_says_what_another_process_left(tmp_path: Path) -> None:
    """Nothing before the first word."""
    slate = Slate(tmp_path / "progress")
    assert slate.read() == []
    slate.write(Progress(1, 2, 0.5, 1e-3))
    assert Slate(tmp_path / "progress").read() == [Progress(1, 2, 0.5, 1e-3)]
