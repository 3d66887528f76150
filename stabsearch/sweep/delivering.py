"""Bring to the tracker what it has not taken while the sweep ran."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from stabsearch.errors import UserError
from stabsearch.search.folder import locked
from stabsearch.sweep.reading import rebuild_reports
from stabsearch.tracking import make_tracker
from stabsearch.tracking.store import NO_TRACKING

if TYPE_CHECKING:
    from stabsearch.sweep.result import SweepResult


def deliver(folder: Path) -> SweepResult:
    """Return a sweep's result, reports written anew and everything in the tracker as the study has it.

    The study is the spool: what the tracker lacks is found by comparing the two, so nothing is delivered
    twice, and trials go in their order.

    Raises:
        UserError: no sweep there, one that is not tracked, a driver at work there, or a tracker that does not
            answer, or did not take everything.
    """
    from stabsearch.search.stored import end_in, read_study, sweep_id_in

    study = read_study(folder)
    with locked(folder):
        result = rebuild_reports(folder)
        if result.sweep.tracking.uri == NO_TRACKING:
            raise UserError("this sweep is not tracked (tracking.uri: none)", "leave --sync out")
        tracking = result.sweep.tracking.model_copy(update={"required": True})
        sweep = result.sweep.model_copy(update={"tracking": tracking})
        tracker = make_tracker(sweep, sweep_id_in(study), folder, is_patient=True)
        tracker.check()
        tracker.open()
        found = result.findings
        status = cast("Any", end_in(study))
        delivery = tracker.close(
            found.records, result.answer, found.frontier, status, next_step=result.next_step
        )
    if not delivery.is_complete:
        raise UserError(
            f"{delivery.missing} of {len(found.records)} trials are not in MLflow: {delivery.problem}",
            "try again once it is mended; the reports in the folder are whole",
        )
    return replace(result, delivery=delivery)
