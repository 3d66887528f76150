"""Trials in this process, one after another: breakpoints work."""

from __future__ import annotations

from stabsearch.driver.base import TrialSource, WorkOrder
from stabsearch.driver.worker import work


class InlineDriver:
    """Runs trials here. A trial that hangs cannot be ended from inside its own process."""

    def __init__(self, order: WorkOrder) -> None:
        self._order = order

    def run(self, source: TrialSource) -> None:
        """Run every plan of the source, in order."""
        while (plan := source.next_plan()) is not None:
            source.finished(work(plan, self._order))
