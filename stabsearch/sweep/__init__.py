"""Run a sweep, or read one: the only place where all rooms meet."""

from stabsearch.sweep.delivering import deliver
from stabsearch.sweep.diagnosing import diagnose_sweep, run_canary
from stabsearch.sweep.prepared import Prepared, planned, prepare
from stabsearch.sweep.reading import (
    configurations_of,
    read_progress,
    read_sweep,
    rebuild_reports,
    recommend_from,
)
from stabsearch.sweep.result import SweepResult
from stabsearch.sweep.running import run_sweep

__all__ = [
    "Prepared",
    "SweepResult",
    "configurations_of",
    "deliver",
    "diagnose_sweep",
    "planned",
    "prepare",
    "read_progress",
    "read_sweep",
    "rebuild_reports",
    "recommend_from",
    "run_canary",
    "run_sweep",
]
