"""Task type -> workload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stabsearch.task.base import Workload
from stabsearch.task.quickstart import build_quickstart
from stabsearch.task.rows import TaskTable
from stabsearch.task.text_classification import build_sequence_classification, read_sequence_classification

if TYPE_CHECKING:
    from collections.abc import Callable

BUILDERS: dict[str, Callable[[Any, TaskTable | None], Workload]] = {
    "quickstart": lambda task, _: build_quickstart(task),
    "sequence-classification": build_sequence_classification,
}
READERS: dict[str, Callable[[Any], TaskTable]] = {
    "sequence-classification": read_sequence_classification,
}
"""Tasks that read a table; the others make their rows."""


def read_table(task: Any) -> TaskTable | None:
    """Return the training table of a sweep's ``task`` part as it is; None for a task that reads none.

    Raises:
        UserError: the data cannot be read, or has no such column; its key says which.
    """
    return READERS[task.type](task) if task.type in READERS else None


def build_workload(task: Any, table: TaskTable | None = None) -> Workload:
    """Return the workload of a sweep's ``task`` part: reads data and model, once per worker.

    Args:
        task: the part ``task`` of the sweep.
        table: its training table, where it has been read already.

    Raises:
        UserError: data or model cannot be used; its key says which part of the sweep is wrong.
    """
    return BUILDERS[task.type](task, table)
