"""Trials started from this process, one after another: breakpoints work where a trial is one process."""

from __future__ import annotations

from collections.abc import Callable

from stabsearch.driver.base import TrialSource, Worker, WorkerLost, WorkOrder
from stabsearch.driver.interrupts import not_lost
from stabsearch.driver.telling import OnProgress, telling
from stabsearch.driver.worker import make_worker


class InlineDriver:
    """Runs trials here; those of several processes in processes of their own.

    A trial that hangs cannot be ended from inside its own process.

    Args:
        order: what every worker needs.
        on_progress: told how far the running trial is; None: nobody looks.
    """

    def __init__(self, order: WorkOrder, on_progress: OnProgress | None = None) -> None:
        self._order, self._on_progress = order, on_progress

    def run(self, source: TrialSource) -> None:
        """Run every plan of the source, in order."""
        worker = make_worker(self._order)
        try:
            with telling(worker.progress, self._on_progress), not_lost() as check:
                _run(worker, source, check)
        finally:
            worker.close()


def _run(worker: Worker, source: TrialSource, check_interrupt: Callable[[], None]) -> None:
    while (plan := source.next_plan()) is not None:
        try:
            record = worker.work(plan)
        except WorkerLost as lost:
            source.lost(plan, str(lost))
        else:
            source.finished(record)
        check_interrupt()
