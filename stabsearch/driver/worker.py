"""What a worker does with a plan; the workload is built once per process and kept."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from stabsearch.driver.base import WorkOrder

if TYPE_CHECKING:
    from stabsearch.records import TrialPlan, TrialRecord
    from stabsearch.task.base import Workload

_warm: dict[str, Workload] = {}


def work(plan: TrialPlan, order: WorkOrder) -> TrialRecord:
    """Return the record of a trial run in this process."""
    from stabsearch.trial.run import run_trial_of

    return run_trial_of(plan, lambda: _workload(order), order.setup)


def _workload(order: WorkOrder) -> Workload:
    """Return this process's workload, built on first use."""
    from stabsearch.task.registry import build_workload

    key = repr(order.task)
    if key not in _warm:
        _warm.clear()
        _warm[key] = (order.build or build_workload)(order.task)
        # what lives as long as the worker is taken out of garbage collection: Accelerate runs a
        # full one at the start of every training
        gc.collect()
        gc.freeze()
    return _warm[key]
