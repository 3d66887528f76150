"""What a worker does with a plan; the workload is built once per process and kept."""

from __future__ import annotations

import gc
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from stabsearch.driver.base import Worker, WorkOrder
from stabsearch.driver.ranks import RankGroup
from stabsearch.trial.gauge import Gauge

if TYPE_CHECKING:
    from stabsearch.records import TrialPlan, TrialRecord
    from stabsearch.records.progress import Progress
    from stabsearch.task.base import Workload

_warm: dict[str, tuple[Any, Workload]] = {}
"""Task -> what built its workload, and the workload; of one task at a time."""


def make_worker(order: WorkOrder) -> Worker:
    """Return what runs the trials of an order: this process, or several that train together."""
    return RankGroup(order) if order.setup.num_processes > 1 else ThisProcess(order)


class ThisProcess:
    """Runs trials here."""

    def __init__(self, order: WorkOrder) -> None:
        self._order, self._gauge = order, Gauge()

    def work(self, plan: TrialPlan) -> TrialRecord:
        """Return the record of a trial run in this process."""
        return work(plan, self._order, self._gauge)

    def progress(self) -> list[Progress]:
        """Return how far the trial at hand is."""
        return self._gauge.read()

    def warm_up(self) -> None:
        """Build the workload."""
        with suppress(Exception):
            workload(self._order)

    def close(self) -> None:
        """Keep the workload: it lives as long as the process."""


def work(plan: TrialPlan, order: WorkOrder, gauge: Gauge | None = None) -> TrialRecord:
    """Return the record of a trial run in this process; the gauge shows meanwhile how far it is."""
    from stabsearch.trial.run import run_trial_of

    return run_trial_of(plan, lambda: workload(order), order.setup, gauge)


def workload(order: WorkOrder) -> Workload:
    """Return this process's workload, built on first use."""
    from stabsearch.task.registry import build_workload

    key = repr((order.task, order.peft))
    if key not in _warm or _warm[key][0] is not order.build:
        _warm.clear()
        build = order.build or partial(build_workload, peft=order.peft)
        _warm[key] = order.build, build(order.task)
        # what lives as long as the worker is taken out of garbage collection: Accelerate runs a
        # full one at the start of every training
        gc.collect()
        gc.freeze()
    return _warm[key][1]
