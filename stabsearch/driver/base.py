"""The seam between what runs next and where it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from stabsearch.records import TrialPlan, TrialRecord
    from stabsearch.records.progress import Progress
    from stabsearch.task.base import Workload
    from stabsearch.trial.setup import TrialSetup


@dataclass(frozen=True)
class WorkOrder:
    """What every worker needs, whatever the plan."""

    task: Any
    """The ``task`` part of the sweep, from which the workload is built."""
    setup: TrialSetup
    timeout_s: float
    """A trial that runs longer is ended; its worker then counts as gone."""
    build: Callable[[Any], Workload] | None = None
    """Task -> workload, once per worker process; None: as ``stabsearch.task.registry`` does it."""
    peft: Any = None
    """The ``peft`` part of the sweep; None: all weights are trained."""


class WorkerLost(Exception):  # noqa: N818 - what happened, not what is wrong
    """A worker went away without a record, for the reason given; its plan may be tried again."""


class Worker(Protocol):
    """Runs one trial after another, and keeps between them what is slow to come by."""

    def work(self, plan: TrialPlan) -> TrialRecord:
        """Return the record of a trial.

        Raises:
            WorkerLost: there is none.
        """
        ...

    def progress(self) -> list[Progress]:
        """Return how far the trial at hand is, as far as that is known; called by other threads."""
        ...

    def warm_up(self) -> None:
        """Get ready what trials need; what goes wrong is left for a trial to tell."""
        ...

    def close(self) -> None:
        """Give back what outlives a trial; a later one starts afresh."""
        ...


class TrialSource(Protocol):
    """Says what runs next and takes what came of it; every plan ends in ``finished`` or ``lost``."""

    def next_plan(self) -> TrialPlan | None:
        """Return the next trial to start, None when there is none now.

        None while nothing is in flight means that the sweep is over.
        """
        ...

    def most_left(self) -> int:
        """Return how many plans may still come beside those in flight, at most."""
        ...

    def finished(self, record: TrialRecord) -> None:
        """Take the record of a trial."""
        ...

    def lost(self, plan: TrialPlan, reason: str, *, by_node: bool = False) -> None:
        """Take note that a worker went away without a record; the plan may come back.

        Args:
            plan: what it was at.
            reason: why it went away, as far as that is known.
            by_node: it went with its whole node, or was taken away: nothing that the trial did.
        """
        ...


class Driver(Protocol):
    """Runs what a source gives until it has no more."""

    def run(self, source: TrialSource) -> None:
        """Return when the source has no more and nothing is in flight.

        Raises:
            KeyboardInterrupt: stopped by a signal; trials in flight have no record.
        """
        ...
