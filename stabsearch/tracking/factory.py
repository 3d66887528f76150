"""Which tracker a sweep asks for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from stabsearch.tracking.null import NullTracker
from stabsearch.tracking.store import NO_TRACKING

STALL_S = 60.0  # chosen: six requests that a server let run out of time

if TYPE_CHECKING:
    from pathlib import Path

    from stabsearch.config import Sweep
    from stabsearch.tracking.base import Tracker


def make_tracker(sweep: Sweep, sweep_id: str, folder: Path, *, is_patient: bool = False) -> Tracker:
    """Return the tracker that ``tracking.uri`` names.

    Args:
        sweep: the sweep that is tracked.
        sweep_id: identity of the sweep, the same on every resume.
        folder: the sweep's folder, home of the default store and of the files shown.
        is_patient: its ``close`` waits for as long as something still arrives, not for as long as the end of
            a sweep may take.
    """
    if sweep.tracking.uri == NO_TRACKING:
        return NullTracker()
    from stabsearch.tracking.mlflow_mirror import MlflowMirror

    if is_patient:
        return MlflowMirror(sweep, sweep_id, folder, flush_s=math.inf, stall_s=STALL_S)
    return MlflowMirror(sweep, sweep_id, folder)
