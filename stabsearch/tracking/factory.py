"""Which tracker a sweep asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stabsearch.tracking.null import NullTracker
from stabsearch.tracking.store import NO_TRACKING

if TYPE_CHECKING:
    from pathlib import Path

    from stabsearch.config import Sweep
    from stabsearch.tracking.base import Tracker


def make_tracker(sweep: Sweep, sweep_id: str, folder: Path) -> Tracker:
    """Return the tracker that ``tracking.uri`` names.

    Args:
        sweep: the sweep that is tracked.
        sweep_id: identity of the sweep, the same on every resume.
        folder: the sweep's folder, home of the default store and of the files shown.
    """
    if sweep.tracking.uri == NO_TRACKING:
        return NullTracker()
    from stabsearch.tracking.mlflow_mirror import MlflowMirror

    return MlflowMirror(sweep, sweep_id, folder)
