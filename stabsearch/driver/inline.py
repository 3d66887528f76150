"""Trials started from this process, one after another: breakpoints work where a trial is one process."""

from __future__ import annotations

from stabsearch.driver.base import TrialSource, WorkerLost, WorkOrder
from stabsearch.driver.worker import make_worker


class InlineDriver:
    """Runs trials here; those of several processes in processes of their own.

    A trial that hangs cannot be ended from inside its own process.
    """

    def __init__(self, order: WorkOrder) -> None:
        self._order = order

    def run(self, source: TrialSource) -> None:
        """Run every plan of the source, in order."""
        worker = make_worker(self._order)
        try:
            while (plan := source.next_plan()) is not None:
                try:
                    record = worker.work(plan)
                except WorkerLost as lost:
                    source.lost(plan, str(lost))
                else:
                    source.finished(record)
        finally:
            worker.close()
