"""The inline driver owes its source the same as any other."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import pytest

from stabsearch.driver import inline
from stabsearch.driver.base import Driver, WorkOrder
from stabsearch.driver.inline import InlineDriver
from stabsearch.records import Stage, TrialPlan, TrialRecord
from stabsearch.records.progress import Progress
from stabsearch.testing.driver_conformance import DriverConformance
from stabsearch.testing.records import breaks_above
from stabsearch.testing.scripted import ScriptedSource
from stabsearch.trial.setup import TrialSetup


class TestInlineDriver(DriverConformance):
    """Everything but surviving the end of its own process."""

    def make_driver(self, order: WorkOrder) -> Driver:
        return InlineDriver(order)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_python_swallowed_ends_the_run_after_the_trial(
    stop: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is raised in a finalizer is ignored; the trial has its record, and no other one begins."""
    before = signal.getsignal(stop)

    class Swallows:
        def work(self, plan: TrialPlan) -> TrialRecord:
            with suppress(KeyboardInterrupt):
                os.kill(os.getpid(), stop)
            return breaks_above(1.0)(plan)

        def progress(self) -> list[Progress]:
            return []

        def close(self) -> None:
            pass

    monkeypatch.setattr(inline, "make_worker", lambda _: Swallows())
    source = ScriptedSource([plan_of(0), plan_of(1)])
    with pytest.raises(KeyboardInterrupt):
        InlineDriver(WorkOrder(None, TrialSetup(max_steps=4, training={}), 60.0)).run(source)
    assert [record.plan.number for record in source.records] == [0]
    assert source.starts[1] == 0
    assert signal.getsignal(stop) is before


def plan_of(number: int) -> TrialPlan:
    return TrialPlan(number, Stage.SEARCH, 1e-3, 0, 1.0, "fp32", 0, 0, 2)
