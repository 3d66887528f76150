"""Task type -> workload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stabsearch.task.base import Workload
from stabsearch.task.quickstart import build_quickstart
from stabsearch.task.text_classification import build_sequence_classification, check_sequence_classification

if TYPE_CHECKING:
    from collections.abc import Callable

BUILDERS: dict[str, Callable[[Any], Workload]] = {
    "quickstart": build_quickstart,
    "sequence-classification": build_sequence_classification,
}
CHECKS: dict[str, Callable[[Any], int]] = {
    "quickstart": lambda task: int(task.num_rows),
    "sequence-classification": check_sequence_classification,
}


def check_task(task: Any) -> int:
    """Return the number of training rows, having looked at everything but the model's weights.

    Raises:
        UserError: data or model cannot be used; its key says which part of the sweep is wrong.
    """
    return CHECKS[task.type](task)


def build_workload(task: Any) -> Workload:
    """Return the workload of a sweep's ``task`` part: reads data and model, once per worker.

    Raises:
        UserError: data or model cannot be used; its key says which part of the sweep is wrong.
    """
    return BUILDERS[task.type](task)
