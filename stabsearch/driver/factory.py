"""Which driver a sweep asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stabsearch.driver.environment import prepare
from stabsearch.driver.inline import InlineDriver
from stabsearch.errors import UserError

if TYPE_CHECKING:
    from stabsearch.config.model import Budget, Resources
    from stabsearch.driver.base import Driver, WorkOrder
    from stabsearch.driver.telling import OnProgress


def make_driver(
    budget: Budget, resources: Resources, order: WorkOrder, on_progress: OnProgress | None = None
) -> Driver:
    """Return the driver that ``resources`` names; Ray is imported only if it is the one.

    Args:
        budget: how many trials at a time are allowed.
        resources: what one trial takes, and where.
        order: what every worker needs.
        on_progress: told how far running trials are; None: nobody looks, and nothing is sent.

    Raises:
        UserError: the address is one that Ray Tune cannot work through.
    """
    if resources.driver == "inline":
        return InlineDriver(order, on_progress)
    if resources.address.startswith("ray://"):
        raise UserError("Ray's client cannot run a sweep: Ray Tune would move to it, away from the study",
                        f"stabsearch submit SWEEP --address {resources.address} runs all of it there; on a "
                        "node of the cluster: --address auto", key=("resources", "address"))  # fmt: skip
    prepare(is_local=resources.address == "local")  # Ray reads its environment at import
    from stabsearch.driver.ray_tune import RayTuneDriver

    concurrency = budget.concurrency
    return RayTuneDriver(
        order,
        address=resources.address,
        cpus_per_trial=resources.cpus_taken,
        gpus_per_trial=resources.gpus_per_trial,
        concurrency=None if concurrency == "auto" else concurrency,
        on_progress=on_progress,
    )
