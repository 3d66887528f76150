"""Checks before the first trial: arguments, precisions, data, labels, model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stabsearch.task.registry import check_task
from stabsearch.trial.arguments import check_training
from stabsearch.trial.precision import check_precision

if TYPE_CHECKING:
    from stabsearch.config import Sweep


@dataclass(frozen=True)
class Preflight:
    """What the checks found out."""

    num_rows: int
    """Training rows."""


def preflight(sweep: Sweep) -> Preflight:
    """Return what is known of the data once nothing speaks against starting.

    Raises:
        UserError: something does; its key says which part of the sweep.
    """
    check_training(sweep.training.arguments, sweep.budget.schedule)
    for i, precision in enumerate(sweep.search.precision):
        check_precision(
            precision,
            ("search", "precision", i),
            on_gpu=sweep.resources.gpus_per_trial > 0,
            is_local=sweep.resources.address == "local",
            allow_fp16_on_cpu=sweep.resources.allow_fp16_on_cpu,
        )
    return Preflight(num_rows=check_task(sweep.task))
