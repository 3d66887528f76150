"""Many cells on a few processes, each result kept as soon as it is there."""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from experiments.frontier_benchmark.cell import Cell, measure
from experiments.frontier_benchmark.results import append, fingerprint, load, missing


def run_cells(cells: Sequence[Cell], path: Path, *, jobs: int, accept_stale: bool) -> int:
    """Return how many cells raised; what the others gave is in the file."""
    todo = missing(cells, load(path), accept_stale=accept_stale)
    print(f"{len(todo)} of {len(cells)} cells to measure -> {path}", flush=True)
    marks = {cell.method: fingerprint(cell.method) for cell in todo}
    began, failed = time.monotonic(), 0
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(measure, cell): cell for cell in todo}
        for done, future in enumerate(as_completed(futures), 1):
            result = _result(futures[future], future)
            failed += result is None
            if result is not None:
                append(path, {**result, "fingerprint": marks[result["method"]]})
                _tell(done, len(todo), result, time.monotonic() - began)
    return failed


def _result(cell: Cell, future: Future[dict[str, Any]]) -> dict[str, Any] | None:
    """Return a cell's result; None, with the traceback printed, when it raised."""
    try:
        return future.result()
    except Exception:  # noqa: BLE001  # one method's fault must not cost the others their results
        print(f"FAILED {cell.key}\n{traceback.format_exc()}", flush=True)
        return None


def _tell(done: int, total: int, result: dict[str, Any], elapsed_s: float) -> None:
    error = result["checks"]["error"]
    print(
        f"{done:5d}/{total} {elapsed_s:7.0f} s  {result['key']:60s} {result['cpu_s']:7.1f} s"
        f"  error {error[-1] if error else float('nan'):.2f}",
        flush=True,
    )
