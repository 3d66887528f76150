"""A workload that the preflight has built: trials train on it, instead of building their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from stabsearch.task.base import Workload


class GivenWorkload:
    """Stands in for building: rows are not tokenised, and checkpoints not read, once more per worker.

    Ray keeps what a driver sends in memory that all workers of a machine share: rows, and the weights
    that models are copied from, are there once, and read only.
    """

    def __init__(self, workload: Workload) -> None:
        self._workload = workload

    def __call__(self, task: Any) -> Workload:
        """Return the workload; it was built from this task."""
        return self._workload


def builder(workload: Workload | None, *, trust_remote_code: bool) -> Callable[[Any], Workload] | None:
    """Return what hands out a workload in any process; None where each has to build its own.

    That is so where nothing was built, where the user's own code makes the Trainers, and where the model's
    class came with the model, so that another process does not know it.
    """
    from stabsearch.task.workload import RowWorkload

    return GivenWorkload(workload) if isinstance(workload, RowWorkload) and not trust_remote_code else None
