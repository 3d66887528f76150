"""From a prepared sweep to what its trials have in common, and to the driver that runs them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stabsearch.driver.base import Driver, WorkOrder
    from stabsearch.driver.telling import OnProgress
    from stabsearch.sweep.prepared import Prepared

BAD_BATCHES = "bad_batches"
"""Folder of the bundles, below the sweep's."""


def trial_setup(prepared: Prepared) -> Any:
    """Return the ``TrialSetup`` of a sweep."""
    from stabsearch.trial.setup import TrialSetup

    sweep, resources = prepared.sweep, prepared.resources
    return TrialSetup(
        max_steps=prepared.resolved.max_steps,
        schedule=sweep.budget.schedule,
        training=sweep.fixed_arguments,
        rules=sweep.outcomes,
        accumulation=sweep.accumulation,
        on_gpu=resources.gpus_per_trial > 0,
        allow_fp16_on_cpu=resources.allow_fp16_on_cpu,
        bundle_dir=str((Path(sweep.output_dir) / sweep.name / BAD_BATCHES).absolute()),
        max_bundle_bytes=int(sweep.bad_batches.max_gib * 2**30),
        trust_remote_code=bool(getattr(sweep.task, "trust_remote_code", False)),
        num_threads=resources.threads_per_process,
        num_processes=resources.num_processes,
        chance_loss=prepared.chance_loss,
    )


def work_order(prepared: Prepared, *, keeps_bundles: bool = True) -> WorkOrder:
    """Return everything that workers need."""
    from stabsearch.driver.base import WorkOrder
    from stabsearch.driver.given import builder

    sweep, setup = prepared.sweep, trial_setup(prepared)
    if not keeps_bundles:
        setup = replace(setup, bundle_dir="")
    build = builder(prepared.workload, trust_remote_code=setup.trust_remote_code)
    return WorkOrder(sweep.task, setup, sweep.budget.trial_timeout, build, sweep.peft)


def trial_driver(
    prepared: Prepared, *, keeps_bundles: bool = True, on_progress: OnProgress | None = None
) -> Driver:
    """Return the driver that ``resources`` names, with everything its workers need.

    Args:
        prepared: the sweep.
        keeps_bundles: whether trials leave their first bad batch.
        on_progress: told how far running trials are; None: nobody looks.
    """
    from stabsearch.driver.factory import make_driver

    order = work_order(prepared, keeps_bundles=keeps_bundles)
    return make_driver(prepared.sweep.budget, prepared.resources, order, on_progress)
