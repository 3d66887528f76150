"""How many trials at a time a sweep runs, where it leaves that to measuring."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stabsearch.driver.packing import Packing
    from stabsearch.sweep.prepared import Prepared


def packing_of(prepared: Prepared) -> Packing:
    """Return the measured packing of a sweep's trials on this machine.

    Raises:
        UserError: a trial does not run.
    """
    from stabsearch.driver.packing import measured
    from stabsearch.search.canary import canary_plan
    from stabsearch.sweep.setting_up import work_order

    # the canary has the largest batch, in fp32: whatever else is searched needs no more memory
    plan = canary_plan(prepared.sweep, prepared.resolved.contexts, prepared.resolved.horizon)
    return measured(work_order(prepared), plan)
