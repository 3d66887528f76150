"""Which driver a sweep asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stabsearch.driver.environment import prepare
from stabsearch.driver.inline import InlineDriver

if TYPE_CHECKING:
    from stabsearch.config import Sweep
    from stabsearch.driver.base import Driver, WorkOrder


def make_driver(sweep: Sweep, order: WorkOrder) -> Driver:
    """Return the driver that ``resources`` names; Ray is imported only if it is the one.

    Args:
        sweep: its resources and its budget's concurrency are read.
        order: what every worker needs.
    """
    if sweep.resources.driver == "inline":
        return InlineDriver(order)
    prepare(is_local=sweep.resources.address == "local")  # Ray reads its environment at import
    from stabsearch.driver.ray_tune import RayTuneDriver

    concurrency = sweep.budget.concurrency
    return RayTuneDriver(
        order,
        address=sweep.resources.address,
        cpus_per_trial=sweep.resources.cpus_taken,
        gpus_per_trial=sweep.resources.gpus_per_trial,
        concurrency=None if concurrency == "auto" else concurrency,
    )
